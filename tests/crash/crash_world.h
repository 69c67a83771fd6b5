#pragma once

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
#include "sim/power_cut_disk.h"
#include "tests/crash/crash_worker.h"

namespace tifs::sim {

struct CrashOptions {
  std::string name;
  bool extents = false;     // file blocks in a data file beside the store
  bool sync_mount = false;  // mounted with `sync`
  uint32_t block_size_bytes = 64 << 10;
  uint32_t workers = 1;  // threads
  // Syncs that report success and do nothing; empty: none.
  std::function<bool(SyncKind kind, std::string_view path)> lie;
};

// A file system on RocksDB on a disk that loses power, again and again.
class CrashWorld {
 public:
  CrashWorld(const CrashOptions& options, uint64_t seed);
  ~CrashWorld();

  // Formats; then opens, works, loses power, opens again and judges, `rounds` times. Why it failed;
  // empty: it did not.
  std::string Run(uint64_t rounds);

  uint64_t syncs_lied_about() const { return disk_.syncs_lied_about(); }

 private:
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
  PowerCutDisk disk_;
  std::unique_ptr<kv::RocksKv> store_;
  std::unique_ptr<fs::FileSystem> file_system_;
  std::vector<std::unique_ptr<CrashWorker>> workers_;
};

}  // namespace tifs::sim
