#pragma once

#include <deque>
#include <map>
#include <string>

#include "base/random.h"

namespace tifs::tikv_store {

// What may befall one request.
enum class Fault : uint8_t {
  kNone,
  kDrop,       // not executed, not answered
  kLoseReply,  // executed, not answered
  kLate,       // not answered; executed after a few other requests have been
  kVeryLate,   // the same after many
  // Executed or not, and then answered with UndeterminedResult.
  kUndeterminedDone,
  kUndeterminedNotDone,
  // Not executed; answered with the region error of that name.
  kNotLeader,         // with the leader
  kNotLeaderUnknown,  // without
  kEpochNotMatch,
  kEpochNotMatchUnknown,  // without the current regions
  kRegionNotFound,
  kKeyNotInRegion,
  kStoreNotMatch,
  kServerIsBusy,
  kStaleCommand,
  kMaxTimestampNotSynced,
  kDataIsNotReady,
  kReadIndexNotReady,
  kProposalInMergingMode,
  kRaftEntryTooLarge,
  kDiskFull,
  // The cluster changes just before the request is looked at.
  kSplit,
  kMoveLeader,
};

// Which requests meet which faults: by script, and then by a seed. Methods are named as in "KvGet".
// Not safe for use by several threads.
class FaultPlan {
 public:
  // The next `times` requests of the method meet it, after those that were scripted before.
  void Script(const std::string& method, Fault fault, int times = 1);
  void ClearScripts() { scripts_.clear(); }
  // Of other requests, so many of a thousand meet a fault; zero: none.
  void Randomly(uint64_t seed, uint32_t permille);

  // For each request, in the order of arrival. `region`: it is one to a region, else one to PD.
  Fault Next(const std::string& method, bool region);
  // A number below `bound`, for what a fault leaves open.
  uint64_t Choose(uint64_t bound) { return random_.Below(bound); }
  bool HasScript(const std::string& method) const;

 private:
  std::map<std::string, std::deque<Fault>> scripts_;
  Random random_{1};
  uint32_t permille_ = 0;
};

}  // namespace tifs::tikv_store
