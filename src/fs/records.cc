#include "fs/records.h"

#include <algorithm>

#include "base/coding.h"

namespace tifs::fs {
namespace {

constexpr uint8_t kValueVersion = 1;
// Beyond the last block of the largest file, of the smallest blocks.
constexpr BlockIndex kEndOfBlocks{kMaxFileBytes / 4096 + 1};

Error Corrupt(const char* what) { return Error(ErrorCode::kCorrupt, what); }

void EncodeTime(Encoder& encoder, const Timespec& time) {
  encoder.Fixed(static_cast<uint64_t>(time.seconds));
  encoder.Fixed(time.nanoseconds);
}

Timespec DecodeTime(Decoder& decoder) {
  const auto seconds = static_cast<int64_t>(decoder.Fixed<uint64_t>());
  return {seconds, decoder.Fixed<uint32_t>()};
}

bool IsTime(const Timespec& time) { return time.nanoseconds < 1'000'000'000; }

// Starts a value; the encoder appends to it.
std::string Begin(size_t expected_bytes) {
  std::string value;
  value.reserve(expected_bytes);
  value.push_back(kValueVersion);
  return value;
}

// Takes an inode's value apart and judges nothing. False if it does not have the parts that it
// says: then what follows the fixed ones is missing.
bool Split(std::string_view value, uint8_t& version, InodeRecord& record,
           std::string_view& inline_data) {
  Decoder decoder(value);
  version = decoder.Fixed<uint8_t>();
  for (uint32_t* field :
       {&record.mode, &record.uid, &record.gid, &record.nlink, &record.rdev, &record.flags}) {
    *field = decoder.Fixed<uint32_t>();
  }
  for (uint64_t* field : {&record.size_bytes, &record.charged_bytes, &record.change}) {
    *field = decoder.Fixed<uint64_t>();
  }
  for (Timespec* time : {&record.atime, &record.mtime, &record.ctime, &record.btime}) {
    *time = DecodeTime(decoder);
  }
  record.parent.value = decoder.Fixed<uint64_t>();
  record.clear_epoch = decoder.Fixed<uint32_t>();
  const size_t clears = decoder.Fixed<uint8_t>();
  if (clears > InodeRecord::kMaxPendingClears) return false;
  for (size_t i = 0; i < clears; ++i) {
    const BlockIndex begin{decoder.Fixed<uint64_t>()};
    const BlockIndex end{decoder.Fixed<uint64_t>()};
    record.pending_clears.push_back({{begin, end}, decoder.Fixed<uint32_t>()});
  }
  const size_t ranges = decoder.Fixed<uint8_t>();
  if (ranges > InodeRecord::kMaxPreallocations) return false;
  for (size_t i = 0; i < ranges; ++i) {
    const BlockIndex begin{decoder.Fixed<uint64_t>()};
    record.preallocated.push_back({begin, BlockIndex{decoder.Fixed<uint64_t>()}});
  }
  inline_data = decoder.Rest();
  return decoder.ok();
}

bool IsRange(const BlockRange& range) { return !range.empty() && range.end <= kEndOfBlocks; }

// Ascending and apart.
bool AreRanges(const std::vector<BlockRange>& ranges) {
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (!IsRange(ranges[i]) || (i > 0 && !(ranges[i - 1].end < ranges[i].begin))) return false;
  }
  return true;
}

// The three below make possible what is not; whether there was anything.

bool MendTimes(InodeRecord& record) {
  bool mended = false;
  for (Timespec* time : {&record.atime, &record.mtime, &record.ctime, &record.btime}) {
    if (IsTime(*time)) continue;
    time->nanoseconds = 0;
    mended = true;
  }
  return mended;
}

bool MendClears(InodeRecord& record) {
  const size_t before = record.pending_clears.size();
  std::erase_if(record.pending_clears,
                [](const PendingClear& clear) { return !IsRange(clear.range); });
  bool mended = record.pending_clears.size() != before;
  for (const PendingClear& clear : record.pending_clears) {
    // What is a hole to readers stays one, and what is written from now on is none.
    if (clear.epoch <= record.clear_epoch) continue;
    record.clear_epoch = clear.epoch;
    mended = true;
  }
  return mended;
}

bool MendPreallocations(InodeRecord& record) {
  if (AreRanges(record.preallocated)) return false;
  std::vector<BlockRange> ranges;
  ranges.swap(record.preallocated);
  std::ranges::sort(ranges, {}, &BlockRange::begin);
  for (const BlockRange& range : ranges) {
    if (!IsRange(range)) continue;  // it reserved nothing that could be told
    std::vector<BlockRange>& kept = record.preallocated;
    if (kept.empty() || kept.back().end < range.begin) {
      kept.push_back(range);
    } else {
      kept.back().end = std::max(kept.back().end, range.end);
    }
  }
  return true;
}

}  // namespace

bool InodeRecord::IsMode(uint32_t mode) {
  if ((mode & ~uint32_t{S_IFMT | 07777}) != 0) return false;
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
         S_ISFIFO(mode) || S_ISSOCK(mode);
}

bool InodeRecord::IsLive(BlockIndex index, uint32_t epoch) const {
  for (const PendingClear& clear : pending_clears) {
    if (epoch < clear.epoch && clear.range.Contains(index)) return false;
  }
  return true;
}

bool InodeRecord::IsPreallocated(BlockIndex index) const {
  return std::ranges::any_of(preallocated,
                             [&](const BlockRange& range) { return range.Contains(index); });
}

uint64_t InodeRecord::ChargeOf(BlockIndex index, uint64_t length_bytes,
                               uint32_t block_size_bytes) const {
  constexpr uint64_t kUnit = 4096;
  if (!preallocated.empty() && IsPreallocated(index)) return block_size_bytes;
  return (length_bytes + kUnit - 1) / kUnit * kUnit;
}

std::string InodeRecord::Encode() const {
  std::string value =
      Begin(160 + pending_clears.size() * 20 + preallocated.size() * 16 + inline_data.size());
  Encoder encoder(value);
  for (uint32_t field : {mode, uid, gid, nlink, rdev, flags}) encoder.Fixed(field);
  for (uint64_t field : {size_bytes, charged_bytes, change}) encoder.Fixed(field);
  for (const Timespec* time : {&atime, &mtime, &ctime, &btime}) EncodeTime(encoder, *time);
  encoder.Fixed(parent.value);
  encoder.Fixed(clear_epoch);
  encoder.Fixed(static_cast<uint8_t>(pending_clears.size()));
  for (const PendingClear& clear : pending_clears) {
    encoder.Fixed(clear.range.begin.value);
    encoder.Fixed(clear.range.end.value);
    encoder.Fixed(clear.epoch);
  }
  encoder.Fixed(static_cast<uint8_t>(preallocated.size()));
  for (const BlockRange& range : preallocated) {
    encoder.Fixed(range.begin.value);
    encoder.Fixed(range.end.value);
  }
  encoder.Raw(inline_data);
  return value;
}

Result<InodeRecord> InodeRecord::Decode(InodeNumber number, std::string_view value,
                                        bool with_inline) {
  uint8_t version = 0;
  InodeRecord record;
  record.number = number;
  std::string_view inline_data;
  const bool whole = Split(value, version, record, inline_data);
  if (version != kValueVersion) return Corrupt("inode version");
  if (!whole) return Corrupt("inode length or counts");
  if (!IsMode(record.mode)) return Corrupt("inode mode");
  for (const Timespec* time : {&record.atime, &record.mtime, &record.ctime, &record.btime}) {
    if (!IsTime(*time)) return Corrupt("inode time");
  }
  if (!std::ranges::all_of(record.pending_clears, [&](const PendingClear& clear) {
        return IsRange(clear.range) && clear.epoch <= record.clear_epoch;
      })) {
    return Corrupt("inode clears");
  }
  if (!AreRanges(record.preallocated)) return Corrupt("inode preallocations");
  if (record.size_bytes > kMaxFileBytes) return Corrupt("inode size");
  if (inline_data.size() > record.size_bytes) return Corrupt("inode in-line data");
  if (with_inline) record.inline_data = inline_data;
  return record;
}

std::optional<InodeRecord> InodeRecord::DecodeDamaged(InodeNumber number, std::string_view value) {
  constexpr size_t kHeadBytes = 109;  // up to the counts
  if (value.size() < kHeadBytes) return std::nullopt;
  uint8_t version = 0;
  InodeRecord record;
  record.number = number;
  std::string_view inline_data;
  const bool whole = Split(value, version, record, inline_data);
  int faults = (version != kValueVersion) + !IsMode(record.mode) +
               ((record.flags & ~kKnownFlags) != 0) + MendTimes(record);
  record.mode &= S_IFMT | 07777;
  if (!IsMode(record.mode)) record.mode &= 07777;
  if (!whole) {
    ++faults;
    record.pending_clears.clear();
    record.preallocated.clear();
    // A file with data in line has neither: both counts are 0.
    inline_data = value.substr(std::min(value.size(), kHeadBytes + 2));
    if (record.Has(kHasBlocks)) inline_data = {};
  } else {
    faults += MendClears(record) + MendPreallocations(record);
  }
  if (record.size_bytes > kMaxFileBytes) {
    ++faults;
    record.size_bytes = record.Has(kHasBlocks) ? kUnknownSize : inline_data.size();
  } else if (inline_data.size() > record.size_bytes) {
    ++faults;
    if (record.Has(kHasBlocks)) {
      inline_data = {};
    } else {
      record.size_bytes = inline_data.size();
    }
  }
  record.inline_data = inline_data;
  if (faults > 1) return std::nullopt;
  return record;
}

std::string StripeRecord::Encode() const {
  std::string value = Begin(64);
  Encoder encoder(value);
  encoder.Fixed(static_cast<uint64_t>(entries));
  encoder.Fixed(static_cast<uint64_t>(subdirectories));
  EncodeTime(encoder, mtime);
  EncodeTime(encoder, ctime);
  encoder.Fixed(change);
  return value;
}

Result<StripeRecord> StripeRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("stripe version");
  StripeRecord record;
  record.entries = static_cast<int64_t>(decoder.Fixed<uint64_t>());
  record.subdirectories = static_cast<int64_t>(decoder.Fixed<uint64_t>());
  record.mtime = DecodeTime(decoder);
  record.ctime = DecodeTime(decoder);
  record.change = decoder.Fixed<uint64_t>();
  if (!decoder.done()) return Corrupt("stripe length");
  if (!IsTime(record.mtime) || !IsTime(record.ctime)) return Corrupt("stripe time");
  return record;
}

std::string DentryRecord::Encode() const {
  std::string value = Begin(16);
  Encoder encoder(value);
  encoder.Fixed(inode.value);
  encoder.Fixed(static_cast<uint8_t>(type_mode >> 12));
  return value;
}

Result<DentryRecord> DentryRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("dentry version");
  DentryRecord record;
  record.inode.value = decoder.Fixed<uint64_t>();
  record.type_mode = static_cast<uint32_t>(decoder.Fixed<uint8_t>()) << 12;
  if (!decoder.done()) return Corrupt("dentry length");
  if (record.inode.value == 0 || (record.type_mode & ~uint32_t{S_IFMT}) != 0) {
    return Corrupt("dentry inode or type");
  }
  return record;
}

std::string MetaRecord::Encode() const {
  std::string value = Begin(160);
  Encoder encoder(value);
  encoder.Fixed(format_version);
  for (uint64_t field : {compatible, read_only_compatible, incompatible}) encoder.Fixed(field);
  encoder.Raw({reinterpret_cast<const char*>(uuid.data()), uuid.size()});
  encoder.Fixed(hash_seed);
  encoder.Fixed(block_size_bytes);
  encoder.Fixed(inline_bytes);
  encoder.Fixed(directory_stripes);
  encoder.Fixed(capacity_bytes);
  encoder.Fixed(max_inodes);
  EncodeTime(encoder, created);
  encoder.Counted(name);
  return value;
}

Result<MetaRecord> MetaRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) {
    return Error(ErrorCode::kNotSupported, "meta", "its format is unknown");
  }
  MetaRecord record;
  record.format_version = decoder.Fixed<uint32_t>();
  for (uint64_t* field : {&record.compatible, &record.read_only_compatible, &record.incompatible}) {
    *field = decoder.Fixed<uint64_t>();
  }
  if (record.format_version > kFormatVersion) {
    return Error(ErrorCode::kNotSupported, "meta",
                 "its format is " + std::to_string(record.format_version));
  }
  if ((record.incompatible & ~kKnownIncompatible) != 0) {
    return Error(ErrorCode::kNotSupported, "meta", "it uses unknown features");
  }
  const std::string_view uuid_bytes = decoder.Raw(record.uuid.size());
  std::ranges::copy(uuid_bytes, record.uuid.begin());
  record.hash_seed = decoder.Fixed<uint64_t>();
  record.block_size_bytes = decoder.Fixed<uint32_t>();
  record.inline_bytes = decoder.Fixed<uint32_t>();
  record.directory_stripes = decoder.Fixed<uint16_t>();
  record.capacity_bytes = decoder.Fixed<uint64_t>();
  record.max_inodes = decoder.Fixed<uint64_t>();
  record.created = DecodeTime(decoder);
  record.name = decoder.Counted();
  if (!decoder.ok()) return Corrupt("meta length");
  const uint32_t block = record.block_size_bytes;
  if (block < 4096 || block > (1 << 20) || (block & (block - 1)) != 0) {
    return Corrupt("meta block size");
  }
  if (record.inline_bytes > block) return Corrupt("meta in-line size");
  if (record.directory_stripes == 0) return Corrupt("meta directory stripes");
  if (record.capacity_bytes > kMaxFileBytes) return Corrupt("meta capacity");
  if (record.max_inodes > uint64_t{1} << 62) return Corrupt("meta inode limit");
  return record;
}

std::string MetaRecord::UuidText() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(kHex[uuid[i] >> 4]);
    text.push_back(kHex[uuid[i] & 15]);
  }
  return text;
}

std::string LeftoverRecord::Encode() const {
  std::string value = Begin(2);
  value.push_back(static_cast<char>(kind));
  return value;
}

Result<LeftoverRecord> LeftoverRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("leftover version");
  const auto kind = decoder.Fixed<uint8_t>();
  if (!decoder.done()) return Corrupt("leftover length");
  if (kind != 1 && kind != 2) return Corrupt("leftover kind");
  return LeftoverRecord{static_cast<LeftoverKind>(kind)};
}

std::string UsageRecord::Encode() const {
  std::string value = Begin(18);
  Encoder encoder(value);
  encoder.Fixed(bytes);
  encoder.Fixed(inodes);
  encoder.Fixed(static_cast<uint8_t>(exact));
  return value;
}

// So that it can be added to.
constexpr uint64_t kMaxUsage = INT64_MAX / 2;

Result<UsageRecord> UsageRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("usage version");
  UsageRecord record;
  record.bytes = decoder.Fixed<uint64_t>();
  record.inodes = decoder.Fixed<uint64_t>();
  const auto exact = decoder.Fixed<uint8_t>();
  if (!decoder.done()) return Corrupt("usage length");
  if (exact > 1) return Corrupt("usage flag");
  if (record.bytes > kMaxUsage || record.inodes > kMaxUsage) return Corrupt("usage");
  record.exact = exact == 1;
  return record;
}

}  // namespace tifs::fs
