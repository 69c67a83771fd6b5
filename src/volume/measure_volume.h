#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "block/device_profile.h"
#include "volume/volume.h"

// How fast a volume's device is, through the volume.
namespace tifs::volume {

struct MeasureOptions {
  // What is written, into free space. Reads go over all of it. At least 16 MiB, whole MiB.
  uint64_t size_bytes = 512 << 20;
  // Of each kind of work that ends by time.
  std::chrono::milliseconds duration{1000};
  // Asked again and again, from several threads; an error ends the measuring, which cleans up and
  // answers it. May be empty.
  std::function<Status()> check;

  Status Validate() const;
};

// One kind of work.
struct Measurement {
  std::string name;      // "read", "write", "append", "sync"
  uint32_t depth = 1;    // so many at a time
  uint64_t bytes = 0;    // of each
  double ops_per_s = 0;  // bytes_per_s is that times `bytes`
  uint64_t p50_ns = 0;
  uint64_t p99_ns = 0;
  uint64_t p999_ns = 0;
};

struct VolumeMeasurements {
  uint64_t size_bytes = 0;  // what was written: less than asked if the volume has less
  std::vector<Measurement> measurements;
  // What an I/O scheduler reckons with. The latency goal is four times what one small read at a
  // time takes, 99 of 100; in [1 ms, 20 ms].
  block::DeviceProfile profile;
};

// Writes files into free extents, at most half of what is free, reads them, and removes them again,
// whatever happens; after a kill the next call does. Nobody else should use the volume meanwhile,
// and its device should not be busy otherwise. kNoSpace: less than 32 MiB are free. Errors are
// those of writing and reading.
Result<VolumeMeasurements> MeasureVolume(Volume& volume, const MeasureOptions& options,
                                         Clock& clock);

}  // namespace tifs::volume
