#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "block/block_device.h"
#include "block/device_name.h"
#include "block/unique_fd.h"

namespace tifs::block {

// A block device or a file as a disk that the system has open for us, and what it told about it.
struct DiskFile {
  UniqueFd fd;
  bool is_block_device = false;
  // Transfers go past the page cache.
  bool is_direct = false;
  // Transfers can be started without waiting for them. Where they cannot (tmpfs), io_uring hands
  // each to a thread of its own, which costs many times the transfer.
  bool starts_without_waiting = false;
  bool read_only = false;
  Geometry geometry;
  uint64_t size_bytes = 0;
  std::string identity;
};

// Opens what `name` (kBlock or kFile) names, with direct I/O where there is any.
//
// `exclusive` excludes other openings until the file descriptor is closed, be it by death: O_EXCL
// on a block device, which also refuses one that is mounted, and an open-file-description lock on a
// file, which only those respect who take one, too: exclusive, or shared by readers when
// `read_only`.
//
// kNotFound, kAccessDenied, kIsDirectory, kBusy (in use), kReadOnly, kInvalid (not that kind of
// file, empty, no whole number of blocks), and whatever errno the system had.
Result<DiskFile> OpenDiskFile(const DeviceName& name, bool read_only, bool exclusive);

// How large it is now, in whole blocks; errors as above.
Result<uint64_t> SizeOf(const DiskFile& file);

}  // namespace tifs::block
