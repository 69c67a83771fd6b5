#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "block/block_device.h"

namespace tifs::block {

enum class IoBackend : uint8_t {
  kAuto,   // io_uring where the kernel allows it and the file takes direct I/O, else pread
  kUring,  // an error if it is refused
  kPread,
};

struct DeviceOptions {
  bool read_only = false;
  // Keeps others out while it is open; see OpenDiskFile. Without it the device may be changed under
  // a reader's eyes by the one who has it.
  bool exclusive = true;
  IoBackend backend = IoBackend::kAuto;  // of files and block devices
};

// Opens a DEVICE (block/device_name.h). Each opening of `mem:` is a new disk full of zeros.
// Errors: those of ParseDeviceName and OpenDiskFile; kNotSupported for `spdk:`; with kUring what
// the kernel answered.
Result<std::unique_ptr<BlockDevice>> OpenDevice(std::string_view device,
                                                const DeviceOptions& options = {});

}  // namespace tifs::block
