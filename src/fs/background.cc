#include "fs/background.h"

#include <algorithm>

#include "base/log.h"
#include "fs/mutation.h"
#include "fs/ops/ops.h"

namespace tifs::fs {
namespace {

// How long access times and released blocks may wait.
constexpr auto kTidyInterval = std::chrono::seconds(5);
constexpr auto kRetryInterval = std::chrono::seconds(1);
constexpr auto kFreeSpaceLimit = std::chrono::seconds(5);
constexpr size_t kAtimesAtOnce = 128;

}  // namespace

Status Background::QueueLeftovers() {
  std::vector<Leftover> found;
  TRY(mount_.runner.Read([&](kv::Transaction& txn) -> Status {
    found.clear();
    // So late they were there, for sessions to have seen them.
    const kv::Timestamp seen_at = mount_.session != nullptr ? txn.begin_timestamp() : 0;
    const KeySpan span = mount_.schema.AllOf(Schema::Scope::kLeftover);
    return txn.Scan(span.range(), 0, kv::Direction::kForward,
                    [&](std::string_view key, std::string_view value) {
                      const auto parsed = mount_.schema.ParseLeftover(key);
                      const auto record = LeftoverRecord::Decode(value);
                      if (parsed && record) {
                        found.push_back({parsed->begun, parsed->inode, record->kind, seen_at});
                      } else {
                        LogError("corrupt leftover; fsck mends it");
                      }
                      return true;
                    });
  }));
  for (const Leftover& leftover : found) mount_.leftovers.Push(leftover);
  if (!found.empty()) LogInfo("recovery: {} orphans and clears to work off", found.size());
  return {};
}

void Background::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Background::Stop() {
  stopping_ = true;
  mount_.leftovers.Wake();
  if (thread_.joinable()) thread_.join();
}

void Background::Run() {
  std::optional<std::chrono::nanoseconds> tidy_at;
  while (!stopping_) {
    Result<bool> more = RunStep();
    if (!more) {
      LogError("background work: {}", more.error().ToString());
      mount_.leftovers.Pause(mount_.clock, kRetryInterval);
    }
    PlanTidy(tidy_at);
    const auto now = mount_.clock.Monotonic();
    if (tidy_at && (now >= *tidy_at || mount_.atimes.size() >= AtimeTable::kFlushAt)) {
      tidy_at.reset();
      if (Status tidied = Tidy(); !tidied) {
        LogError("background work: {}", tidied.error().ToString());
        mount_.leftovers.Pause(mount_.clock, kRetryInterval);
      }
    } else if (more && !*more) {
      if (mount_.read_only) {
        mount_.leftovers.AwaitWake();
      } else if (tidy_at) {
        mount_.leftovers.Wait(mount_.clock, *tidy_at - now);
      } else {
        mount_.leftovers.Wait();
      }
    }
  }
}

void Background::PlanTidy(std::optional<std::chrono::nanoseconds>& tidy_at) {
  const bool waits = !mount_.read_only &&
                     (mount_.unsynced || mount_.atimes.size() > 0 || mount_.blocks->HasReleased());
  if (!waits || !mount_.store.ReadOnlyReason().empty()) {
    tidy_at.reset();
  } else if (!tidy_at) {
    tidy_at = mount_.clock.Monotonic() + kTidyInterval;
  }
}

Result<bool> Background::RunStep() {
  MutexLock lock(step_mutex_);
  if (mount_.session != nullptr && TRY(SessionStep())) return true;
  if (mount_.read_only) return false;
  busy_ = true;
  Result<bool> more = true;
  if (!mount_.space.needs_recount()) {
    more = ReclaimOne();
  } else if (Status counted = mount_.space.Recount(); !counted) {
    more = std::move(counted).error();
  }
  busy_ = false;
  return more;
}

Result<bool> Background::ReclaimOne() {
  std::optional<Leftover> leftover = mount_.leftovers.Pop();
  if (!leftover) return false;
  if (mount_.session != nullptr && leftover->kind == LeftoverKind::kOrphan) {
    Result<bool> seen = IsSeenByAll(*leftover);
    if (!seen) {
      mount_.leftovers.Push(*leftover);
      return std::move(seen).error();
    }
    if (!*seen) return true;
  }
  const OpContext context;
  Result<ops::Reclaimed> done =
      Mutate(mount_, context, [&](Operation& op) { return ops::ReclaimStep(op, *leftover); });
  if (!done) {
    // A corrupt inode is left to fsck; all else is tried again.
    if (done.error().code() != ErrorCode::kCorrupt) mount_.leftovers.Push(*leftover);
    return std::move(done).error();
  }
  if (mount_.session != nullptr && !mount_.handles.IsOpen(leftover->inode)) {
    mount_.session->ForgetHold(leftover->inode);
  }
  if (*done == ops::Reclaimed::kMore) {
    mount_.leftovers.Push(*leftover);
  } else if (*done == ops::Reclaimed::kDone && leftover->kind == LeftoverKind::kOrphan) {
    mount_.metrics.reclaimed_inodes.Add();
  }
  return true;
}

// --- sessions ---

Result<bool> Background::IsSeenByAll(Leftover& orphan) {
  Session& session = *mount_.session;
  if (orphan.seen_at == 0) orphan.seen_at = TRY(session.Now());
  if (session.AllHaveSeen(orphan.seen_at)) return true;
  {
    MutexLock lock(waiting_mutex_);
    waiting_.push_back(orphan);
  }
  // Alone, it is only our own heartbeat that is missing.
  if (session.is_alone()) session.WantBeat();
  return false;
}

Result<bool> Background::SessionStep() {
  Session& session = *mount_.session;
  if (TRY(session.EndOneDead())) return true;
  if (session.TakeAdoption() && !mount_.read_only) TRY(QueueLeftovers());
  if (session_moved_.exchange(false)) TRY(mount_.space.MaintainReservation());
  if (session.has_thread() && !session.is_alone()) return false;
  // Nobody else would make the heartbeat that these wait for, or not so soon.
  size_t waits = 0;
  {
    MutexLock lock(waiting_mutex_);
    waits = waiting_.size();
  }
  if (waits == 0 || mount_.leftovers.size() > 0) return false;
  TRY(session.Beat());
  MutexLock lock(waiting_mutex_);
  return waiting_.size() < waits;
}

void Background::SessionMoved() {
  mount_.inode_allocator.SetShard(
      static_cast<uint16_t>(mount_.session->id().value % Schema::kInodeShards));
  {
    MutexLock lock(waiting_mutex_);
    std::erase_if(waiting_, [this](const Leftover& orphan) {
      if (!mount_.session->AllHaveSeen(orphan.seen_at)) return false;
      mount_.leftovers.Push(orphan);
      return true;
    });
  }
  session_moved_ = true;
  mount_.leftovers.Wake();
}

void Background::SessionDied() { mount_.space.StartAnew(); }

void Background::ClosedUnlinked(InodeNumber inode, kv::Timestamp begun) {
  mount_.leftovers.Push({begun, inode, LeftoverKind::kOrphan});
}

void Background::FreeSpace() {
  const auto give_up = mount_.clock.Monotonic() + kFreeSpaceLimit;
  for (;;) {
    const Result<bool> more = RunStep();
    if (!more || !*more || mount_.clock.Monotonic() > give_up) break;
  }
  if (Status recycled = Recycle(); !recycled) {
    LogError("background work: {}", recycled.error().ToString());
  }
}

Status Background::Tidy() {
  TRY(StoreAtimes());
  if (mount_.unsynced && !mount_.read_only) TRY(Sync());
  return Recycle();
}

Status Background::Recycle() {
  if (mount_.read_only || !mount_.blocks->HasReleased()) return {};
  TRY(Sync());
  return mount_.blocks->Recycle();
}

Status Background::Sync() {
  mount_.unsynced = false;
  const uint64_t mark = TRY(mount_.blocks->SyncData());
  TRY(mount_.store.Sync());
  mount_.blocks->RecordsSynced(mark);
  return {};
}

Status Background::StoreAtimes() {
  MutexLock lock(atimes_mutex_);
  const OpContext context;
  // Those that reads move meanwhile are left to the next time.
  for (size_t left = mount_.atimes.size(); left > 0 && !mount_.read_only;) {
    const auto atimes = mount_.atimes.Take(std::min(left, kAtimesAtOnce));
    if (atimes.empty()) return {};
    left -= atimes.size();
    Status stored =
        Mutate(mount_, context, [&](Operation& op) { return ops::StoreAtimes(op, atimes); });
    mount_.atimes.Stored();
    TRY(std::move(stored));
  }
  return {};
}

}  // namespace tifs::fs
