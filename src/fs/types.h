#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace tifs::fs {

// Never reused within a file system. 0 is no inode.
struct InodeNumber {
  uint64_t value = 0;
  auto operator<=>(const InodeNumber&) const = default;
};
inline constexpr InodeNumber kRootInode{1};

// The position of a block in its file, in units of the file system's block size.
struct BlockIndex {
  uint64_t value = 0;
  auto operator<=>(const BlockIndex&) const = default;
};

// An open file or directory of this mount. Never reused within a mount. 0 is no handle.
struct HandleId {
  uint64_t value = 0;
  auto operator<=>(const HandleId&) const = default;
};

inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxSymlinkBytes = 4095;
inline constexpr size_t kMaxXattrNameBytes = 255;
inline constexpr size_t kMaxXattrValueBytes = 65536;
inline constexpr size_t kMaxXattrListBytes = 65536;
inline constexpr uint32_t kMaxLinks = 1u << 30;
// The kernel's own limit on a file's size: offsets are signed 64-bit.
inline constexpr uint64_t kMaxFileBytes = INT64_MAX;

// What stat(2) tells of an inode.
struct Attributes {
  InodeNumber inode;
  uint32_t mode = 0;  // type and permission bits, as st_mode
  uint32_t nlink = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t rdev = 0;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;  // st_blocks * 512
  uint32_t block_size_bytes = 0;
  Timespec atime, mtime, ctime, btime;
  // Rises with every change of contents or attributes.
  uint64_t change = 0;

  bool IsDirectory() const { return S_ISDIR(mode); }
  bool IsRegular() const { return S_ISREG(mode); }
};

// How long the kernel may keep an answer. `fs` decides it, `fuse` only passes it on.
struct CacheFor {
  double entry_seconds = 0;
  double attributes_seconds = 0;
};

struct Entry {
  Attributes attributes;
  CacheFor cache;
};

// A time to set: a given one or the moment of the operation.
struct TimeUpdate {
  bool now = false;
  Timespec time;
};

// Which attributes to change; an absent one stays. As setattr of FUSE.
struct AttributeChanges {
  std::optional<uint32_t> mode;  // permission bits only
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint64_t> size_bytes;
  std::optional<TimeUpdate> atime;
  std::optional<TimeUpdate> mtime;
  std::optional<Timespec> ctime;  // a write-back kernel owns it
  // Clear setuid, setgid and capabilities as a write by an unprivileged process would.
  bool kill_privileges = false;
};

// One entry of a directory. `cookie` is the position after it, for a later readdir to go on from;
// it stays right while the directory changes and across handles.
struct DirectoryEntry {
  std::string_view name;  // valid during the visit
  InodeNumber inode;
  uint32_t type_mode = 0;  // S_IFMT bits
  uint64_t cookie = 0;
  // Only when attributes were asked for and the inode is there.
  const Entry* entry = nullptr;
};
// Returns false if the entry was not taken (no room): the listing ends before it.
using DirectoryVisitor = std::function<bool(const DirectoryEntry&)>;

enum class RenameFlag : uint32_t {
  kNoReplace = 1,
  kExchange = 2,
  kWhiteout = 4
};  // as renameat2(2)
enum class XattrFlag : uint8_t { kAny, kCreate, kReplace };
enum class SeekWhence : uint8_t { kData, kHole };

// Bits of fallocate(2)'s mode that are carried.
struct AllocateMode {
  bool keep_size = false;
  bool punch_hole = false;  // implies keep_size
  bool zero_range = false;
};

// As statvfs(2).
struct FileSystemUsage {
  uint64_t block_size_bytes = 0;
  uint64_t total_blocks = 0;
  uint64_t free_blocks = 0;
  uint64_t available_blocks = 0;
  uint64_t total_inodes = 0;
  uint64_t free_inodes = 0;
};

}  // namespace tifs::fs
