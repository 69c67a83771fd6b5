#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kv/tikv/cleanup_queue.h"
#include "kv/tikv/heartbeat.h"
#include "kv/tikv/lock_resolver.h"
#include "kv/tikv/region_request.h"
#include "kv/tikv/timestamp_oracle.h"

namespace tifs::kv::tikv {

// The parts of a client that a commit goes through.
struct CommitParts {
  Environment& environment;
  RegionSender& sender;
  LockResolver& resolver;
  TimestampOracle& oracle;
  CleanupQueue& cleanup;
  Heartbeat& heartbeat;
};

// Commits one transaction: prewrites it, commits it in one phase, asynchronously or in two, or
// rolls it back, and finds out what happened when answers are lost. docs/tikv_client.md, "Writing",
// says why each step is right. Used by one thread; what is left to do behind the reply it hands to
// the cleanup queue.
class Committer {
 public:
  // `mutations`: not empty, by key, each key once; keys of the cluster, their keyspace included.
  // The transaction's snapshot is `start_ts`, which was taken at `started` on the clock; it commits
  // at `max_commit_ts` at the latest (0: no limit).
  Committer(const CommitParts& parts, Timestamp start_ts, std::chrono::nanoseconds started,
            std::vector<kvrpcpb::Mutation> mutations, Timestamp max_commit_ts = 0);

  // As kv::Transaction::Commit; also kExists where a mutation demands that its key does not exist.
  // `floor`: a timestamp that was asked for after the caller's Commit was called, or nothing; asked
  // for before the start timestamp is known, it costs no round trip of its own.
  Status Commit(const std::shared_ptr<PendingTimestamp>& floor = nullptr);
  // As kv::Transaction::DetermineCommit; after Commit.
  Result<bool> Determine();

 private:
  enum class Outcome : uint8_t { kOpen, kCommitted, kFailed };

  // What one round of prewrites came to.
  struct Round {
    std::vector<size_t> left;               // to be sent again
    std::optional<Error> failure;           // the transaction cannot commit
    bool lost = false;                      // an answer that might have been the decision
    const RegionCallBase* retry = nullptr;  // says how long to wait
    std::vector<kvrpcpb::LockInfo> locks;
  };
  struct PrewriteBatch {
    RegionRef region;
    std::vector<size_t> items;
  };
  using PrewriteCall = RegionCall<kvrpcpb::PrewriteRequest>;

  void ChooseWay();
  Status ChooseFloor(const std::shared_ptr<PendingTimestamp>& asked, Backoff& backoff);
  Status Prewrite(Backoff& backoff);
  Result<std::vector<PrewriteBatch>> Batches(std::span<const size_t> left, Backoff& backoff);
  void FillPrewrite(const PrewriteBatch& batch, bool one_phase,
                    kvrpcpb::PrewriteRequest& request) const;
  void JudgePrewrite(const PrewriteCall& call, const PrewriteBatch& batch, Round& round);
  void JudgeKeyError(const kvrpcpb::KeyError& error, Round& round);
  Status EndRound(Round& round, Backoff& backoff);

  bool IsBeyondLimit(Timestamp commit_ts) const {
    return max_commit_ts_ != 0 && commit_ts > max_commit_ts_;
  }
  Status CommitPrimary(Backoff& backoff);
  // The primary, and keys that are committed by the same request.
  std::vector<std::string> KeysWithPrimary(const Region& region) const;
  Status Committed(Timestamp commit_ts, std::span<const std::string> done);
  Status Failed(Error error);
  // Asks what became of it; kUndetermined if that cannot be known in time.
  Status AskOutcome(Backoff& backoff);

  uint64_t TtlMs() const;

  const CommitParts parts_;
  const Timestamp start_ts_;
  const std::chrono::nanoseconds started_;
  const std::vector<kvrpcpb::Mutation> mutations_;
  const Timestamp max_commit_ts_;
  std::vector<std::string> keys_;  // of the mutations
  std::string primary_;
  size_t primary_index_ = 0;
  size_t bytes_ = 0;
  size_t batch_bytes_;
  bool one_phase_ = false;
  bool async_ = false;
  bool retrying_ = false;
  Timestamp floor_ = 0;          // smallest commit timestamp that a prewrite asks for
  Timestamp min_commit_ts_ = 0;  // largest that a prewrite answered
  Timestamp one_phase_ts_ = 0;   // not 0: the store has committed
  Timestamp attempted_ = 0;      // at which a commit may have been executed
  Outcome outcome_ = Outcome::kOpen;
};

}  // namespace tifs::kv::tikv
