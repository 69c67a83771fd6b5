#pragma once

#include <cstddef>

namespace tifs::fuzz {

// How many bytes this thread has asked operator new for, ever. Linking allocation_count.cc replaces
// the program's operator new by one that counts.
size_t AllocatedBytes();

}  // namespace tifs::fuzz
