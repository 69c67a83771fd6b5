#include "tests/tikv/store/fault_plan.h"

#include <iterator>

namespace tifs::tikv_store {
namespace {

// Those that a seed may choose: what a client has to survive without an error.
constexpr Fault kAtRegions[] = {Fault::kDrop,
                                Fault::kLoseReply,
                                Fault::kLate,
                                Fault::kVeryLate,
                                Fault::kUndeterminedDone,
                                Fault::kUndeterminedNotDone,
                                Fault::kNotLeader,
                                Fault::kNotLeaderUnknown,
                                Fault::kEpochNotMatch,
                                Fault::kEpochNotMatchUnknown,
                                Fault::kRegionNotFound,
                                Fault::kKeyNotInRegion,
                                Fault::kStoreNotMatch,
                                Fault::kServerIsBusy,
                                Fault::kStaleCommand,
                                Fault::kMaxTimestampNotSynced,
                                Fault::kDataIsNotReady,
                                Fault::kReadIndexNotReady,
                                Fault::kProposalInMergingMode,
                                Fault::kSplit,
                                Fault::kMoveLeader};
constexpr Fault kAtPd[] = {Fault::kDrop, Fault::kLoseReply};

}  // namespace

void FaultPlan::Script(const std::string& method, Fault fault, int times) {
  for (int i = 0; i < times; ++i) scripts_[method].push_back(fault);
}

void FaultPlan::Randomly(uint64_t seed, uint32_t permille) {
  random_ = Random(seed);
  permille_ = permille;
}

bool FaultPlan::HasScript(const std::string& method) const {
  const auto script = scripts_.find(method);
  return script != scripts_.end() && !script->second.empty();
}

Fault FaultPlan::Next(const std::string& method, bool region) {
  if (HasScript(method)) {
    const Fault fault = scripts_[method].front();
    scripts_[method].pop_front();
    return fault;
  }
  if (permille_ == 0 || random_.Below(1000) >= permille_) return Fault::kNone;
  if (region) return kAtRegions[random_.Below(std::size(kAtRegions))];
  return kAtPd[random_.Below(std::size(kAtPd))];
}

}  // namespace tifs::tikv_store
