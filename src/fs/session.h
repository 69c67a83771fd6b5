#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"
#include "fs/handles.h"
#include "fs/schema.h"
#include "fs/session_records.h"
#include "kv/kv.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

struct SessionOptions {
  std::chrono::milliseconds heartbeat{2000};
  // After so long without a heartbeat the others take it for dead. At most kLongestTransaction.
  std::chrono::milliseconds timeout{20000};
  std::string host;         // shown by `tifs sessions`
  std::string mount_point;  // likewise
  // Make heartbeats in a thread. Off: only by Beat, for tests; and by who needs one to go on.
  bool thread = true;

  Status Validate() const;
};

// This mount among the mounts of a file system: registered, kept alive by heartbeats, fenced when
// it dies, and watching the others. docs/consistency.md, "Many mounts: sessions", has the rules and
// why they are enough. Safe for use by several threads.
class Session {
 public:
  // From the snapshot of a transaction to its commit; enforced by Admit.
  static constexpr std::chrono::milliseconds kLongestTransaction{60000};

  // What the rest of the mount does when something happens. Called by who makes the heartbeat.
  class Listener {
   public:
    virtual ~Listener() = default;
    // It is dead: returns once no operation of it is under way; what it had counted is void.
    virtual void SessionDied() = 0;
    // Others, or this one, have moved on: see AllHaveSeen, NeedsWork.
    virtual void SessionMoved() = 0;
    // An unlinked inode was to be kept, and has been closed meanwhile.
    virtual void ClosedUnlinked(InodeNumber inode, kv::Timestamp begun) = 0;
  };

  // All outlive it. Precondition: the store is shared (kv::Store::Ahead).
  Session(kv::Store& store, Clock& clock, const Schema& schema, HandleTable& handles,
          SessionOptions options);
  ~Session() { Stop(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Registers it. Errors: kNotFound, kBusy (see AddSession).
  Status Join();
  // Begins to make heartbeats, if they are to be made by a thread. `listener` outlives Stop.
  void Start(Listener& listener);
  void Stop();
  // After Stop, once nothing is under way: gives back what it has and deletes the record. `used`:
  // what it has really added to the space in use.
  Status Leave(const ReservationRecord& used);

  // At the start of every transaction of this mount: it happens while the session is alive, or not
  // at all. kStale: it is dead. kUnavailable, to be tried again: its next heartbeat is due.
  Status Admit(kv::Transaction& txn);
  // One heartbeat, or, where it is dead, joins anew. Errors: kStale (it is dead, as it finds now).
  Status Beat() EXCLUDES(join_mutex_, beat_mutex_);
  // Have a heartbeat made soon.
  void WantBeat() EXCLUDES(mutex_);

  SessionId id() const { return {id_.load(std::memory_order_relaxed)}; }
  bool has_thread() const { return options_.thread; }
  // A timestamp of now: larger than that of whatever has committed before.
  Result<kv::Timestamp> Now();
  // Whether every session has looked at the orphans that were there at `seen_at`: what it has open
  // of them, it holds.
  bool AllHaveSeen(kv::Timestamp seen_at) const EXCLUDES(mutex_);
  // As of the last heartbeat.
  bool is_alone() const { return alone_.load(std::memory_order_relaxed); }
  // A session that found no room has asked the others for what they do not use: when, or 0.
  kv::Timestamp room_wanted() const { return room_wanted_.load(std::memory_order_relaxed); }
  // False: what a session that died had reserved counts as used, until NoteRecounted.
  bool usage_is_exact() const { return usage_is_exact_.load(std::memory_order_relaxed); }
  void NoteRecounted() { usage_is_exact_ = true; }

  // Ends one session that died, if that is for this one to do; whether there was one.
  Result<bool> EndOneDead() EXCLUDES(mutex_);
  // Whether leftovers that nobody may have in hand are to be looked for, by this session, now.
  bool TakeAdoption() { return adopt_.exchange(false); }
  // Puts a hold away that a transaction of the caller's has deleted.
  void ForgetHold(InodeNumber inode) EXCLUDES(mutex_);

 private:
  struct Orphan {
    InodeNumber inode;
    kv::Timestamp begun = 0;
  };
  // What one heartbeat found and did.
  struct Round {
    kv::Timestamp begun = 0;
    kv::Timestamp bound = 0;
    std::vector<Orphan> held;
    std::vector<SessionRecord> all;
    SettledRecord settled;
  };
  // Of another session: since when its count is this.
  struct Watched {
    uint64_t count = 0;
    std::chrono::nanoseconds since{0};
  };

  void Run();
  Status BeatOnce() REQUIRES(beat_mutex_);
  Status BeatIn(kv::Transaction& txn, Round& round) REQUIRES(beat_mutex_);
  Status JoinLocked() REQUIRES(beat_mutex_);
  Status JoinAnew() EXCLUDES(join_mutex_, beat_mutex_);
  // Puts holds on what is open and was unlinked, by orphans that began at `from` or later.
  Status Hold(kv::Transaction& txn, SessionId id, kv::Timestamp from, Round& round)
      REQUIRES(beat_mutex_);
  void Apply(const Round& round) REQUIRES(beat_mutex_);
  void Watch(const std::vector<SessionRecord>& all) REQUIRES(beat_mutex_);
  void MarkIfSilent(const SessionRecord& other) REQUIRES(beat_mutex_);
  void Died() REQUIRES(beat_mutex_);
  kv::Timestamp Ahead(kv::Timestamp timestamp, std::chrono::milliseconds time) const;

  Clock& clock_;
  const Schema& schema_;
  HandleTable& handles_;
  const SessionOptions options_;
  kv::TransactionRunner runner_;  // its transactions are not admitted: they are what admission is
  Listener* listener_ = nullptr;  // set by Start

  // Read by every transaction, without a lock.
  std::atomic<uint64_t> id_{0};
  std::atomic<kv::Timestamp> bound_{0};
  std::atomic<bool> dead_{true};  // until it has joined
  std::atomic<bool> alone_{false};
  std::atomic<kv::Timestamp> room_wanted_{0};
  std::atomic<bool> adopt_{false};
  std::atomic<bool> usage_is_exact_{true};

  // One that joins anew at a time; before whatever a transaction of the mount holds.
  Mutex join_mutex_;
  Mutex beat_mutex_;  // one heartbeat at a time; behind those, before mutex_
  kv::Timestamp seen_ GUARDED_BY(beat_mutex_) = 0;
  std::map<uint64_t, Watched> watched_ GUARDED_BY(beat_mutex_);
  std::chrono::nanoseconds watched_at_ GUARDED_BY(beat_mutex_){0};
  std::chrono::nanoseconds adopted_at_ GUARDED_BY(beat_mutex_){0};

  mutable Mutex mutex_;
  CondVar changed_;
  kv::Timestamp all_seen_ GUARDED_BY(mutex_) = 0;
  std::unordered_set<uint64_t> held_ GUARDED_BY(mutex_);  // inodes
  std::vector<SessionId> dead_others_ GUARDED_BY(mutex_);
  bool beat_wanted_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tifs::fs
