#include "fs/space_account.h"

#include <algorithm>

#include "base/log.h"

namespace tifs::fs {
namespace {

// What an inode and its entry take of the store, roughly.
constexpr int64_t kBytesOfAnInode = 1024;
constexpr uint64_t kMaxMediumCredit = 64 << 20;

int64_t Positive(int64_t value) { return std::max<int64_t>(value, 0); }

}  // namespace

Status SpaceAccount::Open(bool read_only) {
  if (session_ != nullptr) {
    StartAnew();
    return RefreshOthers();
  }
  const UsageRecord record = TRY(runner_.Read([&](kv::Transaction& txn) -> Result<UsageRecord> {
    const std::optional<kv::Value> value = TRY(txn.Get(schema_.Usage()));
    if (!value) return UsageRecord();
    return UsageRecord::Decode(value->view());
  }));
  bytes_ = static_cast<int64_t>(record.bytes);
  inodes_ = static_cast<int64_t>(record.inodes);
  needs_recount_ = !record.exact;
  if (read_only) return {};
  return RaiseRecord(bytes_, inodes_);
}

Status SpaceAccount::Close() {
  if (session_ != nullptr) return {};  // leaving gives the reservation back
  MutexLock lock(record_mutex_);
  if (needs_recount()) return {};  // the record is an upper bound already
  TRY(StoreRecord({used_bytes(), used_inodes(), true}));
  record_bytes_.store(INT64_MIN, std::memory_order_release);
  record_inodes_.store(INT64_MIN, std::memory_order_release);
  return {};
}

uint64_t SpaceAccount::used_bytes() const {
  const int64_t others = others_bytes_.load(std::memory_order_relaxed);
  return static_cast<uint64_t>(Positive(others + bytes_.load(std::memory_order_relaxed)));
}

uint64_t SpaceAccount::used_inodes() const {
  const int64_t others = others_inodes_.load(std::memory_order_relaxed);
  return static_cast<uint64_t>(Positive(others + inodes_.load(std::memory_order_relaxed)));
}

bool SpaceAccount::Fits(int64_t bytes, int64_t inodes) const {
  return (limits_.bytes == 0 || bytes <= static_cast<int64_t>(limits_.bytes)) &&
         (limits_.inodes == 0 || inodes <= static_cast<int64_t>(limits_.inodes));
}

bool SpaceAccount::MediumHasRoom(int64_t growth_bytes) {
  if (medium_credit_bytes_.fetch_sub(growth_bytes, std::memory_order_relaxed) > growth_bytes) {
    return true;
  }
  const Result<kv::SpaceUsage> space = runner_.store().Space();
  // Then the store itself says when it is full.
  if (!space || space->total_bytes == 0) return true;
  const uint64_t available = space->available_bytes;
  if (available < kMediumReserveBytes + static_cast<uint64_t>(growth_bytes)) return false;
  // Others use the medium as well: only a part of what is left is taken for granted.
  const uint64_t spare = available - kMediumReserveBytes - static_cast<uint64_t>(growth_bytes);
  medium_credit_bytes_ = static_cast<int64_t>(std::min<uint64_t>(spare / 16, kMaxMediumCredit));
  return true;
}

Status SpaceAccount::Operation::Reserve(SpaceDelta delta) {
  const int64_t bytes = Positive(delta.bytes);
  const int64_t inodes = Positive(delta.inodes);
  const int64_t growth = bytes + Positive(delta.uncounted_bytes);
  if (growth == 0 && inodes == 0) {
    delta_ = delta;
    return {};
  }
  if (!account_.MediumHasRoom(growth + inodes * kBytesOfAnInode)) {
    return Error(ErrorCode::kNoSpace, "the disk below");
  }
  const int64_t new_bytes = account_.bytes_.fetch_add(bytes) + bytes;
  const int64_t new_inodes = account_.inodes_.fetch_add(inodes) + inodes;
  // Only what grows is held against its limit: a full file system still takes a change that needs
  // no space.
  const int64_t needed_bytes = growth > 0 ? new_bytes - bytes + growth : INT64_MIN;
  const bool shared = account_.session_ != nullptr;
  const bool fits =
      shared || account_.Fits(growth > 0 ? needed_bytes : 0, inodes > 0 ? new_inodes : 0);
  Status raised;
  // What others may add counts against the limits as well: the reservation is where that is said.
  if (shared) {
    raised = account_.RaiseRecord(needed_bytes, inodes > 0 ? new_inodes : INT64_MIN);
  } else if (fits) {
    raised = account_.RaiseRecord(new_bytes, new_inodes);
  }
  if (!fits || !raised) {
    account_.bytes_.fetch_sub(bytes);
    account_.inodes_.fetch_sub(inodes);
    if (!raised) return raised;
    return Error(ErrorCode::kNoSpace, "limit of the file system");
  }
  delta_ = delta;
  return {};
}

void SpaceAccount::Operation::Commit() {
  account_.bytes_.fetch_add(std::min<int64_t>(delta_.bytes, 0));
  account_.inodes_.fetch_add(std::min<int64_t>(delta_.inodes, 0));
  delta_ = {};
}

void SpaceAccount::Operation::Release() {
  account_.bytes_.fetch_sub(Positive(delta_.bytes));
  account_.inodes_.fetch_sub(Positive(delta_.inodes));
  delta_ = {};
}

Status SpaceAccount::RaiseRecord(int64_t bytes, int64_t inodes) {
  if (bytes <= record_bytes_.load(std::memory_order_acquire) &&
      inodes <= record_inodes_.load(std::memory_order_acquire)) {
    return {};
  }
  MutexLock lock(record_mutex_);
  if (bytes <= record_bytes_ && inodes <= record_inodes_) return {};
  if (session_ != nullptr) return RaiseReservation(bytes, inodes);
  const int64_t record_bytes = bytes + kBatchBytes;
  const int64_t record_inodes = inodes + kBatchInodes;
  TRY(StoreRecord(
      {static_cast<uint64_t>(record_bytes), static_cast<uint64_t>(record_inodes), false}));
  record_bytes_.store(record_bytes, std::memory_order_release);
  record_inodes_.store(record_inodes, std::memory_order_release);
  return {};
}

Status SpaceAccount::StoreRecord(const UsageRecord& record) {
  return runner_.Run(
      [&](kv::Transaction& txn) { return txn.Put(schema_.Usage(), record.Encode()); });
}

Status SpaceAccount::Recount() {
  MutexLock one_at_a_time(recount_mutex_);
  if (!needs_recount()) return {};
  if (session_ != nullptr) return RecountShared();
  uint64_t bytes = 0;  // not signed: corrupt inodes may add up to anything
  int64_t inodes = 0;
  int64_t bytes_then = 0;
  int64_t inodes_then = 0;
  TRY(runner_.Read([&](kv::Transaction& txn) -> Status {
    bytes = 0;
    inodes = 0;
    {
      std::unique_lock gate(gate_);
      TRY(txn.Get(schema_.Usage()));  // fixes the snapshot
      bytes_then = bytes_;
      inodes_then = inodes_;
    }
    const KeySpan all = schema_.AllOf(Schema::Scope::kInode);
    return txn.Scan(all.range(), 0, kv::Direction::kForward,
                    [&](std::string_view key, std::string_view value) {
                      const auto parsed = schema_.ParseInode(key);
                      if (!parsed || parsed->stripe) return true;
                      ++inodes;
                      const auto record = InodeRecord::Decode(parsed->inode, value, false);
                      if (record) bytes += record->charged_bytes;
                      return true;
                    });
  }));
  bytes_.fetch_add(static_cast<int64_t>(bytes) - bytes_then);
  inodes_.fetch_add(inodes - inodes_then);
  needs_recount_ = false;
  LogInfo("usage counted anew: {} bytes, {} inodes", used_bytes(), used_inodes());
  return {};
}

}  // namespace tifs::fs
