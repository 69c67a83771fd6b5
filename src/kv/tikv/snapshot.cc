#include "kv/tikv/snapshot.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <unordered_map>

namespace tifs::kv::tikv {
namespace {

// A key error of a read that is not a lock.
Error ReadError(const kvrpcpb::KeyError& error) {
  if (!error.retryable().empty()) {
    return Error(ErrorCode::kUnavailable, "tikv: read", error.retryable());
  }
  return Error(ErrorCode::kIo, "tikv: read", error.abort());
}

std::string After(std::string_view key) { return std::string(key).append(1, '\0'); }

}  // namespace

void Snapshot::PassLocks(kvrpcpb::Context& context) const {
  for (const Timestamp start_ts : passable_) context.add_resolved_locks(start_ts);
}

Status Snapshot::AwaitLocks(std::span<const kvrpcpb::LockInfo> locks, Backoff& backoff) {
  LocksInTheWay way = TRY(resolver_.Resolve(locks, timestamp_, backoff));
  passable_.insert(passable_.end(), way.passable.begin(), way.passable.end());
  if (!way.wait) return {};
  return backoff.WaitAtMost(BackoffKind::kLock, Error(ErrorCode::kUnavailable, "tikv: locked"),
                            *way.wait);
}

Result<std::optional<std::string>> Snapshot::Get(const std::string& key, Backoff& backoff) {
  for (;;) {
    kvrpcpb::GetRequest request;
    request.set_key(key);
    request.set_version(timestamp_);
    PassLocks(*request.mutable_context());
    kvrpcpb::GetResponse answer = TRY(sender_.Repeat(key, request, backoff));
    if (!answer.has_error()) {
      if (answer.not_found()) return std::optional<std::string>();
      return std::optional(std::move(*answer.mutable_value()));
    }
    if (!answer.error().has_locked()) return ReadError(answer.error());
    TRY(AwaitLocks({&answer.error().locked(), 1}, backoff));
  }
}

Result<std::vector<std::optional<std::string>>> Snapshot::BatchGet(
    std::span<const std::string> keys, Backoff& backoff) {
  std::vector<std::optional<std::string>> values(keys.size());
  std::vector<size_t> left(keys.size());
  std::iota(left.begin(), left.end(), 0);
  while (!left.empty()) {
    const std::vector<KeyGroup> groups = TRY(GroupByRegion(sender_.cache(), keys, left, backoff));
    std::deque<RegionCall<kvrpcpb::BatchGetRequest>> calls;
    std::vector<RegionCallBase*> to_send;
    for (const KeyGroup& group : groups) {
      auto& call = calls.emplace_back(group.region);
      call.request.set_version(timestamp_);
      PassLocks(*call.request.mutable_context());
      for (const size_t item : group.items) call.request.add_keys(keys[item]);
      to_send.push_back(&call);
    }
    TRY(sender_.Send(to_send, backoff));
    left.clear();
    std::vector<kvrpcpb::LockInfo> locks;
    const RegionCallBase* failed = nullptr;
    for (size_t i = 0; i < calls.size(); ++i) {
      auto& call = calls[i];
      const bool whole = call.answered != Answered::kYes || call.response.has_error();
      if (call.answered != Answered::kYes) failed = &call;
      if (call.answered == Answered::kYes && call.response.has_error()) {
        if (!call.response.error().has_locked()) return ReadError(call.response.error());
        locks.push_back(call.response.error().locked());
      }
      if (whole) {
        left.insert(left.end(), groups[i].items.begin(), groups[i].items.end());
        continue;
      }
      std::unordered_map<std::string_view, kvrpcpb::KvPair*> found;
      for (kvrpcpb::KvPair& pair : *call.response.mutable_pairs()) {
        if (!pair.has_error()) {
          found[pair.key()] = &pair;
          continue;
        }
        if (!pair.error().has_locked()) return ReadError(pair.error());
        // The lock names the key; the pair need not.
        found[pair.error().locked().key()] = &pair;
        locks.push_back(pair.error().locked());
      }
      for (const size_t item : groups[i].items) {
        const auto pair = found.find(keys[item]);
        if (pair == found.end()) continue;
        if (pair->second->has_error()) {
          left.push_back(item);
        } else {
          values[item] = pair->second->value();
        }
      }
    }
    if (!locks.empty()) TRY(AwaitLocks(locks, backoff));
    if (failed) TRY(RegionSender::WaitAfter(*failed, backoff));
  }
  return values;
}

Result<ScanPiece> Snapshot::Scan(const ScanBounds& bounds, uint32_t limit, Direction direction,
                                 bool key_only, Backoff& backoff) {
  const bool forward = direction == Direction::kForward;
  for (;;) {
    RegionCall<kvrpcpb::ScanRequest> call(
        TRY(forward ? sender_.cache().Locate(bounds.begin, backoff)
                    : sender_.cache().LocateBefore(bounds.end, backoff)));
    const Region& region = *call.region;
    // The part of the range that lies in the region.
    const bool last =
        forward ? region.end.empty() || region.end >= bounds.end : region.begin <= bounds.begin;
    const std::string& low = forward || last ? bounds.begin : region.begin;
    const std::string& high = !forward || last ? bounds.end : region.end;
    call.request.set_start_key(forward ? low : high);
    call.request.set_end_key(forward ? high : low);
    call.request.set_limit(limit);
    call.request.set_version(timestamp_);
    call.request.set_key_only(key_only);
    call.request.set_reverse(!forward);
    PassLocks(*call.request.mutable_context());
    RegionCallBase* const base = &call;
    TRY(sender_.Send({&base, 1}, backoff));
    if (call.answered != Answered::kYes) {
      TRY(RegionSender::WaitAfter(call, backoff));
      continue;
    }
    if (call.response.has_error()) {
      if (!call.response.error().has_locked()) return ReadError(call.response.error());
      TRY(AwaitLocks({&call.response.error().locked(), 1}, backoff));
      continue;
    }
    ScanPiece piece;
    for (kvrpcpb::KvPair& pair : *call.response.mutable_pairs()) {
      if (!pair.has_error()) {
        piece.pairs.emplace_back(std::move(*pair.mutable_key()), std::move(*pair.mutable_value()));
        continue;
      }
      if (!pair.error().has_locked()) return ReadError(pair.error());
      const kvrpcpb::LockInfo& lock = pair.error().locked();
      TRY(AwaitLocks({&lock, 1}, backoff));
      piece.next = forward ? lock.key() : After(lock.key());
      return piece;
    }
    if (piece.pairs.size() >= limit) {
      piece.next = forward ? After(piece.pairs.back().first) : piece.pairs.back().first;
    } else if (!last) {
      piece.next = forward ? region.end : region.begin;
    }
    return piece;
  }
}

}  // namespace tifs::kv::tikv
