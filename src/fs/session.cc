#include "fs/session.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "base/log.h"
#include "fs/records.h"
#include "fs/session_fence.h"
#include "fs/session_table.h"

namespace tifs::fs {
namespace {

using std::chrono::milliseconds;

// How often leftovers are looked for that nobody has in hand.
constexpr auto kAdoptInterval = std::chrono::seconds(60);
// How long a transaction that needs a heartbeat waits before it is begun again.
constexpr auto kBeatWait = milliseconds(100);

// A heartbeat that gets no answer is given up, and made again.
kv::RetryOptions BeatRetry(const SessionOptions& options) {
  kv::RetryOptions retry;
  retry.deadline = options.heartbeat;
  return retry;
}

}  // namespace

Status SessionOptions::Validate() const {
  const bool in_order = heartbeat > milliseconds(0) && timeout >= 3 * heartbeat &&
                        timeout <= Session::kLongestTransaction;
  if (in_order) return {};
  return Error(ErrorCode::kInvalid, "session",
               "the timeout is at least three heartbeats, and at most a minute");
}

Session::Session(kv::Store& store, Clock& clock, const Schema& schema, HandleTable& handles,
                 SessionOptions options)
    : clock_(clock),
      schema_(schema),
      handles_(handles),
      options_(std::move(options)),
      runner_(store, clock, BeatRetry(options_)) {}

kv::Timestamp Session::Ahead(kv::Timestamp timestamp, milliseconds time) const {
  const auto ahead = runner_.store().Ahead(timestamp, time);
  CHECK(ahead.has_value());
  return *ahead;
}

// --- joining and leaving ---

Status Session::Join() {
  MutexLock beating(beat_mutex_);
  return JoinLocked();
}

Status Session::JoinLocked() {
  SessionRecord record;
  record.timeout_ms = static_cast<uint32_t>(options_.timeout.count());
  record.joined = clock_.RealTime();
  record.pid = static_cast<uint32_t>(::getpid());
  record.host = options_.host;
  record.mount_point = options_.mount_point;
  {
    MutexLock lock(mutex_);
    held_.clear();
  }
  Round round;
  // Called by Run at once, and so under the mutex.
  record.id =
      TRY(runner_.Run([&](kv::Transaction& txn) NO_THREAD_SAFETY_ANALYSIS -> Result<SessionId> {
        round = {};
        round.begun = txn.begin_timestamp();
        if (round.begun == 0) return Error(ErrorCode::kUnavailable, "session: no timestamp");
        round.bound = Ahead(round.begun, options_.timeout);
        record.seen = round.begun;
        record.bound = round.bound;
        const SessionId id = TRY(AddSession(txn, schema_, record));
        TRY(Hold(txn, id, 0, round));
        round.all = TRY(LoadSessions(txn, schema_));
        round.settled = TRY(LoadSettled(txn, schema_));
        return id;
      }));
  id_ = record.id.value;
  watched_.clear();
  Apply(round);
  // What is left has nobody else to take it up.
  if (is_alone()) adopt_ = true;
  dead_ = false;
  LogInfo("session {} joined", record.id.value);
  return {};
}

Status Session::Leave(const ReservationRecord& used) {
  MutexLock beating(beat_mutex_);
  if (dead_.exchange(true)) return {};
  const SessionId own = id();
  TRY(RemoveHolds(runner_, schema_, own));
  return runner_.Run([&](kv::Transaction& txn) -> Status {
    const std::optional<SessionRecord> record = TRY(LoadSession(txn, schema_, own));
    if (!record || record->state != SessionState::kAlive) return {};  // others do it
    SettledRecord settled = TRY(LoadSettled(txn, schema_));
    settled.bytes += used.bytes;
    settled.inodes += used.inodes;
    TRY(txn.Put(schema_.SettledUsage(), settled.Encode()));
    TRY(txn.Delete(schema_.Usage(own.value)));
    return txn.Delete(schema_.Session(own.value));
  });
}

// --- heartbeats ---

void Session::Start(Listener& listener) {
  listener_ = &listener;
  if (options_.thread) thread_ = std::thread([this] { Run(); });
}

void Session::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Session::Run() {
  auto next = clock_.Monotonic() + options_.heartbeat;
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !beat_wanted_) {
        const auto left = next - clock_.Monotonic();
        if (left.count() <= 0) break;
        clock_.WaitFor(changed_, mutex_, left);
      }
      if (stopping_) return;
      beat_wanted_ = false;
    }
    next = clock_.Monotonic() + options_.heartbeat;
    const Status beaten = Beat();
    if (beaten) continue;
    if (beaten.error().code() == ErrorCode::kStale) {
      WantBeat();  // joins anew
    } else {
      LogWarning("session {}: heartbeat: {}", id().value, beaten.error().ToString());
    }
    if (dead_) clock_.SleepFor(kBeatWait);
  }
}

void Session::WantBeat() {
  MutexLock lock(mutex_);
  beat_wanted_ = true;
  changed_.NotifyAll();
}

Status Session::Beat() {
  if (dead_) {
    TRY(JoinAnew());
  } else {
    MutexLock beating(beat_mutex_);
    TRY(BeatOnce());
  }
  if (listener_ != nullptr) listener_->SessionMoved();
  return {};
}

Status Session::JoinAnew() {
  MutexLock joining(join_mutex_);
  if (!dead_) return {};
  // Not under the heartbeats' mutex, which what is under way may need to come to its end.
  if (listener_ != nullptr) listener_->SessionDied();
  MutexLock beating(beat_mutex_);
  return JoinLocked();
}

Status Session::BeatOnce() {
  Round round;
  Status beaten = runner_.Run([&](kv::Transaction& txn) NO_THREAD_SAFETY_ANALYSIS -> Status {
    round = {};
    return BeatIn(txn, round);
  });
  if (!beaten) {
    if (beaten.error().code() == ErrorCode::kStale) Died();
    return beaten;
  }
  Apply(round);
  Watch(round.all);
  return {};
}

Status Session::BeatIn(kv::Transaction& txn, Round& round) {
  round.begun = txn.begin_timestamp();
  if (round.begun == 0) return Error(ErrorCode::kUnavailable, "session: no timestamp");
  round.bound = Ahead(round.begun, options_.timeout);
  round.all = TRY(LoadSessions(txn, schema_));
  const auto own = std::ranges::find(round.all, id(), &SessionRecord::id);
  if (own == round.all.end() || own->state != SessionState::kAlive) {
    return Error(ErrorCode::kStale, "session", "was declared dead");
  }
  // Orphans first, the handle table second.
  const kv::Timestamp back = Ahead(0, kLongestTransaction);
  TRY(Hold(txn, id(), seen_ - std::min(seen_, back), round));
  round.settled = TRY(LoadSettled(txn, schema_));
  ++own->count;
  own->seen = round.begun;
  own->bound = round.bound;
  return txn.Put(schema_.Session(own->id.value), own->Encode());
}

Status Session::Hold(kv::Transaction& txn, SessionId id, kv::Timestamp from, Round& round) {
  const KeySpan all = schema_.AllOf(Schema::Scope::kLeftover);
  const Key begin = schema_.Leftover(from, {0});
  std::vector<Orphan> orphans;
  TRY(txn.Scan({begin, all.end}, 0, kv::Direction::kForward,
               [&](std::string_view key, std::string_view value) {
                 const auto parsed = schema_.ParseLeftover(key);
                 const auto record = LeftoverRecord::Decode(value);
                 const bool orphan = parsed && record && record->kind == LeftoverKind::kOrphan;
                 if (orphan) orphans.push_back({parsed->inode, parsed->begun});
                 return true;
               }));
  for (const Orphan& orphan : orphans) {
    if (!handles_.IsOpen(orphan.inode)) continue;
    {
      MutexLock lock(mutex_);
      if (held_.contains(orphan.inode.value)) continue;
    }
    TRY(txn.Put(schema_.Hold(orphan.inode, id.value), "\x01"));
    // Who reclaims it writes this key.
    TRY(txn.Lock(schema_.Leftover(orphan.begun, orphan.inode)));
    round.held.push_back(orphan);
  }
  return {};
}

void Session::Apply(const Round& round) {
  seen_ = round.begun;
  bound_ = round.bound;
  room_wanted_ = round.settled.wanted;
  usage_is_exact_ = round.settled.exact;
  kv::Timestamp all_seen = round.begun;
  bool alone = true;
  for (const SessionRecord& other : round.all) {
    if (other.id == id()) continue;
    alone = false;
    all_seen = std::min(all_seen, other.seen);
  }
  alone_ = alone;
  {
    MutexLock lock(mutex_);
    all_seen_ = all_seen;
    for (const Orphan& orphan : round.held) held_.insert(orphan.inode.value);
    changed_.NotifyAll();
  }
  for (const Orphan& orphan : round.held) {
    if (handles_.MarkUnlinked(orphan.inode, orphan.begun)) continue;
    if (listener_ != nullptr) listener_->ClosedUnlinked(orphan.inode, orphan.begun);
  }
}

// --- the others ---

void Session::Watch(const std::vector<SessionRecord>& all) {
  // Who could not look himself, as while the store was away, cannot tell who was silent.
  const auto looked_before = std::exchange(watched_at_, clock_.Monotonic());
  if (watched_at_ - looked_before > options_.timeout / 2) {
    for (auto& [id, watched] : watched_) watched.since = watched_at_;
  }
  std::vector<SessionId> dead;
  const bool first = std::ranges::none_of(all, [this](const SessionRecord& other) {
    return other.id < id() && other.state == SessionState::kAlive;
  });
  for (const SessionRecord& other : all) {
    if (other.id == id()) continue;
    if (other.state == SessionState::kAlive) {
      MarkIfSilent(other);
      continue;
    }
    // The first takes the steps; the others only if it does not get on with them.
    const auto now = clock_.Monotonic();
    auto& watched = watched_[other.id.value];
    if (watched.count != UINT64_MAX) watched = {UINT64_MAX, now};
    if (first || now - watched.since > milliseconds(other.timeout_ms)) dead.push_back(other.id);
  }
  const size_t gone = std::erase_if(watched_, [&all](const auto& entry) {
    return std::ranges::none_of(
        all, [&entry](const SessionRecord& other) { return other.id.value == entry.first; });
  });
  const auto now = clock_.Monotonic();
  if (first && (gone > 0 || now - adopted_at_ > kAdoptInterval)) {
    adopted_at_ = now;
    adopt_ = true;
  }
  MutexLock lock(mutex_);
  dead_others_ = std::move(dead);
}

void Session::MarkIfSilent(const SessionRecord& other) {
  const auto now = clock_.Monotonic();
  const auto [watched, added] = watched_.try_emplace(other.id.value, Watched{other.count, now});
  if (!added && watched->second.count != other.count) watched->second = {other.count, now};
  // A tenth more, for clocks that do not run alike.
  const auto patience = milliseconds(other.timeout_ms) * 11 / 10;
  if (now - watched->second.since < patience) return;
  const auto marked = MarkSessionDead(runner_, schema_, other.id, other.count);
  if (marked && *marked) {
    LogWarning("session {} of {} gave no sign of life and was declared dead", other.id.value,
               EscapeForLog(other.host));
  }
}

Result<bool> Session::EndOneDead() {
  SessionId dead;
  {
    MutexLock lock(mutex_);
    if (dead_others_.empty()) return false;
    dead = dead_others_.back();
    dead_others_.pop_back();
  }
  Status ended = EndDeadSession(runner_, schema_, dead);
  if (!ended) {
    // The next heartbeat finds it again.
    if (ended.error().retry_class() == RetryClass::kUnavailable ||
        ended.error().code() == ErrorCode::kDeadlineExceeded) {
      return false;
    }
    return std::move(ended).error();
  }
  adopt_ = true;
  LogInfo("session {} was ended", dead.value);
  return true;
}

void Session::Died() {
  dead_ = true;
  LogWarning("session {} was declared dead by others", id().value);
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

// --- the mount's own transactions ---

Status Session::Admit(kv::Transaction& txn) {
  const auto stale = [] { return Error(ErrorCode::kStale, "session", "was declared dead"); };
  if (dead_) return stale();
  const kv::Timestamp begun = txn.begin_timestamp();
  if (begun == 0) return Error(ErrorCode::kUnavailable, "session: no timestamp");
  kv::Timestamp bound = bound_;
  if (begun > bound) {
    if (!options_.thread) {
      MutexLock beating(beat_mutex_);
      if (!dead_ && begun > bound_) TRY(BeatOnce());
    } else {
      WantBeat();
      MutexLock lock(mutex_);
      if (!dead_ && begun > bound_) clock_.WaitFor(changed_, mutex_, kBeatWait);
    }
    bound = bound_;
    if (dead_) return stale();
    if (begun > bound) return Error(ErrorCode::kUnavailable, "session: waits for its heartbeat");
  }
  txn.LimitCommit(std::min(bound, Ahead(begun, kLongestTransaction)));
  // Read once more: what was read of the bound before a death counts, what comes after does not.
  return dead_ ? Status(stale()) : OkStatus();
}

Result<kv::Timestamp> Session::Now() {
  return runner_.Read([](kv::Transaction& txn) -> Result<kv::Timestamp> {
    const kv::Timestamp now = txn.begin_timestamp();
    if (now == 0) return Error(ErrorCode::kUnavailable, "session: no timestamp");
    return now;
  });
}

bool Session::AllHaveSeen(kv::Timestamp seen_at) const {
  MutexLock lock(mutex_);
  return all_seen_ >= seen_at;
}

void Session::ForgetHold(InodeNumber inode) {
  MutexLock lock(mutex_);
  held_.erase(inode.value);
}

}  // namespace tifs::fs
