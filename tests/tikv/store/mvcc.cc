#include "tests/tikv/store/mvcc.h"

#include <algorithm>

namespace tifs::tikv_store {
namespace {

constexpr int kLogicalBits = 18;
constexpr Timestamp kLatest = UINT64_MAX;

bool Expired(const Lock& lock, Timestamp now) {
  return (lock.start_ts >> kLogicalBits) + lock.ttl_ms <= (now >> kLogicalBits);
}

kvrpcpb::KeyError Locked(const Lock& lock, const std::string& key) {
  kvrpcpb::KeyError error;
  FillLock(lock, key, *error.mutable_locked());
  return error;
}

kvrpcpb::KeyError LockNotFound(const std::string& key) {
  kvrpcpb::KeyError error;
  error.set_retryable("the lock of the transaction is not there");
  error.mutable_txn_lock_not_found()->set_key(key);
  return error;
}

// The newest value at or below the timestamp.
const std::string* ValueAt(const KeyRecord& record, Timestamp timestamp) {
  for (auto it = record.writes.lower_bound(timestamp); it != record.writes.end(); ++it) {
    if (it->second.op == kvrpcpb::Put) return &it->second.value;
    if (it->second.op == kvrpcpb::Del) return nullptr;
  }
  return nullptr;
}

// Whether the lock hides what a read at `timestamp` would see. A read of the latest version of a
// primary goes on below the lock: it is not committed.
bool Blocks(const Lock& lock, const std::string& key, Timestamp& timestamp,
            const std::vector<Timestamp>& passable) {
  if (lock.start_ts > timestamp || lock.op == kvrpcpb::Lock) return false;
  if (lock.min_commit_ts > timestamp) return false;
  if (std::ranges::find(passable, lock.start_ts) != passable.end()) return false;
  if (timestamp == kLatest && lock.primary == key && !lock.async_commit) {
    timestamp = lock.start_ts - 1;
    return false;
  }
  return true;
}

}  // namespace

void FillLock(const Lock& lock, const std::string& key, kvrpcpb::LockInfo& out) {
  out.set_primary_lock(lock.primary);
  out.set_lock_version(lock.start_ts);
  out.set_key(key);
  out.set_lock_ttl(lock.ttl_ms);
  out.set_txn_size(lock.txn_size);
  out.set_lock_type(lock.op);
  out.set_use_async_commit(lock.async_commit);
  out.set_min_commit_ts(lock.min_commit_ts);
  for (const std::string& secondary : lock.secondaries) out.add_secondaries(secondary);
}

Mvcc::Read Mvcc::Get(const std::string& key, Timestamp timestamp,
                     const std::vector<Timestamp>& passable) {
  const auto found = records_.find(key);
  if (found == records_.end()) return {};
  const KeyRecord& record = found->second;
  if (record.lock && Blocks(*record.lock, key, timestamp, passable)) {
    return {.error = Locked(*record.lock, key), .value = {}};
  }
  const std::string* value = ValueAt(record, timestamp);
  if (value == nullptr) return {};
  return {.error = {}, .value = *value};
}

std::vector<kvrpcpb::KvPair> Mvcc::Scan(const std::string& begin, const std::string& end,
                                        Direction direction, size_t limit, Timestamp timestamp,
                                        bool key_only, const std::vector<Timestamp>& passable) {
  std::vector<kvrpcpb::KvPair> pairs;
  const auto visit = [&](const std::string& key) {
    Read read = Get(key, timestamp, passable);
    if (!read.error && !read.value) return;
    kvrpcpb::KvPair& pair = pairs.emplace_back();
    pair.set_key(key);
    if (read.error) {
      *pair.mutable_error() = *read.error;
    } else if (!key_only) {
      pair.set_value(*read.value);
    }
  };
  const auto first = records_.lower_bound(begin);
  const auto last = end.empty() ? records_.end() : records_.lower_bound(end);
  if (direction == Direction::kForward) {
    for (auto it = first; it != last && pairs.size() < limit; ++it) visit(it->first);
  } else {
    for (auto it = last; it != first && pairs.size() < limit;) visit((--it)->first);
  }
  return pairs;
}

std::optional<Timestamp> Mvcc::EndOf(const KeyRecord& record, Timestamp start_ts) {
  if (record.overlapped_rollbacks.contains(start_ts)) return 0;
  for (const auto& [commit_ts, write] : record.writes) {
    if (write.start_ts != start_ts) continue;
    return write.op == kvrpcpb::Rollback ? 0 : commit_ts;
  }
  return std::nullopt;
}

void Mvcc::CommitLock(KeyRecord& record, Timestamp commit_ts) {
  Lock& lock = *record.lock;
  const auto at = record.writes.find(commit_ts);
  if (at != record.writes.end() && at->second.op == kvrpcpb::Rollback) {
    record.overlapped_rollbacks[at->second.start_ts] = true;
  }
  record.writes[commit_ts] = {
      .start_ts = lock.start_ts, .op = lock.op, .value = std::move(lock.value)};
  record.lock.reset();
}

void Mvcc::RollBack(KeyRecord& record, Timestamp start_ts) {
  if (record.lock && record.lock->start_ts == start_ts) record.lock.reset();
  const auto at = record.writes.find(start_ts);
  if (at != record.writes.end() && at->second.start_ts != start_ts) {
    record.overlapped_rollbacks[start_ts] = true;
    return;
  }
  record.writes[start_ts] = {.start_ts = start_ts, .op = kvrpcpb::Rollback, .value = {}};
}

std::optional<kvrpcpb::KeyError> Mvcc::CheckMutation(const kvrpcpb::PrewriteRequest& request,
                                                     const kvrpcpb::Mutation& mutation,
                                                     Timestamp& commit_ts) {
  const Timestamp start_ts = request.start_version();
  const auto found = records_.find(mutation.key());
  if (found == records_.end()) return std::nullopt;
  const KeyRecord& record = found->second;
  if (record.lock) {
    if (record.lock->start_ts == start_ts) return std::nullopt;
    return Locked(*record.lock, mutation.key());
  }
  const auto end = EndOf(record, start_ts);
  if (end && *end != 0 && request.context().is_retry_request()) {
    commit_ts = *end;
    return std::nullopt;
  }
  kvrpcpb::KeyError error;
  const bool newer = !record.writes.empty() && record.writes.begin()->first > start_ts;
  if (newer || (end && *end == 0)) {
    kvrpcpb::WriteConflict& conflict = *error.mutable_conflict();
    conflict.set_start_ts(start_ts);
    conflict.set_key(mutation.key());
    conflict.set_reason(newer ? kvrpcpb::WriteConflict::Optimistic
                              : kvrpcpb::WriteConflict::SelfRolledBack);
    return error;
  }
  const bool demands_absence =
      mutation.op() == kvrpcpb::Insert || mutation.op() == kvrpcpb::CheckNotExists;
  if (demands_absence && ValueAt(record, kLatest) != nullptr) {
    error.mutable_already_exist()->set_key(mutation.key());
    return error;
  }
  return std::nullopt;
}

void Mvcc::PutLock(const kvrpcpb::PrewriteRequest& request, const kvrpcpb::Mutation& mutation,
                   bool async_commit, Timestamp min_commit_ts) {
  KeyRecord& record = records_[mutation.key()];
  if (record.lock) return;  // sent again
  Lock lock{.start_ts = request.start_version(),
            .primary = request.primary_lock(),
            .op = mutation.op() == kvrpcpb::Insert ? kvrpcpb::Put : mutation.op(),
            .value = mutation.value(),
            .ttl_ms = request.lock_ttl(),
            .txn_size = request.txn_size(),
            .min_commit_ts = min_commit_ts,
            .async_commit = async_commit,
            .secondaries = {},
            .max_commit_ts = request.max_commit_ts()};
  if (async_commit && mutation.key() == request.primary_lock()) {
    lock.secondaries.assign(request.secondaries().begin(), request.secondaries().end());
  }
  record.lock = std::move(lock);
}

void Mvcc::Prewrite(const kvrpcpb::PrewriteRequest& request, Timestamp max_ts,
                    kvrpcpb::PrewriteResponse& response) {
  Timestamp committed_before = 0;
  for (const kvrpcpb::Mutation& mutation : request.mutations()) {
    const auto error = CheckMutation(request, mutation, committed_before);
    if (!error) continue;
    if (!error->has_locked()) response.clear_errors();
    *response.add_errors() = *error;
    if (!error->has_locked()) return;
  }
  if (response.errors_size() > 0) return;
  if (committed_before != 0) {
    response.set_min_commit_ts(committed_before);
    if (request.try_one_pc()) response.set_one_pc_commit_ts(committed_before);
    return;
  }
  const Timestamp start_ts = request.start_version();
  const Timestamp lowest = std::max({request.min_commit_ts(), max_ts + 1, start_ts + 1});
  const bool in_bounds = request.max_commit_ts() == 0 || lowest <= request.max_commit_ts();
  const bool async_commit = request.use_async_commit() && in_bounds;
  const bool one_phase = request.try_one_pc() && in_bounds;
  // The largest of all locks; those that were sent before have what they were given then.
  Timestamp decided = 0;
  bool all_async = async_commit;
  for (const kvrpcpb::Mutation& mutation : request.mutations()) {
    if (mutation.op() == kvrpcpb::CheckNotExists) continue;
    PutLock(request, mutation, async_commit && !one_phase,
            async_commit || one_phase ? lowest : request.min_commit_ts());
    const Lock& lock = *records_[mutation.key()].lock;
    all_async = all_async && lock.async_commit;
    decided = std::max(decided, lock.min_commit_ts);
  }
  if (one_phase) {
    decided = std::max(decided, lowest);
    for (const kvrpcpb::Mutation& mutation : request.mutations()) {
      if (mutation.op() != kvrpcpb::CheckNotExists) CommitLock(records_[mutation.key()], decided);
    }
    response.set_one_pc_commit_ts(decided);
  } else if (all_async) {
    response.set_min_commit_ts(decided);
  }
}

void Mvcc::Commit(const kvrpcpb::CommitRequest& request, kvrpcpb::CommitResponse& response) {
  const Timestamp start_ts = request.start_version();
  for (const std::string& key : request.keys()) {
    const KeyRecord& record = records_[key];
    if (record.lock && record.lock->start_ts == start_ts) {
      if (request.commit_version() >= record.lock->min_commit_ts) continue;
      kvrpcpb::CommitTsExpired& expired = *response.mutable_error()->mutable_commit_ts_expired();
      expired.set_start_ts(start_ts);
      expired.set_attempted_commit_ts(request.commit_version());
      expired.set_key(key);
      expired.set_min_commit_ts(record.lock->min_commit_ts);
      return;
    }
    const auto end = EndOf(record, start_ts);
    if (end && *end != 0) continue;
    *response.mutable_error() = LockNotFound(key);
    return;
  }
  for (const std::string& key : request.keys()) {
    KeyRecord& record = records_[key];
    if (record.lock && record.lock->start_ts == start_ts) {
      const Timestamp limit = record.lock->max_commit_ts;
      if (limit != 0 && request.commit_version() > limit) ++commits_beyond_limit_;
      CommitLock(record, request.commit_version());
    }
  }
  response.set_commit_version(request.commit_version());
}

void Mvcc::Rollback(const kvrpcpb::BatchRollbackRequest& request,
                    kvrpcpb::BatchRollbackResponse& response) {
  for (const std::string& key : request.keys()) {
    const auto end = EndOf(records_[key], request.start_version());
    if (end && *end != 0) {
      response.mutable_error()->set_abort("committed");
      return;
    }
  }
  for (const std::string& key : request.keys()) {
    RollBack(records_[key], request.start_version());
  }
}

void Mvcc::CheckTxnStatus(const kvrpcpb::CheckTxnStatusRequest& request,
                          kvrpcpb::CheckTxnStatusResponse& response) {
  const std::string& key = request.primary_key();
  KeyRecord& record = records_[key];
  const Timestamp start_ts = request.lock_ts();
  if (record.lock && record.lock->start_ts == start_ts) {
    Lock& lock = *record.lock;
    if (request.verify_is_primary() && lock.primary != key) {
      FillLock(lock, key,
               *response.mutable_error()->mutable_primary_mismatch()->mutable_lock_info());
      return;
    }
    const bool async_commit = lock.async_commit && !request.force_sync_commit();
    if (!async_commit && Expired(lock, request.current_ts())) {
      RollBack(record, start_ts);
      response.set_action(kvrpcpb::TTLExpireRollback);
      return;
    }
    const Timestamp caller = request.caller_start_ts();
    if (!async_commit && caller != kLatest && lock.min_commit_ts != 0 &&
        caller >= lock.min_commit_ts) {
      lock.min_commit_ts = std::max(caller + 1, request.current_ts());
    }
    if (!async_commit && caller != 0 && (caller == kLatest || lock.min_commit_ts > caller)) {
      response.set_action(kvrpcpb::MinCommitTSPushed);
    }
    response.set_lock_ttl(lock.ttl_ms);
    FillLock(lock, key, *response.mutable_lock_info());
    return;
  }
  if (const auto end = EndOf(record, start_ts)) {
    response.set_commit_version(*end);
    return;
  }
  if (!request.rollback_if_not_exist()) {
    response.mutable_error()->mutable_txn_not_found()->set_start_ts(start_ts);
    response.mutable_error()->mutable_txn_not_found()->set_primary_key(key);
    return;
  }
  RollBack(record, start_ts);
  response.set_action(kvrpcpb::LockNotExistRollback);
}

void Mvcc::CheckSecondaryLocks(const kvrpcpb::CheckSecondaryLocksRequest& request,
                               kvrpcpb::CheckSecondaryLocksResponse& response) {
  const Timestamp start_ts = request.start_version();
  for (const std::string& key : request.keys()) {
    KeyRecord& record = records_[key];
    if (record.lock && record.lock->start_ts == start_ts) {
      FillLock(*record.lock, key, *response.add_locks());
      continue;
    }
    const auto end = EndOf(record, start_ts);
    if (!end) RollBack(record, start_ts);
    response.clear_locks();
    response.set_commit_ts(end.value_or(0));
    return;
  }
}

void Mvcc::HeartBeat(const kvrpcpb::TxnHeartBeatRequest& request,
                     kvrpcpb::TxnHeartBeatResponse& response) {
  KeyRecord& record = records_[request.primary_lock()];
  if (!record.lock || record.lock->start_ts != request.start_version()) {
    response.mutable_error()->mutable_txn_not_found()->set_start_ts(request.start_version());
    return;
  }
  record.lock->ttl_ms = std::max(record.lock->ttl_ms, request.advise_lock_ttl());
  response.set_lock_ttl(record.lock->ttl_ms);
}

void Mvcc::ResolveLock(const kvrpcpb::ResolveLockRequest& request, const std::string& begin,
                       const std::string& end, kvrpcpb::ResolveLockResponse&) {
  const auto resolve = [&](KeyRecord& record) {
    if (!record.lock || record.lock->start_ts != request.start_version()) return;
    if (request.commit_version() != 0) {
      CommitLock(record, request.commit_version());
    } else {
      RollBack(record, request.start_version());
    }
  };
  if (request.keys_size() > 0) {
    for (const std::string& key : request.keys()) resolve(records_[key]);
    return;
  }
  const auto last = end.empty() ? records_.end() : records_.lower_bound(end);
  for (auto it = records_.lower_bound(begin); it != last; ++it) resolve(it->second);
}

void Mvcc::ScanLock(const kvrpcpb::ScanLockRequest& request, const std::string& begin,
                    const std::string& end, kvrpcpb::ScanLockResponse& response) {
  const auto last = end.empty() ? records_.end() : records_.lower_bound(end);
  for (auto it = records_.lower_bound(std::max(begin, request.start_key())); it != last; ++it) {
    if (!request.end_key().empty() && it->first >= request.end_key()) break;
    if (request.limit() > 0 && response.locks_size() >= static_cast<int>(request.limit())) break;
    const auto& lock = it->second.lock;
    if (lock && lock->start_ts <= request.max_version()) {
      FillLock(*lock, it->first, *response.add_locks());
    }
  }
}

size_t Mvcc::LockCount() const {
  return std::ranges::count_if(records_, [](const auto& r) { return r.second.lock.has_value(); });
}

}  // namespace tifs::tikv_store
