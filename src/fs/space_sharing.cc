// What SpaceAccount does where several mounts share a file system: each has a reservation, and the
// limit is checked where one is raised.
#include <algorithm>

#include "base/log.h"
#include "fs/session.h"
#include "fs/session_table.h"
#include "fs/space_account.h"

namespace tifs::fs {
namespace {

// What is reserved beyond what is needed: less the nearer the limit is, and the more there are who
// need some.
int64_t Spare(int64_t room, int64_t batch, int64_t sessions) {
  return std::min(batch, room / (2 * (sessions + 1)));
}

// What one that is not asked keeps reserved and does not use.
int64_t Headroom(uint64_t limit, int64_t batch) {
  constexpr uint64_t kShare = 64;
  if (limit == 0) return batch;
  return std::min(batch, static_cast<int64_t>(limit / kShare));
}

}  // namespace

Result<SpaceAccount::Others> SpaceAccount::LoadOthers(kv::Transaction& txn) const {
  Others others;
  const uint64_t own = session_->id().value;
  Status bad;
  const auto add = [&](uint64_t session, std::string_view value) -> Status {
    if (session == 0) {
      const UsageRecord base = TRY(UsageRecord::Decode(value));
      others.reserved_bytes += static_cast<int64_t>(base.bytes);
      others.reserved_inodes += static_cast<int64_t>(base.inodes);
      others.used_bytes += static_cast<int64_t>(base.bytes);
      others.used_inodes += static_cast<int64_t>(base.inodes);
    } else if (session == UINT64_MAX) {
      others.settled = TRY(SettledRecord::Decode(value));
      others.reserved_bytes += others.settled.bytes;
      others.reserved_inodes += others.settled.inodes;
      others.used_bytes += others.settled.bytes;
      others.used_inodes += others.settled.inodes;
    } else if (session != own) {
      const ReservationRecord other = TRY(ReservationRecord::Decode(value));
      others.reserved_bytes += other.bytes;
      others.reserved_inodes += other.inodes;
      others.used_bytes += other.used_bytes;
      others.used_inodes += other.used_inodes;
      ++others.sessions;
    }
    return {};
  };
  const KeySpan all = schema_.AllOf(Schema::Scope::kUsage);
  TRY(txn.Scan(all.range(), 0, kv::Direction::kForward,
               [&](std::string_view key, std::string_view value) {
                 if (const auto session = schema_.ParseUsage(key)) bad = add(*session, value);
                 return bad.ok();
               }));
  TRY(std::move(bad));
  return others;
}

Status SpaceAccount::RefreshOthers() {
  if (session_ == nullptr) return {};
  const Others others = TRY(runner_.Read([&](kv::Transaction& txn) { return LoadOthers(txn); }));
  others_bytes_ = others.used_bytes;
  others_inodes_ = others.used_inodes;
  return {};
}

Status SpaceAccount::RaiseReservation(int64_t bytes, int64_t inodes) {
  int64_t new_bytes = 0;
  int64_t new_inodes = 0;
  bool others_have_some = false;
  Status raised = runner_.Run([&](kv::Transaction& txn) -> Status {
    const Others others = TRY(LoadOthers(txn));
    others_have_some = others.sessions > 0;
    new_bytes = record_bytes_;
    new_inodes = record_inodes_;
    const auto raise = [&](int64_t needed, uint64_t limit, int64_t others_have, int64_t batch,
                           int64_t& reserved) -> Status {
      if (needed <= reserved) return {};
      int64_t room = INT64_MAX;
      if (limit != 0) room = static_cast<int64_t>(limit) - others_have - needed;
      if (room < 0) return Error(ErrorCode::kNoSpace, "limit of the file system");
      reserved = needed + Spare(room, batch, others.sessions);
      return {};
    };
    TRY(raise(bytes, limits_.bytes, others.reserved_bytes, kBatchBytes, new_bytes));
    TRY(raise(inodes, limits_.inodes, others.reserved_inodes, kBatchInodes, new_inodes));
    const ReservationRecord record{new_bytes, new_inodes, bytes_, inodes_};
    TRY(txn.Put(schema_.Usage(session_->id().value), record.Encode()));
    // Two that raise at a time must not both find the same room.
    return txn.Put(schema_.SettledUsage(), others.settled.Encode());
  });
  if (raised) {
    record_bytes_.store(new_bytes);
    record_inodes_.store(new_inodes);
    return {};
  }
  if (raised.error().code() == ErrorCode::kNoSpace && others_have_some) TRY(WantRoom());
  return raised;
}

Status SpaceAccount::WantRoom() {
  return runner_.Run([&](kv::Transaction& txn) -> Status {
    SettledRecord settled = TRY(LoadSettled(txn, schema_));
    settled.wanted = std::max(settled.wanted, txn.begin_timestamp());
    return txn.Put(schema_.SettledUsage(), settled.Encode());
  });
}

Status SpaceAccount::StoreReservation(int64_t bytes, int64_t inodes) {
  const ReservationRecord record{bytes, inodes, bytes_, inodes_};
  TRY(runner_.Run([&](kv::Transaction& txn) {
    return txn.Put(schema_.Usage(session_->id().value), record.Encode());
  }));
  written_bytes_ = record.used_bytes;
  written_inodes_ = record.used_inodes;
  return {};
}

Status SpaceAccount::MaintainReservation() {
  MutexLock lock(record_mutex_);
  const int64_t old_bytes = record_bytes_;
  const int64_t old_inodes = record_inodes_;
  const kv::Timestamp wanted = session_->room_wanted();
  const bool give_back = wanted > answered_;
  const int64_t spare_bytes = Headroom(limits_.bytes, kBatchBytes);
  const int64_t spare_inodes = Headroom(limits_.inodes, kBatchInodes);
  const bool too_much =
      old_bytes - bytes_ > 2 * spare_bytes || old_inodes - inodes_ > 2 * spare_inodes;
  const bool stale = bytes_ != written_bytes_ || inodes_ != written_inodes_;
  if (!give_back && !too_much && !stale) return {};
  // Whoever reserves from here on finds too little reserved and waits for the mutex; whoever did
  // before is counted already.
  record_bytes_.store(INT64_MIN);
  record_inodes_.store(INT64_MIN);
  const int64_t bytes = bytes_;
  const int64_t inodes = inodes_;
  // Never more than before: only Reserve looks at the limit. Some who wait for the mutex are
  // counted.
  const int64_t new_bytes = std::min(old_bytes, give_back ? bytes : bytes + spare_bytes);
  const int64_t new_inodes = std::min(old_inodes, give_back ? inodes : inodes + spare_inodes);
  Status stored = StoreReservation(new_bytes, new_inodes);
  // An outcome that is not known has not been reported: the record says either.
  record_bytes_.store(stored ? new_bytes : std::min(old_bytes, new_bytes));
  record_inodes_.store(stored ? new_inodes : std::min(old_inodes, new_inodes));
  if (stored && give_back) answered_ = wanted;
  return stored;
}

void SpaceAccount::StartAnew() {
  std::unique_lock gate(gate_);
  MutexLock lock(record_mutex_);
  bytes_ = 0;
  inodes_ = 0;
  record_bytes_.store(0);
  record_inodes_.store(0);
  written_bytes_ = written_inodes_ = 0;
}

ReservationRecord SpaceAccount::UsedExactly() const { return {bytes_, inodes_, bytes_, inodes_}; }

bool SpaceAccount::NeedsSharedRecount() const {
  return session_->is_alone() && !session_->usage_is_exact();
}

Status SpaceAccount::RecountShared() {
  int64_t bytes = 0;
  int64_t inodes = 0;
  Others then;
  bool alone = false;
  TRY(runner_.Read([&](kv::Transaction& txn) -> Status {
    bytes = 0;
    inodes = 0;
    int64_t own_bytes = 0;
    int64_t own_inodes = 0;
    {
      std::unique_lock gate(gate_);
      TRY(txn.Get(schema_.Usage()));  // fixes the snapshot
      own_bytes = bytes_;
      own_inodes = inodes_;
    }
    alone = TRY(LoadSessions(txn, schema_)).size() == 1;
    if (!alone) return {};
    then = TRY(LoadOthers(txn));
    const KeySpan all = schema_.AllOf(Schema::Scope::kInode);
    TRY(txn.Scan(all.range(), 0, kv::Direction::kForward,
                 [&](std::string_view key, std::string_view value) {
                   const auto parsed = schema_.ParseInode(key);
                   if (!parsed || parsed->stripe) return true;
                   ++inodes;
                   const auto record = InodeRecord::Decode(parsed->inode, value, false);
                   if (record) bytes += static_cast<int64_t>(record->charged_bytes);
                   return true;
                 }));
    bytes -= own_bytes + then.used_bytes;
    inodes -= own_inodes + then.used_inodes;
    return {};
  }));
  if (!alone) return {};
  TRY(runner_.Run([&](kv::Transaction& txn) -> Status {
    SettledRecord settled = TRY(LoadSettled(txn, schema_));
    // Unless somebody has joined and died meanwhile.
    const bool same = settled.bytes == then.settled.bytes && settled.inodes == then.settled.inodes;
    settled.bytes += bytes;
    settled.inodes += inodes;
    settled.exact = same;
    return txn.Put(schema_.SettledUsage(), settled.Encode());
  }));
  session_->NoteRecounted();
  TRY(RefreshOthers());
  LogInfo("usage counted anew: {} bytes, {} inodes", used_bytes(), used_inodes());
  return {};
}

}  // namespace tifs::fs
