#pragma once

#include <array>
#include <string>
#include <vector>

#include "block/io_scheduler.h"
#include "cli/output.h"

namespace tifs::cli {

// What a store's volume transferred, and what its scheduling goes by.
struct VolumeIo {
  // On whose behalf: "tables" (RocksDB), "files" (the data file), "volume" (what is left: its own
  // metadata, as far as it is not written for one of the others).
  struct Instance {
    std::string name;
    std::array<block::IoClassCounts, block::kIoClasses> classes;
  };

  block::IoSchedulerSettings settings;
  block::IoSchedulerCounts counts;
  std::vector<Instance> instances;
};

// docs/json.md
Json VolumeIoToJson(const VolumeIo& io);
// What was transferred, as a table of instances and classes; those that did nothing are left out.
std::string TransfersToText(const Json& volume_io);
// The scheduler's settings and how it fares, from the same JSON.
std::string SchedulerToText(const Json& volume_io);

}  // namespace tifs::cli
