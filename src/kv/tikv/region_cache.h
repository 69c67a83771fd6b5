#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/sync.h"
#include "kv/tikv/environment.h"
#include "kv/tikv/pd_client.h"
#include "proto/errorpb.pb.h"
#include "proto/metapb.pb.h"

namespace tifs::kv::tikv {

// A region as it was when PD or a store told of it. Bounds are plain bytes: begin <= key < end, an
// empty end is infinity.
struct Region {
  uint64_t id = 0;
  metapb::RegionEpoch epoch;
  std::string begin;
  std::string end;
  std::vector<metapb::Peer> peers;
  // Index into `peers` of whom to ask; and how many were asked in vain since it was last known.
  size_t leader = 0;
  size_t leader_guesses = 0;

  const metapb::Peer& leader_peer() const { return peers[leader]; }
  bool Contains(std::string_view key) const { return key >= begin && (end.empty() || key < end); }
};
using RegionRef = std::shared_ptr<const Region>;

// Which region holds a key, who leads it, where the leader's store is. Only ever a guess: stores
// refuse what does not fit, and then the cache is told. Safe for use by several threads.
//
// What asks PD may answer kUnavailable, when the backoff gives up, and kCorrupt.
class RegionCache {
 public:
  RegionCache(Environment& environment, PdClient& pd) : environment_(environment), pd_(pd) {}

  // The region that holds `key`.
  Result<RegionRef> Locate(std::string_view key, Backoff& backoff) EXCLUDES(mutex_);
  // The region that holds the keys just below `bound`, which is not empty.
  Result<RegionRef> LocateBefore(std::string_view bound, Backoff& backoff) EXCLUDES(mutex_);
  // kNotFound if the store has left the cluster; then the region is dropped.
  Result<std::string> LeaderAddress(const Region& region, Backoff& backoff) EXCLUDES(mutex_);

  // What a request to `region` found out. All of these do nothing if the cache knows something else
  // by now.
  void Drop(const Region& region) EXCLUDES(mutex_);
  // `leader` leads it. Drops the region if that is none of its peers.
  void SetLeader(const Region& region, const metapb::Peer& leader) EXCLUDES(mutex_);
  // Its leader does not lead it, or does not answer: another peer is tried next. When all have
  // been, the region is dropped.
  void TryNextPeer(const Region& region) EXCLUDES(mutex_);
  void ForgetStore(uint64_t store_id) EXCLUDES(mutex_);
  // It is now `current`, as a store says. Drops it if there are none.
  void Replace(const Region& region, const errorpb::EpochNotMatch& current) EXCLUDES(mutex_);

 private:
  using Regions = std::map<std::string, RegionRef, std::less<>>;

  RegionRef Find(std::string_view key) EXCLUDES(mutex_);
  RegionRef FindBefore(std::string_view bound) EXCLUDES(mutex_);
  RegionRef Insert(Region region) EXCLUDES(mutex_);
  RegionRef InsertLocked(Region region) REQUIRES(mutex_);
  // The entry that is still exactly `region`, or the end.
  Regions::iterator EntryOf(const Region& region) REQUIRES(mutex_);

  Environment& environment_;
  PdClient& pd_;
  Mutex mutex_;
  Regions regions_ GUARDED_BY(mutex_);  // by begin; they do not overlap
  std::unordered_map<uint64_t, std::string> stores_ GUARDED_BY(mutex_);
};

}  // namespace tifs::kv::tikv
