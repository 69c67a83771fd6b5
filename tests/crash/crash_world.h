#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "fs/file_system.h"
#include "kv/rocks/rocks_kv.h"
#include "rocksfs/shared_volume.h"
#include "sim/power_cut_disk.h"
#include "sim/power_supply.h"
#include "sim/sim_block_device.h"
#include "tests/crash/crash_worker.h"
#include "volume/guarded_device.h"
#include "volume/root.h"

namespace tifs::sim {

struct CrashOptions {
  std::string name;
  bool extents = false;     // file blocks in a data file beside the store
  bool sync_mount = false;  // mounted with `sync`
  uint32_t block_size_bytes = 64 << 10;
  uint32_t workers = 1;  // threads
  // Tables and the data file on a volume, on a block device of the same power; the rest beside it.
  bool volume = false;
  uint64_t extent_unit_bytes = 64 << 10;
  // Syncs that report success and do nothing; empty: none.
  std::function<bool(SyncKind kind, std::string_view path)> lie;
  // The same for flushes of the volume.
  std::function<bool(volume::FlushKind kind)> skip_flush;
};

// A file system on RocksDB on a disk that loses power, again and again.
class CrashWorld {
 public:
  CrashWorld(const CrashOptions& options, uint64_t seed);
  ~CrashWorld();

  // Formats; then opens, works, loses power, opens again and judges, `rounds` times. Why it failed;
  // empty: it did not.
  std::string Run(uint64_t rounds);

  uint64_t syncs_lied_about() const { return disk_.syncs_lied_about() + skipped_flushes_; }

 private:
  Status FormatVolume();
  Status OpenVolume();
  Status OpenStore();
  Status OpenFileSystem();
  Status Format();
  void CloseAll();
  std::string Work();
  void LosePower();
  std::string Recover();

  const CrashOptions options_;
  Random random_;
  ManualClock clock_;
  PowerSupply power_;
  PowerCutDisk disk_;
  SimBlockDevice device_;
  bool lies_ = false;
  std::atomic<uint64_t> skipped_flushes_{0};
  std::shared_ptr<rocksfs::SharedVolume> volume_;
  std::unique_ptr<volume::Root> root_;
  std::unique_ptr<kv::RocksKv> store_;
  std::unique_ptr<fs::FileSystem> file_system_;
  std::vector<std::unique_ptr<CrashWorker>> workers_;
};

}  // namespace tifs::sim
