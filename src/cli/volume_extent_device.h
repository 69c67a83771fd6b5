#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "block/io_class.h"
#include "fs/data/extent_device.h"
#include "volume/root.h"

namespace tifs::cli {

struct VolumeExtentOptions {
  bool read_only = false;
  // The file does not grow into the last so many free bytes of the volume: kNoSpace.
  uint64_t keep_free_bytes = 0;
  // Two threads write, while the next piece is received; a failed write is the next Sync's error.
  bool write_behind = true;
  // Counts what is transferred for it; null: nobody does.
  std::shared_ptr<block::IoCounter> counter;
};

// A sparse file of a volume, which is there, for the blocks of a file system's files. `root` need
// not outlive it. kNotFound: without it, the blocks that lie in it are lost.
Result<std::unique_ptr<fs::ExtentDevice>> OpenVolumeExtentDevice(
    volume::Root& root, std::string_view path, const VolumeExtentOptions& options);

}  // namespace tifs::cli
