#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fs/file_system.h"
#include "kv/kv.h"
#include "sim/power_cut_disk.h"
#include "sim/sim_kv.h"
#include "tests/sim/comparison.h"
#include "tests/sim/file_system_ops.h"
#include "tests/sim/model_ops.h"
#include "tests/sim/operation.h"
#include "tests/sim/path_target.h"

namespace tifs::sim {

// What a sequence runs on.
struct WorldOptions {
  std::string name;
  enum class Engine : uint8_t { kMem, kRocks } engine = Engine::kMem;
  // Makes another engine than these, if set.
  std::function<std::unique_ptr<kv::Store>()> open_engine;
  bool extents = false;  // file blocks in a data file, not in the store
  uint32_t block_size_bytes = 64 << 10;
  uint64_t capacity_bytes = 0;
  uint64_t max_inodes = 0;
  fs::CacheMode cache_mode = fs::CacheMode::kExclusive;
  bool check_permissions = false;
  FaultRates faults;
  uint64_t fault_seed = 0;

  bool has_faults() const;
  // Sequences that suit it.
  Profile DefaultProfile() const;
};

// A file system on a store of its own in memory, without a background thread, and the model next to
// it, under one clock that a run moves on.
class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  // Runs one operation on both; why the answers do not agree, empty: they do.
  std::string Step(const Operation& operation);
  // Compares the trees. `is_settled`: no work is left to the background.
  std::string Compare(bool is_settled = false);
  // What holds at the end of any sequence: the trees agree also after all files are closed, all
  // background work is done and the store was opened anew; fs::Check finds nothing; when all is
  // deleted, nothing is left in use.
  std::string Finish();

  fs::FileSystem& file_system() { return candidate_ops_->file_system(); }
  kv::Store& store() { return *store_; }
  ManualClock& clock() { return clock_; }

 private:
  static constexpr uint64_t kMaxBackgroundSteps = 200'000;

  void OpenStore();
  Result<std::unique_ptr<fs::FileSystem>> OpenFileSystem();
  static bool IsManyTransactions(const Operation& operation);
  std::string RunAllBackground();
  std::string CheckStore();
  std::string DeleteAll();

  const WorldOptions options_;
  ManualClock clock_;
  PowerCutDisk disk_;
  std::unique_ptr<kv::Store> engine_;
  std::unique_ptr<FaultyStore> faulty_;
  kv::Store* store_ = nullptr;
  std::unique_ptr<FileSystemOps> candidate_ops_;
  std::unique_ptr<PathTarget> candidate_;
  std::unique_ptr<ModelOps> oracle_ops_;
  std::unique_ptr<PathTarget> oracle_;
  uint64_t initial_used_bytes_ = 0;
};

// Runs `operations` in a fresh world; why it fails, empty: it does not.
std::string RunInWorld(const WorldOptions& options, const std::vector<Operation>& operations);

}  // namespace tifs::sim
