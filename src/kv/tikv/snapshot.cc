#include "kv/tikv/snapshot.h"

#include <algorithm>
#include <unordered_map>

#include "kv/tikv/key_rounds.h"

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
  KeyRounds<kvrpcpb::BatchGetRequest> rounds(sender_, keys);
  std::vector<kvrpcpb::LockInfo> locks;
  const auto fill = [&](auto& request, auto items) {
    request.set_version(timestamp_);
    PassLocks(*request.mutable_context());
    rounds.AddKeys(request, items);
  };
  const auto take = [&](auto& response, auto items) -> Status {
    if (response.has_error()) {
      if (!response.error().has_locked()) return ReadError(response.error());
      locks.push_back(response.error().locked());
      for (const size_t item : items) rounds.Again(item);
      return {};
    }
    std::unordered_map<std::string_view, kvrpcpb::KvPair*> found;
    for (kvrpcpb::KvPair& pair : *response.mutable_pairs()) {
      if (!pair.has_error()) {
        found[pair.key()] = &pair;
        continue;
      }
      if (!pair.error().has_locked()) return ReadError(pair.error());
      // The lock names the key; the pair need not.
      found[pair.error().locked().key()] = &pair;
      locks.push_back(pair.error().locked());
    }
    for (const size_t item : items) {
      const auto pair = found.find(keys[item]);
      if (pair == found.end()) continue;
      if (pair->second->has_error()) {
        rounds.Again(item);
      } else {
        values[item] = pair->second->value();
      }
    }
    return {};
  };
  while (!rounds.done()) {
    locks.clear();
    TRY(rounds.Next(backoff, fill, take));
    if (!locks.empty()) TRY(AwaitLocks(locks, backoff));
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
    bool met_lock = false;
    for (kvrpcpb::KvPair& pair : *call.response.mutable_pairs()) {
      if (!pair.has_error()) {
        piece.pairs.emplace_back(std::move(*pair.mutable_key()), std::move(*pair.mutable_value()));
        continue;
      }
      if (!pair.error().has_locked()) return ReadError(pair.error());
      const kvrpcpb::LockInfo& lock = pair.error().locked();
      TRY(AwaitLocks({&lock, 1}, backoff));
      met_lock = true;
      break;
    }
    // The lock that the store names need not be where the scan stopped: a store may name one of the
    // range and answer nothing else.
    if (met_lock && piece.pairs.empty()) continue;
    if (met_lock || piece.pairs.size() >= limit) {
      piece.next = forward ? After(piece.pairs.back().first) : piece.pairs.back().first;
    } else if (!last) {
      piece.next = forward ? region.end : region.begin;
    }
    return piece;
  }
}

}  // namespace tifs::kv::tikv
