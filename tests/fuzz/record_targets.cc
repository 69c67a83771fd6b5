// Values: whatever bytes a store answers with, decoding ends in a record or in an error; and a
// record that was taken encodes to the bytes that it came from.
#include <algorithm>

#include "fs/data/block_value.h"
#include "fs/data/deferred_writes.h"
#include "fs/records.h"
#include "fs/session_records.h"
#include "fuzz_target.h"

namespace tifs::fuzz {
namespace {

using fs::BlockIndex;
using fs::BlockRange;
using fs::InodeRecord;
using fs::LeftoverRecord;
using fs::MetaRecord;
using fs::StripeRecord;
using fs::UsageRecord;

Timespec RandomTime(Random& random) {
  return {static_cast<int64_t>(RandomInteger(random)),
          static_cast<uint32_t>(random.Below(1'000'000'000))};
}

bool IsTime(const Timespec& time) { return time.nanoseconds < 1'000'000'000; }

// What fsck makes of a damaged value can be stored and read again, once its type and size are
// known.
std::string RunDamagedInode(std::string_view value) {
  auto mended = InodeRecord::DecodeDamaged({7}, value);
  if (!mended) return {};
  if ((mended->mode & S_IFMT) == 0) mended->mode |= S_IFREG;
  if (mended->size_bytes == InodeRecord::kUnknownSize) mended->size_bytes = fs::kMaxFileBytes;
  return InodeRecord::Decode({7}, mended->Encode()) ? "" : "a mended record does not decode";
}

std::string RunInode(std::string_view value) {
  if (std::string wrong = RunDamagedInode(value); !wrong.empty()) return wrong;
  const auto inode = InodeRecord::Decode({7}, value);
  if (!inode) return inode.error().code() == ErrorCode::kCorrupt ? "" : "not kCorrupt";
  if (inode->number.value != 7) return "number";
  if (inode->Encode() != value) return "does not encode to what it came from";
  if (inode->size_bytes > fs::kMaxFileBytes) return "size";
  if (inode->inline_data.size() > inode->size_bytes) return "in-line data beyond the size";
  if (inode->pending_clears.size() > InodeRecord::kMaxPendingClears ||
      inode->preallocated.size() > InodeRecord::kMaxPreallocations) {
    return "counts";
  }
  if (!IsTime(inode->atime) || !IsTime(inode->mtime) || !IsTime(inode->ctime) ||
      !IsTime(inode->btime)) {
    return "times";
  }
  const auto light = InodeRecord::Decode({7}, value, false);
  if (!light || !light->inline_data.empty()) return "decodes differently without its data";
  // Questions that every read asks of a record, at the edges of what it holds.
  for (const auto& clear : inode->pending_clears) {
    if (inode->IsLive(clear.range.begin, 0) && clear.epoch > 0 && !clear.range.empty()) {
      return "a cleared block is live";
    }
    (void)clear.range.size();
  }
  for (uint64_t index : {uint64_t{0}, UINT64_MAX}) {
    (void)inode->IsPreallocated({index});
    (void)inode->ChargeOf({index}, 65536, 65536);
  }
  return {};
}

std::string MakeInode(Random& random) {
  InodeRecord inode;
  inode.mode = (random.OneIn(2) ? S_IFREG : S_IFDIR) | static_cast<uint32_t>(random.Below(07777));
  inode.uid = static_cast<uint32_t>(random.Next());
  inode.gid = static_cast<uint32_t>(random.Next());
  inode.nlink = static_cast<uint32_t>(random.Below(5));
  inode.flags = static_cast<uint32_t>(random.Below(32));
  inode.size_bytes = random.Next() >> 1;
  inode.charged_bytes = RandomInteger(random);
  inode.change = random.Next();
  for (Timespec* time : {&inode.atime, &inode.mtime, &inode.ctime, &inode.btime}) {
    *time = RandomTime(random);
  }
  inode.parent = {RandomInteger(random)};
  inode.clear_epoch = 1 + static_cast<uint32_t>(random.Below(100));
  for (uint64_t i = random.Below(InodeRecord::kMaxPendingClears + 1); i > 0; --i) {
    const uint64_t begin = random.Below(1 << 20);
    inode.pending_clears.push_back({{{begin}, {begin + 1 + random.Below(9)}},
                                    1 + static_cast<uint32_t>(random.Below(inode.clear_epoch))});
  }
  uint64_t block = 0;
  for (uint64_t i = random.Below(InodeRecord::kMaxPreallocations + 1); i > 0; --i) {
    const uint64_t begin = block + 1 + random.Below(100);
    block = begin + 1 + random.Below(100);
    inode.preallocated.push_back({{begin}, {block}});
  }
  if (random.OneIn(2)) {
    inode.inline_data = RandomBytes(random, random.Below(200));
    inode.size_bytes = std::max<uint64_t>(inode.size_bytes, inode.inline_data.size());
  }
  return inode.Encode();
}

template <typename Record>
std::string RunSmall(std::string_view value) {
  const auto record = Record::Decode(value);
  if (!record) return record.error().code() == ErrorCode::kCorrupt ? "" : "not kCorrupt";
  return record->Encode() == value ? "" : "does not encode to what it came from";
}

std::string MakeStripe(Random& random) {
  StripeRecord stripe;
  stripe.entries = static_cast<int64_t>(RandomInteger(random));
  stripe.subdirectories = static_cast<int64_t>(RandomInteger(random));
  stripe.mtime = RandomTime(random);
  stripe.ctime = RandomTime(random);
  stripe.change = random.Next();
  return stripe.Encode();
}

std::string MakeDentry(Random& random) {
  fs::DentryRecord dentry;
  dentry.inode = {1 + (random.Next() >> 1)};
  dentry.type_mode = static_cast<uint32_t>(random.Below(16)) << 12;
  return dentry.Encode();
}

std::string RunMeta(std::string_view value) {
  const auto meta = MetaRecord::Decode(value);
  if (!meta) {
    const ErrorCode code = meta.error().code();
    return code == ErrorCode::kCorrupt || code == ErrorCode::kNotSupported ? "" : "error code";
  }
  if (meta->UuidText().size() != 36) return "uuid";
  const uint32_t block = meta->block_size_bytes;
  if (block < 4096 || block > (1 << 20) || (block & (block - 1)) != 0) return "block size";
  if (meta->inline_bytes > block || meta->directory_stripes == 0) return "sizes";
  // A later release of the same format may append fields.
  return value.starts_with(meta->Encode()) ? "" : "does not encode to what it came from";
}

std::string MakeMeta(Random& random) {
  MetaRecord meta;
  meta.compatible = random.Below(4);
  meta.read_only_compatible = random.Below(4);
  for (uint8_t& byte : meta.uuid) byte = static_cast<uint8_t>(random.Next());
  meta.hash_seed = random.Next();
  meta.block_size_bytes = 4096u << random.Below(9);
  meta.inline_bytes = static_cast<uint32_t>(random.Below(4097));
  meta.directory_stripes = 1 + static_cast<uint16_t>(random.Below(64));
  meta.capacity_bytes = RandomInteger(random);
  meta.max_inodes = RandomInteger(random);
  meta.created = RandomTime(random);
  meta.name = RandomBytes(random, random.Below(64));
  return meta.Encode();
}

std::string MakeLeftover(Random& random) {
  return LeftoverRecord{random.OneIn(2) ? fs::LeftoverKind::kOrphan : fs::LeftoverKind::kClear}
      .Encode();
}

std::string MakeUsage(Random& random) {
  return UsageRecord{RandomInteger(random), RandomInteger(random), random.OneIn(2)}.Encode();
}

std::string RunSession(std::string_view value) {
  const auto record = fs::SessionRecord::Decode({1}, value);
  if (!record) return {};
  return record->Encode() == value ? "" : "does not encode to what it came from";
}

std::string MakeSession(Random& random) {
  fs::SessionRecord record;
  record.state = static_cast<fs::SessionState>(1 + random.Below(3));
  record.count = RandomInteger(random);
  record.seen = RandomInteger(random);
  record.bound = RandomInteger(random);
  record.joined = RandomTime(random);
  record.host = RandomBytes(random, random.Below(64));
  record.mount_point = RandomBytes(random, random.Below(64));
  return record.Encode();
}

std::string MakeReservation(Random& random) {
  const auto share = [&random] { return static_cast<int64_t>(RandomInteger(random)) / 1024; };
  return fs::ReservationRecord{share(), share(), share(), share()}.Encode();
}

std::string MakeSettled(Random& random) {
  const auto share = [&random] { return static_cast<int64_t>(RandomInteger(random)) / 1024; };
  return fs::SettledRecord{share(), share(), random.OneIn(2), RandomInteger(random)}.Encode();
}

std::string RunBlock(std::string_view value) {
  const auto block = fs::BlockValue::Decode(value);
  if (!block) return {};
  std::string again;
  fs::BlockValue::AppendHead(again, block->encoding, block->epoch);
  again.append(block->payload);
  return again == value ? "" : "does not encode to what it came from";
}

std::string MakeBlock(Random& random) {
  std::string value;
  fs::BlockValue::AppendHead(value, fs::BlockEncoding::kRaw, static_cast<uint32_t>(random.Next()));
  return value + RandomBytes(random, random.Below(300));
}

std::string MakeDeferred(Random& random) {
  const std::string data = RandomBytes(random, random.Below(300));
  return fs::DeferredValue{RandomInteger(random), data}.Encode();
}

constexpr Target kTargets[] = {
    {"inode_record", RunInode, MakeInode},
    {"stripe_record", RunSmall<StripeRecord>, MakeStripe},
    {"dentry_record", RunSmall<fs::DentryRecord>, MakeDentry},
    {"meta_record", RunMeta, MakeMeta},
    {"leftover_record", RunSmall<LeftoverRecord>, MakeLeftover},
    {"usage_record", RunSmall<UsageRecord>, MakeUsage},
    {"session_record", RunSession, MakeSession},
    {"reservation_record", RunSmall<fs::ReservationRecord>, MakeReservation},
    {"settled_record", RunSmall<fs::SettledRecord>, MakeSettled},
    {"block_value", RunBlock, MakeBlock},
    {"deferred_value", RunSmall<fs::DeferredValue>, MakeDeferred},
};

}  // namespace

std::span<const Target> RecordTargets() { return kTargets; }

}  // namespace tifs::fuzz
