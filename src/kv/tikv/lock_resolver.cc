#include "kv/tikv/lock_resolver.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kv/tikv/key_rounds.h"

namespace tifs::kv::tikv {
namespace {

using std::chrono::milliseconds;

// A transaction with at least that many locks in a region has all of them removed at once.
constexpr uint64_t kManyLocks = 16;

// How long a lock lives after `now`; not above zero: it has expired.
int64_t TtlLeftMs(Timestamp start_ts, uint64_t ttl_ms, Timestamp now) {
  return static_cast<int64_t>(PhysicalMs(start_ts) + ttl_ms) -
         static_cast<int64_t>(PhysicalMs(now));
}

}  // namespace

Error ErrorOfKey(const kvrpcpb::KeyError& error, const char* context) {
  if (error.has_conflict()) return Error(ErrorCode::kConflict, context);
  if (error.has_already_exist()) return Error(ErrorCode::kExists, context);
  if (error.has_locked()) return Error(ErrorCode::kConflict, context, "locked");
  std::string detail = !error.abort().empty() ? error.abort() : error.retryable();
  return Error(ErrorCode::kConflict, context, std::move(detail));
}

void LockResolver::Note(Timestamp start_ts, TransactionOutcome outcome) {
  MutexLock lock(mutex_);
  if (!outcomes_.emplace(start_ts, outcome).second) return;
  remembered_.push_back(start_ts);
  if (remembered_.size() <= kMaxRemembered) return;
  outcomes_.erase(remembered_.front());
  remembered_.pop_front();
}

std::optional<TransactionOutcome> LockResolver::Find(Timestamp start_ts) {
  MutexLock lock(mutex_);
  const auto found = outcomes_.find(start_ts);
  if (found == outcomes_.end()) return std::nullopt;
  return found->second;
}

Result<LocksInTheWay> LockResolver::Resolve(std::span<const kvrpcpb::LockInfo> locks,
                                            Timestamp snapshot, Backoff& backoff) {
  std::map<Timestamp, std::vector<const kvrpcpb::LockInfo*>> by_transaction;
  for (const kvrpcpb::LockInfo& lock : locks) {
    by_transaction[lock.lock_version()].push_back(&lock);
  }
  LocksInTheWay way;
  for (const auto& [start_ts, of_one] : by_transaction) {
    const Standing standing = TRY(StandingOf(*of_one.front(), snapshot, backoff));
    if (standing.outcome) {
      std::vector<std::string> keys;
      for (const kvrpcpb::LockInfo* lock : of_one) keys.push_back(lock->key());
      const bool many = of_one.front()->txn_size() >= kManyLocks;
      TRY(RemoveLocks(start_ts, *standing.outcome, keys, many, backoff));
    } else if (standing.passable) {
      way.passable.push_back(start_ts);
    } else {
      way.wait = std::min(way.wait.value_or(milliseconds::max()), standing.expires_in);
    }
  }
  return way;
}

Result<LockResolver::Standing> LockResolver::StandingOf(const kvrpcpb::LockInfo& lock,
                                                        Timestamp snapshot, Backoff& backoff) {
  if (auto known = Find(lock.lock_version())) return Standing{.outcome = known};
  const Timestamp now = TRY(oracle_.Get(backoff));
  Standing standing = TRY(Ask(lock, snapshot, now, false, false, backoff));
  if (standing.outcome) Note(lock.lock_version(), *standing.outcome);
  return standing;
}

Result<LockResolver::Standing> LockResolver::Ask(const kvrpcpb::LockInfo& lock, Timestamp snapshot,
                                                 Timestamp now, bool rollback_if_not_exist,
                                                 bool force_sync_commit, Backoff& backoff) {
  kvrpcpb::CheckTxnStatusRequest request;
  request.set_primary_key(lock.primary_lock());
  request.set_lock_ts(lock.lock_version());
  request.set_caller_start_ts(snapshot);
  request.set_current_ts(now);
  request.set_rollback_if_not_exist(rollback_if_not_exist);
  request.set_force_sync_commit(force_sync_commit);
  request.set_verify_is_primary(true);
  const kvrpcpb::CheckTxnStatusResponse answer =
      TRY(sender_.Repeat(lock.primary_lock(), request, backoff));
  if (answer.has_error()) {
    if (!answer.error().has_txn_not_found()) {
      return Error(ErrorCode::kCorrupt, "tikv: transaction status", answer.error().abort());
    }
    // The prewrite of the primary may still be on its way.
    const int64_t left = TtlLeftMs(lock.lock_version(), lock.lock_ttl(), now);
    if (left > 0) return Standing{.expires_in = milliseconds(left)};
    return Ask(lock, snapshot, now, true, force_sync_commit, backoff);
  }
  if (answer.commit_version() != 0) return Standing{.outcome = {{answer.commit_version()}}};
  if (answer.lock_ttl() == 0) return Standing{.outcome = TransactionOutcome{}};

  const int64_t left = TtlLeftMs(lock.lock_version(), answer.lock_ttl(), now);
  if (answer.lock_info().use_async_commit() && left <= 0 && !force_sync_commit) {
    auto decided = TRY(DecideBySecondaries(answer.lock_info(), backoff));
    if (decided) return Standing{.outcome = decided};
    return Ask(lock, snapshot, now, true, true, backoff);
  }
  return Standing{.passable = snapshot != 0 && answer.action() == kvrpcpb::MinCommitTSPushed,
                  .expires_in = milliseconds(std::max<int64_t>(left, 1))};
}

Result<std::optional<TransactionOutcome>> LockResolver::DecideBySecondaries(
    const kvrpcpb::LockInfo& primary, Backoff& backoff) {
  const std::vector<std::string> keys(primary.secondaries().begin(), primary.secondaries().end());
  TransactionOutcome outcome{primary.min_commit_ts()};
  bool fell_back = false;
  KeyRounds<kvrpcpb::CheckSecondaryLocksRequest> rounds(sender_, keys);
  const auto fill = [&](auto& request, auto items) {
    request.set_start_version(primary.lock_version());
    rounds.AddKeys(request, items);
  };
  const auto take = [&](auto& response, auto items) -> Status {
    if (response.has_error()) {
      return Error(ErrorCode::kCorrupt, "tikv: secondary locks", response.error().abort());
    }
    if (static_cast<size_t>(response.locks_size()) < items.size()) {
      outcome.commit_ts = response.commit_ts();  // one is missing, and that decides
      rounds.Stop();
      return {};
    }
    for (const kvrpcpb::LockInfo& lock : response.locks()) {
      fell_back = fell_back || !lock.use_async_commit();
      outcome.commit_ts = std::max(outcome.commit_ts, lock.min_commit_ts());
    }
    if (fell_back) rounds.Stop();
    return {};
  };
  while (!rounds.done()) TRY(rounds.Next(backoff, fill, take));
  if (fell_back) return std::optional<TransactionOutcome>();
  Note(primary.lock_version(), outcome);
  std::vector<std::string> all = keys;
  all.push_back(primary.primary_lock());
  TRY(RemoveLocks(primary.lock_version(), outcome, all, false, backoff));
  return std::optional(outcome);
}

Status LockResolver::RemoveLocks(Timestamp start_ts, TransactionOutcome outcome,
                                 std::span<const std::string> keys, bool whole_regions,
                                 Backoff& backoff) {
  KeyRounds<kvrpcpb::ResolveLockRequest> rounds(sender_, keys);
  const auto fill = [&](auto& request, auto items) {
    request.set_start_version(start_ts);
    request.set_commit_version(outcome.commit_ts);
    if (!whole_regions) rounds.AddKeys(request, items);
  };
  const auto take = [](auto& response, auto) -> Status {
    if (!response.has_error()) return {};
    return Error(ErrorCode::kCorrupt, "tikv: resolve locks", response.error().abort());
  };
  while (!rounds.done()) TRY(rounds.Next(backoff, fill, take));
  return {};
}

Result<TransactionOutcome> LockResolver::EndOwn(const std::string& primary, Timestamp start_ts,
                                                Timestamp attempted, Backoff& backoff) {
  kvrpcpb::CheckTxnStatusRequest request;
  request.set_primary_key(primary);
  request.set_lock_ts(start_ts);
  request.set_rollback_if_not_exist(true);
  request.set_verify_is_primary(true);
  for (;;) {
    request.set_current_ts(TRY(oracle_.Get(backoff)));
    const kvrpcpb::CheckTxnStatusResponse answer = TRY(sender_.Repeat(primary, request, backoff));
    if (answer.has_error()) {
      return Error(ErrorCode::kCorrupt, "tikv: own status", answer.error().abort());
    }
    if (answer.lock_ttl() == 0) {
      const TransactionOutcome outcome{answer.commit_version()};
      Note(start_ts, outcome);
      return outcome;
    }
    kvrpcpb::LockInfo lock = answer.lock_info();
    lock.set_primary_lock(primary);
    lock.set_lock_version(start_ts);
    const auto ended = TRY(EndOwnLock(lock, attempted, backoff));
    if (ended) return *ended;
    TRY(backoff.Wait(BackoffKind::kLock, Error(ErrorCode::kUnavailable, "tikv: own lock")));
  }
}

// Nothing: something has been done about it, ask again.
Result<std::optional<TransactionOutcome>> LockResolver::EndOwnLock(const kvrpcpb::LockInfo& lock,
                                                                   Timestamp attempted,
                                                                   Backoff& backoff) {
  if (attempted != 0) {
    kvrpcpb::CommitRequest request;
    request.set_start_version(lock.lock_version());
    request.set_commit_version(attempted);
    request.set_primary_key(lock.primary_lock());
    request.add_keys(lock.primary_lock());
    const kvrpcpb::CommitResponse answer =
        TRY(sender_.Repeat(lock.primary_lock(), request, backoff));
    // Pushed past that timestamp, it can no longer be committed there, nor has it been.
    if (!answer.has_error() || !answer.error().has_commit_ts_expired()) {
      return std::optional<TransactionOutcome>();
    }
  } else if (lock.use_async_commit()) {
    auto decided = TRY(DecideBySecondaries(lock, backoff));
    if (decided) return decided;
  }
  kvrpcpb::BatchRollbackRequest request;
  request.set_start_version(lock.lock_version());
  request.add_keys(lock.primary_lock());
  TRY(sender_.Repeat(lock.primary_lock(), request, backoff));
  return std::optional<TransactionOutcome>();
}

}  // namespace tifs::kv::tikv
