#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/sync.h"
#include "kv/tikv/region_request.h"
#include "kv/tikv/timestamp_oracle.h"

namespace tifs::kv::tikv {

// What became of a transaction. Once it is known, it never changes.
struct TransactionOutcome {
  Timestamp commit_ts = 0;  // 0: rolled back
  bool committed() const { return commit_ts != 0; }
};

// What is to be done about locks that were met.
struct LocksInTheWay {
  // Transactions whose locks a reader may pass over.
  std::vector<Timestamp> passable;
  // There are others, alive, of which the first expires after that long.
  std::optional<std::chrono::milliseconds> wait;
};

// Finds out what became of transactions whose locks are in the way, ends those that died, and
// removes the locks of those that ended. docs/tikv_client.md has the rules. Safe for use by several
// threads.
//
// Errors: kUnavailable when the backoff gives up; kCorrupt for answers that make no sense.
class LockResolver {
 public:
  LockResolver(Environment& environment, RegionSender& sender, TimestampOracle& oracle)
      : environment_(environment), sender_(sender), oracle_(oracle) {}

  // Locks that a read at `snapshot` met, or a prewrite, which passes 0 and may pass over none.
  // Those of ended transactions are gone on return.
  Result<LocksInTheWay> Resolve(std::span<const kvrpcpb::LockInfo> locks, Timestamp snapshot,
                                Backoff& backoff);

  // What became of our own transaction, of which nothing is on its way but perhaps late requests.
  // Ends it, if it has no outcome yet: by its secondaries, if it is locked for async commit; else
  // it is rolled back. A transaction that was to be committed at `attempted` (not 0) is committed
  // there, if it still can.
  Result<TransactionOutcome> EndOwn(const std::string& primary, Timestamp start_ts,
                                    Timestamp attempted, Backoff& backoff);

  // An outcome that somebody else learned.
  void Note(Timestamp start_ts, TransactionOutcome outcome) EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxRemembered = 4096;

  // Either an outcome, or how it is alive.
  struct Standing {
    std::optional<TransactionOutcome> outcome;
    bool passable = false;
    std::chrono::milliseconds expires_in{0};
  };

  std::optional<TransactionOutcome> Find(Timestamp start_ts) EXCLUDES(mutex_);
  Result<Standing> StandingOf(const kvrpcpb::LockInfo& lock, Timestamp snapshot, Backoff& backoff);
  Result<Standing> Ask(const kvrpcpb::LockInfo& lock, Timestamp snapshot, Timestamp now,
                       bool rollback_if_not_exist, bool force_sync_commit, Backoff& backoff);
  // By the secondaries of an async-commit primary. Nothing: it has fallen back to two phases.
  Result<std::optional<TransactionOutcome>> DecideBySecondaries(const kvrpcpb::LockInfo& primary,
                                                                Backoff& backoff);
  Status RemoveLocks(Timestamp start_ts, TransactionOutcome outcome,
                     std::span<const std::string> keys, bool whole_regions, Backoff& backoff);
  Result<std::optional<TransactionOutcome>> EndOwnLock(const kvrpcpb::LockInfo& lock,
                                                       Timestamp attempted, Backoff& backoff);

  Environment& environment_;
  RegionSender& sender_;
  TimestampOracle& oracle_;
  Mutex mutex_;
  std::unordered_map<Timestamp, TransactionOutcome> outcomes_ GUARDED_BY(mutex_);
  std::deque<Timestamp> remembered_ GUARDED_BY(mutex_);  // oldest first
};

// The error that a key error is to the caller of a transaction.
Error ErrorOfKey(const kvrpcpb::KeyError& error, const char* context);

}  // namespace tifs::kv::tikv
