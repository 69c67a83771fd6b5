#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace tifs::cli {

// A file in the store's directory that only takes space, so that a store on a disk that has become
// full can still be opened, and files be deleted in it: opening writes a little, and RocksDB aborts
// where it cannot.
inline constexpr uint64_t kReserveBytes = uint64_t{16} << 20;

// Gives the reserve up if the disk is nearly full, makes it again if there is plenty of room. To be
// called before the store is opened for writing.
// Errors: kNoSpace, if the store cannot be opened with what is left; kReadOnly, if nothing can be
// written there.
Status PrepareSpace(const std::string& directory);
// Deletes it.
void RemoveReserve(const std::string& directory);

}  // namespace tifs::cli
