#pragma once

#include "fuse/connection.h"
#include "fuse/libfuse.h"

namespace tifs::fuse {

// The handlers of a session whose userdata is a Connection: one short function a request of the
// kernel, each a translation to the call of fs::FileSystem that does the work.
fuse_lowlevel_ops Operations();

}  // namespace tifs::fuse
