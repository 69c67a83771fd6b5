#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

#include "base/result.h"
#include "base/sync.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "fs/session_records.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

class Session;

struct SpaceDelta {
  int64_t bytes = 0;
  int64_t inodes = 0;
  // What grows and is not counted, such as extended attributes: there must be room for it all the
  // same.
  int64_t uncounted_bytes = 0;
};

// Counts the bytes and inodes in use against the limits, without a key that every operation writes.
//
// Invariant: the stored UsageRecord is never below what the store's inodes add up to. In memory the
// count is exact; the record is raised in batches ahead of it, is made exact at Close, and after a
// crash counts what was reserved ahead as used until Recount has added up the inodes.
// An operation reserves what it adds before it commits and gives back what it frees after, so the
// limits are never overshot. Safe for use by several threads.
//
// Of a file system with sessions, the count in memory is what this one has added since it joined,
// and the record is its reservation: docs/consistency.md, "Space and inodes". space_sharing.cc has
// what is different then.
class SpaceAccount {
 public:
  struct Limits {
    uint64_t bytes = 0;   // 0: none
    uint64_t inodes = 0;  // 0: none
  };

  SpaceAccount(kv::TransactionRunner& runner, const Schema& schema, Limits limits)
      : runner_(runner), schema_(schema), limits_(limits) {}

  // The count is one session's. Before Open.
  void Share(Session& session) { session_ = &session; }

  // Reads the record. `read_only`: writes nothing.
  Status Open(bool read_only);
  // Writes the record exactly. Nothing may be counted until it is opened again or Reopen is called.
  Status Close();
  // Goes on after Close.
  Status Reopen() { return RaiseRecord(bytes_, inodes_); }
  // Returns once every Operation that began before has ended.
  void AwaitOperations() { std::unique_lock<std::shared_mutex> gate(gate_); }

  // Holds the right to change the count: from before an operation reserves until what it did is
  // counted. A recount waits for all of them for a moment, to take its snapshot between them.
  class Operation {
   public:
    explicit Operation(SpaceAccount& account) : account_(account), gate_(account.gate_) {}
    ~Operation() { Release(); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    // Reserves what grows, in place of what was reserved before. kNoSpace beyond the limits.
    Status Reserve(SpaceDelta delta);
    // The operation committed: counts its whole delta.
    void Commit();
    // It did not: gives the reservation back.
    void Release();

   private:
    SpaceAccount& account_;
    std::shared_lock<std::shared_mutex> gate_;
    SpaceDelta delta_;
  };

  uint64_t used_bytes() const;
  uint64_t used_inodes() const;
  const Limits& limits() const { return limits_; }

  // What growth leaves free on the medium below, so that deleting and the store's own work, which
  // need some space first, always have it.
  static constexpr uint64_t kMediumReserveBytes = 16 << 20;

  // Whether the count is only an upper bound, from before a crash.
  bool needs_recount() const {
    return session_ != nullptr ? NeedsSharedRecount()
                               : needs_recount_.load(std::memory_order_relaxed);
  }
  // Adds up all inodes at one snapshot and corrects the count; operations go on meanwhile.
  Status Recount();

  // --- with sessions ---
  // Reads what the others have, for used_bytes and used_inodes.
  Status RefreshOthers();
  // Writes the reservation anew where it is much more than is used, says something old, or another
  // session has asked for what is not used.
  Status MaintainReservation();
  // The session is dead: what it had counted is void. Returns once nothing of it is under way.
  void StartAnew();
  // What the session has added, exactly; for Session::Leave.
  ReservationRecord UsedExactly() const;

 private:
  static constexpr int64_t kBatchBytes = 256 << 20;
  static constexpr int64_t kBatchInodes = 16384;

  bool Fits(int64_t bytes, int64_t inodes) const;
  // Whether the medium below has room for growth beyond kMediumReserveBytes. Asks it anew after
  // some growth, always where little is left.
  bool MediumHasRoom(int64_t growth_bytes);
  // Raises the stored record so that it covers the given use.
  Status RaiseRecord(int64_t bytes, int64_t inodes);
  Status StoreRecord(const UsageRecord& record);

  // What the records of a shared file system add up to, without this session's.
  struct Others {
    int64_t reserved_bytes = 0;
    int64_t reserved_inodes = 0;
    int64_t used_bytes = 0;
    int64_t used_inodes = 0;
    int64_t sessions = 0;
    SettledRecord settled;
  };
  Result<Others> LoadOthers(kv::Transaction& txn) const;
  bool NeedsSharedRecount() const;
  Status RecountShared();
  Status RaiseReservation(int64_t bytes, int64_t inodes) REQUIRES(record_mutex_);
  Status StoreReservation(int64_t bytes, int64_t inodes) REQUIRES(record_mutex_);
  // Asks the others for what they do not use.
  Status WantRoom();

  kv::TransactionRunner& runner_;
  const Schema& schema_;
  const Limits limits_;
  Session* session_ = nullptr;  // set before Open

  std::shared_mutex gate_;  // shared: one Operation; exclusive: a recount's snapshot
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> inodes_{0};
  std::atomic<bool> needs_recount_{false};
  Mutex recount_mutex_;  // one recount at a time; before gate_

  // What the medium may still take before it is asked again.
  std::atomic<int64_t> medium_credit_bytes_{0};

  Mutex record_mutex_;
  // What the stored record says; read without the mutex to see whether it must be raised.
  // Below all counts while it says nothing of what may come.
  std::atomic<int64_t> record_bytes_{INT64_MIN};
  std::atomic<int64_t> record_inodes_{INT64_MIN};

  // With sessions: of the others, when they were last asked; and what the reservation says.
  std::atomic<int64_t> others_bytes_{0};
  std::atomic<int64_t> others_inodes_{0};
  int64_t written_bytes_ GUARDED_BY(record_mutex_) = 0;
  int64_t written_inodes_ GUARDED_BY(record_mutex_) = 0;
  kv::Timestamp answered_ GUARDED_BY(record_mutex_) = 0;
};

}  // namespace tifs::fs
