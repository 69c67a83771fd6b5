#include "tests/crash/crash_worker.h"

#include <fmt/format.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/sim/comparison.h"

namespace tifs::sim {
namespace {

bool IsSync(const Operation& operation) {
  return operation.call == Call::kFsync || operation.call == Call::kSync;
}

// As generated, but for calls of several transactions whose parts can be told apart after a cut,
// and for those that tell holes from zeros: what is judged after a cut is contents, and two states
// may differ in nothing else.
Operation Draw(Random& random, const Profile& profile) {
  for (;;) {
    Operation operation = Generate(random, profile);
    if (random.OneIn(15)) {
      operation = Operation();
      operation.call = Call::kSync;
    }
    const bool zeroes_and_grows = operation.call == Call::kAllocate &&
                                  (operation.flags & FALLOC_FL_ZERO_RANGE) != 0 &&
                                  (operation.flags & FALLOC_FL_KEEP_SIZE) == 0;
    const bool seeks = operation.call == Call::kSeekData || operation.call == Call::kSeekHole;
    if (!zeroes_and_grows && !seeks && operation.call != Call::kCopyRange) return operation;
  }
}

bool MayBeThePower(const Outcome& outcome) {
  return outcome.error == EIO || outcome.error == EROFS;
}

}  // namespace

CrashWorker::CrashWorker(uint32_t index, Clock& clock, uint32_t block_size_bytes)
    : directory_(fmt::format("worker{}", index)),
      clock_(clock),
      current_(std::make_unique<ModelOps>(ModelFs(clock, {block_size_bytes, false}))) {
  current_target_ = std::make_unique<PathTarget>(*current_);
  NoteSynced();
}

Status CrashWorker::MakeDirectory(fs::FileSystem& file_system) {
  TRY(file_system.Mkdir({}, file_system.root(), directory_, 0755));
  return {};
}

void CrashWorker::NoteSynced() {
  synced_ = std::make_unique<ModelOps>(*current_);
  synced_target_ = std::make_unique<PathTarget>(*synced_, *current_target_);
  since_.clear();
}

// --- the worker's root is a directory of the file system ---

Operation CrashWorker::WithPrefix(Operation operation) const {
  if (!operation.path.empty()) operation.path = directory_ + "/" + operation.path;
  const bool is_path = operation.call == Call::kRename || operation.call == Call::kLink;
  if (is_path) operation.path2 = directory_ + "/" + operation.path2;
  return operation;
}

Interest CrashWorker::WithPrefix(const Interest& interest) const {
  Interest whole;
  for (const auto& [path, ranges] : interest) whole[directory_ + "/" + path] = ranges;
  return whole;
}

Tree CrashWorker::TreeBelow(const Tree& whole) const {
  const auto below = [&](const std::string& path) {
    return path == directory_ ? "" : path.substr(directory_.size() + 1);
  };
  Tree tree;
  for (const auto& [path, node] : whole) {
    if (path != directory_ && !path.starts_with(directory_ + "/")) continue;
    NodeState& state = tree[below(path)] = node;
    state.same_as = path == directory_ ? "" : below(state.same_as);
  }
  return tree;
}

// --- working ---

std::string CrashWorker::Work(fs::FileSystem& file_system, PowerCutDisk& disk, Random& random,
                              const Plan& plan) {
  FileSystemOps ops(file_system);
  PathTarget target(ops);
  for (uint64_t i = 0; i < plan.operations; ++i) {
    const Operation operation = Draw(random, plan.profile);
    const Outcome actual = target.Apply(WithPrefix(operation), false);
    if (MayBeThePower(actual)) {
      if (!disk.IsOff()) return operation.ToString() + " failed while the power was on";
      since_.push_back(operation);  // nobody knows whether it happened
      return {};
    }
    since_.push_back(operation);
    const Outcome expected = current_target_->Apply(operation, false);
    if (std::string why = CompareOutcomes(operation, expected, actual, {}); !why.empty()) {
      return operation.ToString() + ": " + why;
    }
    const bool is_done = !actual.skipped && actual.error == 0;
    if (is_done && (IsSync(operation) || plan.sync_mount)) NoteSynced();
  }
  target.CloseAll();
  current_target_->CloseAll();
  return {};
}

// --- judging ---

// The state at the last sync, and after each operation since.
std::vector<ModelOps> CrashWorker::ReplayStates() const {
  ModelOps running(*synced_);
  PathTarget target(running, *synced_target_);
  std::vector<ModelOps> states{running};
  for (const Operation& operation : since_) {
    target.Apply(operation, false);
    states.push_back(running);
  }
  return states;
}

// Where bytes are not those of state `k`, they must be what that file held there in some state, or,
// if any write since the sync could have touched them, zeros.
std::string CrashWorker::CompareInPlace(const Tree& expected, const Tree& actual,
                                        const std::vector<ModelOps>& states, size_t k) {
  for (const auto& [path, node] : expected) {
    const auto& found = actual.at(path).ranges;
    const fs::InodeNumber inode = states[k].InodeAt(path);
    for (const auto& [begin, bytes] : node.ranges) {
      const auto range = found.find(begin);
      if (range == found.end() || range->second.size() != bytes.size()) {
        return fmt::format("'{}': contents from {} cannot be read", path, begin);
      }
      for (size_t i = 0; i < bytes.size(); ++i) {
        const char byte = range->second[i];
        if (byte == bytes[i]) continue;
        bool was_so = false;
        bool was_touched = false;
        for (const ModelOps& state : states) {
          const ModelFile* const file = state.model().Contents(inode);
          const std::string then = file ? file->Read(begin + i, 1) : "";
          was_so |= !then.empty() && then[0] == byte;
          was_touched |= then.empty() || then[0] != bytes[i];
        }
        if (was_so || (byte == '\0' && was_touched)) continue;
        return fmt::format("'{}': byte {} is {:#x}, which it never was", path, begin + i,
                           static_cast<uint8_t>(byte));
      }
    }
  }
  return {};
}

// Where files of state `k` may hold bytes: also where only a state before or after it wrote some,
// which may be the one that is there, or have been written in place.
Interest CrashWorker::InterestIn(std::vector<ModelOps>& states, size_t k) {
  Interest interest = states[k].TouchedRanges();
  for (auto& [path, ranges] : interest) {
    const fs::InodeNumber inode = states[k].InodeAt(path);
    const uint64_t size_bytes = states[k].model().Contents(inode)->size_bytes();
    for (const ModelOps& state : states) {
      const ModelFile* const file = state.model().Contents(inode);
      if (file == nullptr) continue;
      for (auto [begin, length] : file->TouchedRanges()) {
        if (begin >= size_bytes) continue;
        length = std::min(length, size_bytes - begin);
        const auto at_begin = [begin](const auto& range) { return range.first == begin; };
        const auto known = std::ranges::find_if(ranges, at_begin);
        if (known == ranges.end()) {
          ranges.push_back({begin, length});
        } else {
          known->second = std::max(known->second, length);
        }
      }
    }
  }
  return interest;
}

std::string CrashWorker::CompareWithState(PathTarget& target, const Tree& bare,
                                          std::vector<ModelOps>& states, size_t k,
                                          bool in_place) const {
  ComparisonOptions comparison;
  comparison.charges = false;
  comparison.atimes = false;  // nobody promises when they are stored
  ModelOps state(states[k]);
  PathTarget oracle(state);
  if (std::string why = CompareTrees(oracle.Walk({}), bare, comparison); !why.empty()) return why;
  const Interest interest = InterestIn(states, k);
  const Tree expected = oracle.Walk(interest);
  const Tree actual = TreeBelow(target.Walk(WithPrefix(interest)));
  if (!target.Complaint().empty()) return target.Complaint();
  if (!in_place) return CompareTrees(expected, actual, comparison);
  if (std::string why = CompareInPlace(expected, actual, states, k); !why.empty()) return why;
  for (const auto& [path, node] : actual) {
    const fs::InodeNumber inode = states[k].InodeAt(path);
    for (const auto& [begin, bytes] : node.ranges) {
      states[k].model().AdoptBytes(inode, begin, bytes);
    }
  }
  return {};
}

std::string CrashWorker::Recover(fs::FileSystem& file_system, bool in_place) {
  FileSystemOps ops(file_system);
  PathTarget target(ops);
  const Tree bare = TreeBelow(target.Walk({}));
  if (!target.Complaint().empty()) return target.Complaint();
  std::vector<ModelOps> states = ReplayStates();
  std::string reasons;
  for (size_t k = 0; k < states.size(); ++k) {
    const std::string why = CompareWithState(target, bare, states, k, in_place);
    if (!why.empty()) {
      const std::string after = k == 0 ? "the last sync" : since_[k - 1].ToString();
      reasons += fmt::format("  not that after {}: {}\n", after, why);
      continue;
    }
    current_ = std::make_unique<ModelOps>(states[k]);
    const Status released = current_->Remount();
    current_target_ = std::make_unique<PathTarget>(*current_);
    NoteSynced();  // it was read from what survived
    return released ? "" : "the model failed";
  }
  return fmt::format("{}: what is there is no state since the last sync:\n{}", directory_, reasons);
}

}  // namespace tifs::sim
