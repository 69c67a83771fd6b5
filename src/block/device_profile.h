#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "block/block_device.h"

namespace tifs::block {

// What a device can do, as `tifs volume bench --save` measured it, and what its user wants of it:
// what the I/O scheduler reckons with. A volume keeps it as a text (docs/volume_format.md).
struct DeviceProfile {
  // The root and the file of a volume that have it.
  static constexpr std::string_view kRoot = ".tifs";
  static constexpr std::string_view kFile = "device-profile";
  static constexpr size_t kMaxTextBytes = 4096;

  // Each on its own, with as many at a time as serve it best.
  uint64_t read_iops = 0;  // of 4 KiB, at random
  uint64_t read_bytes_per_s = 0;
  uint64_t write_iops = 0;
  uint64_t write_bytes_per_s = 0;
  // How long a foreground read may take, all but a few in a thousand, whatever else goes on.
  uint64_t latency_goal_ns = 0;

  bool operator==(const DeviceProfile&) const = default;

  // How long the device is busy with a transfer: as long as its count or its bytes take, whichever
  // is more. Of a read or write; else nothing.
  std::chrono::nanoseconds CostOf(IoKind kind, uint64_t bytes) const;

  // Of a device of which nothing is known: by it nothing is ever held back, so that of all that an
  // IoScheduler does only the limits of its classes count.
  static DeviceProfile Unknown();

  // Each figure in [1, 10^15]. kInvalid names the one that is not.
  Status Validate() const;
  // Lines "name value", after a first one that says what it is and its version.
  std::string ToText() const;
  // kCorrupt: what is not a profile, is not Validate, or is of a later version. Lines of unknown
  // names are left to later releases.
  static Result<DeviceProfile> Parse(std::string_view text);
};

}  // namespace tifs::block
