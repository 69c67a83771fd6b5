#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/sync.h"
#include "kv/kv.h"
#include "kv/tikv/environment.h"
#include "proto/pdpb.pb.h"

namespace tifs::kv::tikv {

// The placement driver: its members and leader, and what it knows of regions and stores. Calls go
// to the leader, which is looked for again after any error. Safe for use by several threads.
//
// All calls answer kUnavailable when the backoff gives up, and kCorrupt if the cluster behind the
// addresses is no longer the one that it was.
class PdClient {
 public:
  explicit PdClient(Environment& environment);

  // Address of the leader.
  Result<std::string> Leader(Backoff& backoff);
  // The leader at `address` did not answer as one.
  void ForgetLeader(const std::string& address) EXCLUDES(mutex_);
  // Zero until a leader has been found.
  uint64_t cluster_id() EXCLUDES(mutex_);

  // The region that holds `key`, which is in memcomparable form, as the bounds in the answer are.
  Result<pdpb::GetRegionResponse> GetRegion(std::string_view key, Backoff& backoff);
  // The one before it.
  Result<pdpb::GetRegionResponse> GetPreviousRegion(std::string_view key, Backoff& backoff);
  // kNotFound if the store has left the cluster.
  Result<std::string> StoreAddress(uint64_t store_id, Backoff& backoff);
  // Of all stores, divided by the replicas that data has.
  Result<SpaceUsage> Space(Backoff& backoff);

  // No snapshot below it can be read any more.
  Result<Timestamp> GcSafePoint(Backoff& backoff);
  // Moves it forward. Answers where it is then.
  Result<Timestamp> MoveGcSafePoint(Timestamp safe_point, Backoff& backoff);
  // Snapshots at and after `safe_point` are to stay for `service` during `ttl`, or, if that is
  // zero, it needs none any more. Answers the oldest that any service needs; if that is beyond
  // `safe_point`, nothing was changed.
  Result<Timestamp> HoldGcSafePoint(const std::string& service, Timestamp safe_point,
                                    std::chrono::seconds ttl, Backoff& backoff);
  // Whether a TiDB of this cluster is running.
  Result<bool> TidbRuns(Backoff& backoff);

 private:
  template <typename Response, typename Request>
  Result<Response> Call(const char* method, Request request, Backoff& backoff);
  template <typename Response, typename Request>
  Result<Response> CallOnce(const std::string& address, const char* method, Request& request);
  Result<std::string> FindLeader() EXCLUDES(mutex_);
  Status Learn(const pdpb::GetMembersResponse& members) EXCLUDES(mutex_);

  Environment& environment_;
  Mutex mutex_;
  std::string leader_ GUARDED_BY(mutex_);  // empty: not known
  std::set<std::string> members_ GUARDED_BY(mutex_);
  uint64_t cluster_id_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tifs::kv::tikv
