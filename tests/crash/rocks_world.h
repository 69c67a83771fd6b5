#pragma once

#include <rocksdb/env.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "rocksfs/rocks_file_system.h"
#include "sim/power_cut_disk.h"
#include "sim/power_supply.h"
#include "sim/sim_block_device.h"
#include "tests/crash/rocks_instance.h"

namespace tifs::rocksfs {

// What is left out, to see that it is noticed.
struct RocksWorldOptions {
  std::optional<volume::FlushKind> skip_flush;                          // of the volume
  std::function<bool(sim::SyncKind, std::string_view)> lie_about_base;  // PowerCutDisk
};

// Several instances of RocksDB on one volume and one base file system, on one power; and a root
// that nobody touches.
class RocksWorld {
 public:
  RocksWorld(const RocksWorldOptions& options, uint64_t seed);
  ~RocksWorld();

  // Opens all and looks at what is there, runs operations until the power goes, turns it on. What
  // is wrong, or nothing.
  std::string RunUntilCut();
  // After the last cut.
  std::string OpenAndCheck();

 private:
  std::string CheckVolume();
  std::string CheckRoots();
  std::string OpenAll();
  void CloseAll();

  const RocksWorldOptions options_;
  Random random_;
  sim::PowerSupply power_;
  sim::SimBlockDevice device_;
  sim::PowerCutDisk base_;
  std::shared_ptr<SharedVolume> volume_;
  std::vector<std::unique_ptr<rocksdb::Env>> envs_;
  std::vector<RocksInstance> instances_;
};

}  // namespace tifs::rocksfs
