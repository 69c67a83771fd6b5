#pragma once

// The one place that says which of libfuse's interfaces we speak. Debian 12 has 3.14.
#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
