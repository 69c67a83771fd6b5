#include "block/open_device.h"

#include <utility>

#include "block/device_name.h"
#include "block/disk_file.h"
#include "block/file_device.h"
#include "block/mem_device.h"
#include "block/uring_device.h"

namespace tifs::block {
namespace {

Result<std::unique_ptr<BlockDevice>> OpenOnDisk(const DeviceName& name,
                                                const DeviceOptions& options) {
  DiskFile file = TRY(OpenDiskFile(name, options.read_only, options.exclusive));
  bool uring =
      options.backend == IoBackend::kUring ||
      (options.backend == IoBackend::kAuto && file.is_direct && file.starts_without_waiting);
  if (uring) {
    const Status probed = UringDevice::Probe();
    if (!probed && options.backend == IoBackend::kUring) return probed.error().Clone();
    uring = probed.ok();
  }
  if (!uring) return std::unique_ptr<BlockDevice>(std::make_unique<FileDevice>(std::move(file)));
  return std::unique_ptr<BlockDevice>(std::make_unique<UringDevice>(std::move(file)));
}

Result<std::unique_ptr<BlockDevice>> OpenInMemory(const DeviceName& name,
                                                  const DeviceOptions& options) {
  Result<std::unique_ptr<MemDevice>> device = MemDevice::Open(
      {.size_bytes = name.size_bytes, .identity = name.text, .read_only = options.read_only});
  if (!device) return std::move(device).error();
  return std::unique_ptr<BlockDevice>(*std::move(device));
}

}  // namespace

Result<std::unique_ptr<BlockDevice>> OpenDevice(std::string_view device,
                                                const DeviceOptions& options) {
  const DeviceName name = TRY(ParseDeviceName(device));
  switch (name.kind) {
    case DeviceKind::kBlock:
    case DeviceKind::kFile: return OpenOnDisk(name, options);
    case DeviceKind::kMemory: return OpenInMemory(name, options);
    case DeviceKind::kSpdk: break;
  }
  return Error(ErrorCode::kNotSupported, "device", name.text + ": this build has no SPDK in it");
}

}  // namespace tifs::block
