#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

// One system call, as data: what a sequence is made of, generated from a seed, run on any Target,
// dropped from a failing sequence, and printed.
namespace tifs::sim {

enum class Call : uint8_t {
  kOpen,
  kClose,
  kRead,
  kWrite,
  kTruncate,
  kFtruncate,
  kAllocate,
  kSeekData,
  kSeekHole,
  kCopyRange,
  kFsync,
  kFstat,
  kMkdir,
  kMknod,
  kSymlink,
  kLink,
  kUnlink,
  kRmdir,
  kRename,
  kReadlink,
  kStat,
  kAccess,
  kList,
  kChmod,
  kChown,
  kSetTimes,
  kGetXattr,
  kSetXattr,
  kListXattrs,
  kRemoveXattr,
  kSync,
  kBackground,
  kRemount,
  kCount
};
std::string_view CallName(Call call);

// Who calls: 0 is root, the others ordinary users.
struct User {
  uint32_t uid;
  uint32_t gid;
  std::vector<uint32_t> groups;
};
const User& UserOf(uint32_t index);
inline constexpr uint32_t kUsers = 3;

inline constexpr size_t kSlots = 4;

struct Operation {
  Call call = Call::kStat;
  uint32_t user = 0;
  uint32_t umask = 022;
  std::string path;   // relative to the root of what is tested
  std::string path2;  // of link, rename; the text of a symbolic link
  size_t slot = 0;    // an open file
  size_t slot2 = 0;   // the target of copy_file_range
  uint64_t offset = 0;
  uint64_t offset2 = 0;
  uint64_t length = 0;
  uint32_t mode = 0;                     // of creations, chmod; mask of access
  uint32_t flags = 0;                    // O_ flags, RENAME_ flags, FALLOC_ flags, XATTR_ flags
  uint32_t uid = 0, gid = 0;             // of chown
  uint64_t pattern = 0;                  // what a write writes
  std::optional<Timespec> atime, mtime;  // of utimensat; absent: omit
  bool now = false;                      // both times now
  std::string name, value;               // of xattrs

  std::string ToString() const;
};

// The bytes of a write: none of them zero, except where `pattern` says all are.
std::string PatternBytes(uint64_t pattern, uint64_t length);

// What a sequence is drawn from.
struct Profile {
  uint64_t block_bytes = 64 << 10;
  // Largest offset of the far regions; near it, sizes end.
  uint64_t far_bytes = INT64_MAX;
  uint64_t largest_write_bytes = 300 << 10;
  // Writes of hundreds of blocks, so that cutting them off is left to the background.
  bool bulk = false;
  bool users = false;         // others than root act, permissions count
  bool real_kernel = false;   // only what system calls can say, within what hardening forbids
  bool background = true;     // kBackground and kRemount
  bool special_files = true;  // devices, fifos
  bool zero_range = true;     // fallocate's, which may stop half way for want of space
  // How often each family comes, in parts: names, contents, attributes, xattrs.
  uint32_t names = 4, contents = 5, attributes = 2, xattrs = 1;
};

Operation Generate(Random& random, const Profile& profile);

}  // namespace tifs::sim
