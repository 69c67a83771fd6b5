#include "kv/tikv/region_cache.h"

#include <algorithm>
#include <utility>

#include "kv/tikv/keyspace.h"

namespace tifs::kv::tikv {
namespace {

bool SameEpoch(const metapb::RegionEpoch& a, const metapb::RegionEpoch& b) {
  return a.conf_ver() == b.conf_ver() && a.version() == b.version();
}

Result<std::string> DecodeBound(const std::string& bound) {
  if (bound.empty()) return bound;
  return DecodeMemcomparable(bound);
}

// Nobody has vouched for `from`.
Result<Region> ParseRegion(const metapb::Region& from, uint64_t leader_store) {
  Region region;
  region.id = from.id();
  region.epoch = from.region_epoch();
  region.begin = TRY(DecodeBound(from.start_key()));
  region.end = TRY(DecodeBound(from.end_key()));
  for (const metapb::Peer& peer : from.peers()) {
    if (peer.is_learner()) continue;
    if (peer.store_id() == leader_store) region.leader = region.peers.size();
    region.peers.push_back(peer);
  }
  if (region.id == 0 || region.peers.empty() ||
      (!region.end.empty() && region.begin >= region.end)) {
    return Error(ErrorCode::kUnavailable, "pd: no usable region", std::to_string(region.id));
  }
  return region;
}

}  // namespace

RegionRef RegionCache::Find(std::string_view key) {
  MutexLock lock(mutex_);
  auto after = regions_.upper_bound(key);
  if (after == regions_.begin()) return nullptr;
  const RegionRef& region = std::prev(after)->second;
  return region->Contains(key) ? region : nullptr;
}

RegionRef RegionCache::FindBefore(std::string_view bound) {
  MutexLock lock(mutex_);
  auto after = regions_.lower_bound(bound);
  if (after == regions_.begin()) return nullptr;
  const RegionRef& region = std::prev(after)->second;
  return region->end.empty() || bound <= region->end ? region : nullptr;
}

Result<RegionRef> RegionCache::Locate(std::string_view key, Backoff& backoff) {
  for (;;) {
    if (RegionRef found = Find(key)) return found;
    const pdpb::GetRegionResponse answer = TRY(pd_.GetRegion(EncodeMemcomparable(key), backoff));
    Result<Region> region = ParseRegion(answer.region(), answer.leader().store_id());
    if (region && region->Contains(key)) return Insert(*std::move(region));
    if (region) region = Error(ErrorCode::kUnavailable, "pd: another region than was asked for");
    if (region.error().code() != ErrorCode::kUnavailable) return std::move(region).error();
    TRY(backoff.Wait(BackoffKind::kPd, region.error()));
  }
}

Result<RegionRef> RegionCache::LocateBefore(std::string_view bound, Backoff& backoff) {
  const std::string encoded = EncodeMemcomparable(bound);
  for (;;) {
    if (RegionRef found = FindBefore(bound)) return found;
    pdpb::GetRegionResponse answer = TRY(pd_.GetRegion(encoded, backoff));
    if (answer.region().start_key() == encoded) {
      answer = TRY(pd_.GetPreviousRegion(encoded, backoff));
    }
    Result<Region> region = ParseRegion(answer.region(), answer.leader().store_id());
    if (region && region->begin < bound && (region->end.empty() || bound <= region->end)) {
      return Insert(*std::move(region));
    }
    if (region) region = Error(ErrorCode::kUnavailable, "pd: another region than was asked for");
    if (region.error().code() != ErrorCode::kUnavailable) return std::move(region).error();
    TRY(backoff.Wait(BackoffKind::kPd, region.error()));
  }
}

Result<std::string> RegionCache::LeaderAddress(const Region& region, Backoff& backoff) {
  const uint64_t store_id = region.leader_peer().store_id();
  {
    MutexLock lock(mutex_);
    const auto known = stores_.find(store_id);
    if (known != stores_.end()) return known->second;
  }
  Result<std::string> address = pd_.StoreAddress(store_id, backoff);
  if (!address) {
    if (address.error().code() == ErrorCode::kNotFound) Drop(region);
    return address;
  }
  MutexLock lock(mutex_);
  stores_[store_id] = *address;
  return address;
}

RegionRef RegionCache::Insert(Region region) {
  MutexLock lock(mutex_);
  return InsertLocked(std::move(region));
}

RegionRef RegionCache::InsertLocked(Region region) {
  auto it = regions_.upper_bound(region.begin);
  if (it != regions_.begin()) --it;
  while (it != regions_.end() && (region.end.empty() || it->first < region.end)) {
    const bool overlaps = it->second->end.empty() || region.begin < it->second->end;
    it = overlaps ? regions_.erase(it) : std::next(it);
  }
  auto shared = std::make_shared<const Region>(std::move(region));
  regions_[shared->begin] = shared;
  return shared;
}

RegionCache::Regions::iterator RegionCache::EntryOf(const Region& region) {
  const auto found = regions_.find(region.begin);
  if (found == regions_.end()) return found;
  const Region& now = *found->second;
  const bool same =
      now.id == region.id && SameEpoch(now.epoch, region.epoch) && now.leader == region.leader;
  return same ? found : regions_.end();
}

void RegionCache::Drop(const Region& region) {
  MutexLock lock(mutex_);
  const auto entry = EntryOf(region);
  if (entry != regions_.end()) regions_.erase(entry);
}

void RegionCache::SetLeader(const Region& region, const metapb::Peer& leader) {
  MutexLock lock(mutex_);
  const auto entry = EntryOf(region);
  if (entry == regions_.end()) return;
  Region changed = *entry->second;
  const auto peer = std::ranges::find_if(
      changed.peers, [&](const metapb::Peer& p) { return p.id() == leader.id(); });
  if (peer == changed.peers.end()) {
    regions_.erase(entry);
    return;
  }
  changed.leader = peer - changed.peers.begin();
  changed.leader_guesses = 0;
  entry->second = std::make_shared<const Region>(std::move(changed));
}

void RegionCache::TryNextPeer(const Region& region) {
  MutexLock lock(mutex_);
  const auto entry = EntryOf(region);
  if (entry == regions_.end()) return;
  Region changed = *entry->second;
  if (++changed.leader_guesses >= changed.peers.size()) {
    regions_.erase(entry);
    return;
  }
  changed.leader = (changed.leader + 1) % changed.peers.size();
  entry->second = std::make_shared<const Region>(std::move(changed));
}

void RegionCache::ForgetStore(uint64_t store_id) {
  MutexLock lock(mutex_);
  stores_.erase(store_id);
}

void RegionCache::Replace(const Region& region, const errorpb::EpochNotMatch& current) {
  const uint64_t leader_store = region.leader_peer().store_id();
  MutexLock lock(mutex_);
  const auto entry = EntryOf(region);
  if (entry != regions_.end()) regions_.erase(entry);
  for (const metapb::Region& from : current.current_regions()) {
    Result<Region> parsed = ParseRegion(from, leader_store);
    // A store that lags behind tells of what we know better.
    if (!parsed || (parsed->id == region.id && parsed->epoch.version() < region.epoch.version())) {
      continue;
    }
    InsertLocked(*std::move(parsed));
  }
}

}  // namespace tifs::kv::tikv
