// Sessions, and what is counted or numbered for the whole file system.
#include <algorithm>
#include <array>

#include "fs/check_round.h"
#include "fs/inode_allocator.h"
#include "fs/session_records.h"

namespace tifs::fs {
namespace {

// Numbers up to here are handed out; those of a store that is sound are smaller.
constexpr uint64_t kMaxNextInode = UINT64_MAX / 2;
// How far the next inode number is moved beyond those in use, should some have been lost.
constexpr uint64_t kInodeGap = 1 << 20;

constexpr uint64_t kSettled = UINT64_MAX;

}  // namespace

Status CheckRound::ScanSessions() {
  TRY(ScanScope(Schema::Scope::kSession, [&](std::string_view key, std::string_view value) {
    const auto id = schema_.ParseSession(key);
    if (id && SessionRecord::Decode({*id}, value).ok()) {
      sessions_.insert(*id);
    } else {
      ReportKey("corrupt session", key);
    }
    return OkStatus();
  }));
  return ScanScope(Schema::Scope::kHold, [&](std::string_view key, std::string_view) {
    const auto hold = schema_.ParseHold(key);
    const bool is_sound = hold && sessions_.contains(hold->session) && Find(hold->inode) != nullptr;
    if (!is_sound) ReportKey("hold of nobody or on nothing", key);
    return OkStatus();
  });
}

Status CheckRound::CheckUsage(CheckReport& report) {
  for (const Inode& inode : inodes_) report.used_bytes += inode.charged;
  const UsageRecord right{report.used_bytes, inodes_.size(), true};
  bool is_sound = true;
  bool is_exact = true;
  int64_t bytes = 0;
  int64_t inodes = 0;
  TRY(ScanScope(Schema::Scope::kUsage, [&](std::string_view key, std::string_view value) {
    const auto session = schema_.ParseUsage(key);
    if (!session || (*session != 0 && *session != kSettled && !sessions_.contains(*session))) {
      ReportKey("reservation of nobody", key);
      return OkStatus();
    }
    if (*session == 0) {
      const auto record = UsageRecord::Decode(value);
      is_sound = is_sound && record.ok();
      if (!record) return OkStatus();
      bytes += static_cast<int64_t>(record->bytes);
      inodes += static_cast<int64_t>(record->inodes);
      is_exact = is_exact && record->exact;
    } else if (*session == kSettled) {
      const auto record = SettledRecord::Decode(value);
      is_sound = is_sound && record.ok();
      if (!record) return OkStatus();
      bytes += record->bytes;
      inodes += record->inodes;
      is_exact = is_exact && record->exact;
    } else {
      const auto record = ReservationRecord::Decode(value);
      is_sound = is_sound && record.ok();
      if (!record) return OkStatus();
      bytes += record->bytes;
      inodes += record->inodes;
      is_exact = false;
    }
    return OkStatus();
  }));
  const auto right_bytes = static_cast<int64_t>(right.bytes);
  const auto right_inodes = static_cast<int64_t>(right.inodes);
  const bool exactly = bytes == right_bytes && inodes == right_inodes;
  const bool bounded = !is_exact && bytes >= right_bytes && inodes >= right_inodes;
  if (is_sound && (exactly || bounded)) return {};
  Report(Kind::kCount, "wrong usage count", {},
         [right, &schema = schema_](RecordStore& records) -> Status {
           TRY(records.transaction().Delete(schema.SettledUsage()));
           return records.transaction().Put(schema.Usage(), right.Encode());
         });
  return {};
}

void CheckRound::CheckNextInodeOf(uint16_t shard, const std::optional<kv::Value>& value,
                                  uint64_t highest) {
  const uint64_t end =
      shard == 0 ? kMaxNextInode : uint64_t{shard + uint64_t{1}} << Schema::kInodeShardBits;
  const Result<uint64_t> next =
      value ? DecodeNextInode(value->view()) : Result<uint64_t>(uint64_t{0});
  const char* wrong = nullptr;
  if (!next || *next <= highest) wrong = "the next inode number is in use";
  if (next && *next > end) wrong = "the next inode number is beyond all that can be";
  if (wrong == nullptr) return;
  Report(Kind::kMalformed, wrong, {},
         [next = highest + kInodeGap, key = schema_.NextInode(shard)](RecordStore& records) {
           return records.transaction().Put(key, EncodeNextInode(next));
         });
}

Status CheckRound::CheckNextInode() {
  std::vector<Key> keys;
  std::vector<std::string_view> views;
  keys.reserve(Schema::kInodeShards);
  for (uint16_t shard = 0; shard < Schema::kInodeShards; ++shard) {
    views.push_back(keys.emplace_back(schema_.NextInode(shard)));
  }
  const std::vector<std::optional<kv::Value>> values = TRY(txn_.BatchGet(views));
  // Numbers of a shard that has no record are the first one's, as on a store with one mount.
  std::array<uint64_t, Schema::kInodeShards> highest{};
  highest[0] = kRootInode.value;
  for (uint16_t shard = 1; shard < Schema::kInodeShards; ++shard) {
    highest[shard] = uint64_t{shard} << Schema::kInodeShardBits;
  }
  for (const Inode& inode : inodes_) {
    // Larger ones are never handed out.
    if (inode.number > kMaxNextInode - kInodeGap) break;
    uint64_t shard = inode.number >> Schema::kInodeShardBits;
    if (shard >= Schema::kInodeShards || !values[shard]) shard = 0;
    highest[shard] = std::max(highest[shard], inode.number);
  }
  CheckNextInodeOf(0, values[0], highest[0]);
  for (uint16_t shard = 1; shard < Schema::kInodeShards; ++shard) {
    if (values[shard]) CheckNextInodeOf(shard, values[shard], highest[shard]);
  }
  return {};
}

}  // namespace tifs::fs
