#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/types.h"

// The typed values of the store and their encodings (docs/kv_schema.md). Every value begins with a
// version byte; decoding trusts nothing and answers kCorrupt. RecordStore loads and stores them.
namespace tifs::fs {

struct BlockRange {
  BlockIndex begin;
  BlockIndex end;  // not in the range

  bool Contains(BlockIndex index) const { return begin <= index && index < end; }
  bool empty() const { return !(begin < end); }
  uint64_t size() const { return empty() ? 0 : end.value - begin.value; }
  bool operator==(const BlockRange&) const = default;
};

// Blocks of `range` written under an epoch below `epoch` are holes, and wait to be deleted.
struct PendingClear {
  BlockRange range;
  uint32_t epoch = 0;
  bool operator==(const PendingClear&) const = default;
};

struct InodeRecord {
  static constexpr size_t kMaxPendingClears = 4;
  static constexpr size_t kMaxPreallocations = 64;

  enum Flag : uint32_t {
    kHasXattrs = 1 << 0,      // there may be keys in the xattr scope
    kHasAccessAcl = 1 << 1,   // system.posix_acl_access is one of them
    kHasDefaultAcl = 1 << 2,  // system.posix_acl_default is one of them
    kHasCapability = 1 << 3,  // security.capability is one of them
    kHasBlocks = 1 << 4,      // data is in blocks, not in line
    kReclaimed = 1 << 5,      // an orphan that is being deleted: gone, for all but who deletes it
  };
  static constexpr uint32_t kKnownFlags = 0x3f;

  InodeNumber number;  // from the key
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;  // of a directory: 0 once removed, else 2; its stripes count subdirectories
  uint32_t rdev = 0;
  uint32_t flags = 0;
  uint64_t size_bytes = 0;
  // Charged to the capacity: preallocated blocks whole, others by what they hold.
  uint64_t charged_bytes = 0;
  uint64_t change = 0;
  Timespec atime, mtime, ctime, btime;
  InodeNumber parent;  // directories only
  uint32_t clear_epoch = 0;
  std::vector<PendingClear> pending_clears;
  std::vector<BlockRange> preallocated;  // ascending, apart
  // File bytes from offset 0 (the rest of the size is a hole) or a symbolic link's target.
  std::string inline_data;

  bool Has(Flag flag) const { return (flags & flag) != 0; }
  void Set(Flag flag, bool on = true) { flags = on ? flags | flag : flags & ~flag; }
  bool IsDirectory() const { return S_ISDIR(mode); }
  bool IsRegular() const { return S_ISREG(mode); }
  bool IsSymlink() const { return S_ISLNK(mode); }

  // Whether a block that was written under `epoch` still counts.
  bool IsLive(BlockIndex index, uint32_t epoch) const;
  bool IsPreallocated(BlockIndex index) const;
  // What a present block of `length_bytes` costs; 0 bytes: an absent one.
  uint64_t ChargeOf(BlockIndex index, uint64_t length_bytes, uint32_t block_size_bytes) const;

  // Whether st_mode's bits are one of the seven file types, permissions, and nothing else.
  static bool IsMode(uint32_t mode);

  std::string Encode() const;
  // `with_inline`: false leaves inline_data empty (such a record must not be stored).
  static Result<InodeRecord> Decode(InodeNumber number, std::string_view value,
                                    bool with_inline = true);

  // DecodeDamaged's answer where the size is lost and only the blocks can tell it.
  static constexpr uint64_t kUnknownSize = UINT64_MAX;
  // For fsck: the record that a value which Decode refuses must have been, with what is impossible
  // in it made possible. The type bits are 0 where they are lost. Nothing if more than one of its
  // fields is impossible: then nothing says that the others are this inode's.
  static std::optional<InodeRecord> DecodeDamaged(InodeNumber number, std::string_view value);
};

// A directory's share of entries and times; see docs/consistency.md for why there are several.
struct StripeRecord {
  // No entry has changed since the inode's own times were set.
  static constexpr Timespec kNever{INT64_MIN, 0};

  int64_t entries = 0;
  int64_t subdirectories = 0;
  Timespec mtime = kNever, ctime = kNever;
  uint64_t change = 0;

  // The directory's times. Setting them resets those of the stripes, so an entry's change came
  // later than whatever modification time the inode itself has, even one of the future.
  Timespec MtimeOf(const InodeRecord& directory) const {
    return mtime == kNever ? directory.mtime : mtime;
  }
  Timespec CtimeOf(const InodeRecord& directory) const { return std::max(directory.ctime, ctime); }

  std::string Encode() const;
  static Result<StripeRecord> Decode(std::string_view value);
};

struct DentryRecord {
  InodeNumber inode;
  uint32_t type_mode = 0;  // S_IFMT bits

  std::string Encode() const;
  static Result<DentryRecord> Decode(std::string_view value);
};

struct MetaRecord {
  static constexpr uint32_t kFormatVersion = 1;
  // Features by what an older release may do with a store that has them: ignore (compatible), mount
  // read-only (read-only compatible), refuse (incompatible).
  static constexpr uint64_t kKnownReadOnlyCompatible = 0;
  static constexpr uint64_t kKnownIncompatible = 1;
  static constexpr uint64_t kFeatureExtents = 1;  // incompatible: blocks may lie in data files

  uint32_t format_version = kFormatVersion;
  uint64_t compatible = 0;
  uint64_t read_only_compatible = 0;
  uint64_t incompatible = 0;
  std::array<uint8_t, 16> uuid{};
  uint64_t hash_seed = 0;
  uint32_t block_size_bytes = 0;
  uint32_t inline_bytes = 0;
  uint16_t directory_stripes = 1;
  uint64_t capacity_bytes = 0;
  uint64_t max_inodes = 0;
  Timespec created;
  std::string name;

  std::string Encode() const;
  static Result<MetaRecord> Decode(std::string_view value);
  std::string UuidText() const;
};

enum class LeftoverKind : uint8_t {
  kOrphan = 1,  // an inode without links, to be deleted once nobody has it open
  kClear = 2,   // an inode with pending clears
};

struct LeftoverRecord {
  LeftoverKind kind = LeftoverKind::kOrphan;
  std::string Encode() const;
  static Result<LeftoverRecord> Decode(std::string_view value);
};

// What is in use, at most: exact when `exact`, else to be counted anew.
struct UsageRecord {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  bool exact = false;
  std::string Encode() const;
  static Result<UsageRecord> Decode(std::string_view value);
};

}  // namespace tifs::fs
