#include "tests/sim/world.h"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "fs/data/extent_blocks.h"
#include "fs/data/kv_blocks.h"
#include "fs/fs_check.h"
#include "kv/mem_kv.h"
#include "kv/rocks/rocks_kv.h"
#include "sim/power_cut_fs.h"
#include "tests/sim/disk_extent_device.h"

namespace tifs::sim {

bool WorldOptions::has_faults() const {
  return faults.unavailable_permille + faults.read_io_permille + faults.conflict_permille +
             faults.undetermined_happened_permille + faults.undetermined_lost_permille +
             faults.undetermined_late_permille >
         0;
}

Profile WorldOptions::DefaultProfile() const {
  Profile profile;
  profile.block_bytes = block_size_bytes;
  profile.users = check_permissions;
  return profile;
}

World::World(const WorldOptions& options) : options_(options) {
  OpenStore();
  fs::FormatOptions format;
  format.block_size_bytes = options_.block_size_bytes;
  format.capacity_bytes = options_.capacity_bytes;
  format.max_inodes = options_.max_inodes;
  format.extents = options_.extents;
  CHECK(fs::Format(*engine_, clock_, format).ok());
  candidate_ops_ = std::make_unique<FileSystemOps>([this] { return OpenFileSystem(); });
  candidate_ = std::make_unique<PathTarget>(*candidate_ops_);
  oracle_ops_ = std::make_unique<ModelOps>(
      ModelFs(clock_, {options_.block_size_bytes, options_.check_permissions}));
  oracle_ = std::make_unique<PathTarget>(*oracle_ops_);
}

World::~World() = default;

Result<std::unique_ptr<fs::FileSystem>> World::OpenFileSystem() {
  if (faulty_) faulty_->SetEnabled(false);
  fs::FileSystemOptions mount;
  mount.cache_mode = options_.cache_mode;
  mount.check_permissions = options_.check_permissions;
  mount.background_thread = false;
  std::unique_ptr<fs::BlockStore> blocks = std::make_unique<fs::KvBlocks>();
  if (options_.extents) {
    blocks = std::make_unique<fs::ExtentBlocks>(
        TRY(DiskExtentDevice::Open(disk_, "/store", "blocks")), clock_);
  }
  auto opened = fs::FileSystem::Open(*store_, clock_, mount, std::move(blocks));
  if (faulty_) faulty_->SetEnabled(true);
  return opened;
}

void World::OpenStore() {
  CHECK(disk_.MakeDirectory("/store").ok());
  if (options_.open_engine) {
    engine_ = options_.open_engine();
  } else if (options_.engine == WorldOptions::Engine::kMem) {
    engine_ = std::make_unique<kv::MemKv>();
  } else {
    kv::RocksOptions rocks;
    rocks.path = "/store/db";
    rocks.create = true;
    rocks.memory_bytes = 16 << 20;
    rocks.file_system = std::make_shared<PowerCutFs>(disk_);
    auto opened = kv::RocksKv::Open(rocks);
    if (!opened) std::fprintf(stderr, "%s\n", opened.error().ToString().c_str());
    CHECK(opened.ok());
    engine_ = *std::move(opened);
  }
  store_ = engine_.get();
  if (options_.has_faults()) {
    faulty_ = std::make_unique<FaultyStore>(*engine_, options_.fault_seed, options_.faults);
    store_ = faulty_.get();
  }
}

// Calls of several transactions: one that fails on the way may have done part of its work. All of
// them can simply be made again.
bool World::IsManyTransactions(const Operation& operation) {
  return operation.call == Call::kTruncate || operation.call == Call::kFtruncate ||
         operation.call == Call::kAllocate || operation.call == Call::kCopyRange;
}

std::string World::Step(const Operation& operation) {
  clock_.Advance(std::chrono::milliseconds(10));
  Outcome actual = candidate_->Apply(operation, true);
  const bool has_limits = options_.capacity_bytes != 0 || options_.max_inodes != 0;
  if (actual.error == ENOSPC && has_limits) {
    // It must not have had any effect, which the next comparison sees.
    oracle_->ApplyFailed(operation);
    return candidate_->Complaint();
  }
  bool was_repeated = false;
  if (actual.error == EIO && options_.faults.read_io_permille != 0) {
    // Nor here: made again without faults, it must do what it would have done.
    faulty_->SetEnabled(false);
    actual = candidate_->Apply(operation, true);
    faulty_->SetEnabled(true);
    was_repeated = true;
  }
  Outcome expected = oracle_->Apply(operation, true);
  if (was_repeated && IsManyTransactions(operation)) expected.moved.clear();
  std::string why = CompareOutcomes(operation, expected, actual, {});
  if (why.empty()) why = candidate_->Complaint();
  if (!why.empty()) why = operation.ToString() + ": " + why;
  return why;
}

std::string World::Compare(bool is_settled) {
  const bool had_faults = faulty_ != nullptr;
  if (had_faults) faulty_->SetEnabled(false);
  const Interest interest = oracle_ops_->TouchedRanges();
  const Tree actual = candidate_->Walk(interest);
  const Tree expected = oracle_->Walk(interest);
  if (had_faults) faulty_->SetEnabled(true);
  if (!candidate_->Complaint().empty()) return candidate_->Complaint();
  ComparisonOptions comparison;
  // What is cut off is charged until the background has cleared it. Where space ran out in the
  // midst, preallocation that the model does not know may stay.
  comparison.charges = is_settled && options_.capacity_bytes == 0;
  return CompareTrees(expected, actual, comparison);
}

std::string World::RunAllBackground() {
  for (uint64_t i = 0; i < kMaxBackgroundSteps; ++i) {
    const Result<bool> more = file_system().RunBackgroundStep();
    if (!more && options_.faults.read_io_permille == 0) {
      return "background: " + more.error().ToString();
    }
    if (more && !*more) return {};
  }
  return "the background work never ends";
}

std::string World::CheckStore() {
  const Result<fs::CheckReport> report = fs::Check(*engine_, clock_, {});
  if (!report) return "check: " + report.error().ToString();
  std::string text;
  for (const fs::CheckFinding& finding : report->findings) text += "check: " + finding.what + "\n";
  if (report->orphans != 0) text += fmt::format("check: {} orphans are left\n", report->orphans);
  return text;
}

std::string World::DeleteAll() {
  for (bool deleted = true; deleted;) {
    deleted = false;
    for (const auto& [path, node] : candidate_->Walk({})) {
      if (path.empty()) continue;
      Operation operation;
      operation.path = path;
      operation.call = S_ISDIR(node.stat.mode) ? Call::kRmdir : Call::kUnlink;
      const Outcome outcome = candidate_->Apply(operation, false);
      if (outcome.error == 0) deleted = true;
    }
  }
  if (std::string why = RunAllBackground(); !why.empty()) return why;
  if (const Tree left = candidate_->Walk({}); left.size() > 1) {
    return "what is left after deleting all: " + std::next(left.begin())->first;
  }
  const Result<fs::FileSystemInfo> info = file_system().Info();
  if (!info) return info.error().ToString();
  if (info->used_inodes > 1) {
    return fmt::format("{} inodes in use when all is deleted", info->used_inodes);
  }
  if (info->used_bytes != 0) {
    return fmt::format("{} bytes in use when all is deleted", info->used_bytes);
  }
  return {};
}

std::string World::Finish() {
  std::string why = Compare();
  if (!why.empty()) return "at the end: " + why;
  if (faulty_) faulty_->SetEnabled(false);
  candidate_->CloseAll();
  oracle_->CloseAll();
  if (why = RunAllBackground(); !why.empty()) return why;
  if (const Status closed = candidate_ops_->Close(); !closed) return closed.error().ToString();
  if (why = CheckStore(); !why.empty()) return why;
  if (const Status opened = candidate_ops_->Reopen(); !opened) return opened.error().ToString();
  if (why = Compare(true); !why.empty()) return "after closing and opening: " + why;
  if (faulty_) faulty_->SetEnabled(false);
  if (why = DeleteAll(); !why.empty()) return why;
  if (const Status closed = candidate_ops_->Close(); !closed) return closed.error().ToString();
  if (why = CheckStore(); !why.empty()) return "when all is deleted: " + why;
  return {};
}

std::string RunInWorld(const WorldOptions& options, const std::vector<Operation>& operations) {
  constexpr size_t kCompareEvery = 64;
  World world(options);
  for (size_t i = 0; i < operations.size(); ++i) {
    std::string why = world.Step(operations[i]);
    if (why.empty() && i % kCompareEvery == kCompareEvery - 1) why = world.Compare();
    if (!why.empty()) return why;
  }
  return world.Finish();
}

}  // namespace tifs::sim
