#pragma once

#include <optional>

#include "base/result.h"
#include "block/device_profile.h"
#include "volume/volume.h"

// The profile of the device that a volume is on, which the volume keeps in a file of its own
// (docs/volume_format.md).
namespace tifs::volume {

// Nothing if none was saved. kCorrupt: what is there is no profile.
Result<std::optional<block::DeviceProfile>> LoadDeviceProfile(Volume& volume);
// Durable when it returns. kInvalid: not one that Validate accepts; else as any write.
Status SaveDeviceProfile(Volume& volume, const block::DeviceProfile& profile);

}  // namespace tifs::volume
