#include "tests/sim/operation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <initializer_list>

namespace tifs::sim {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Call::kCount)> kCallNames = {
    "open",      "close",      "read",      "write",     "truncate",
    "ftruncate", "fallocate",  "seek_data", "seek_hole", "copy_file_range",
    "fsync",     "fstat",      "mkdir",     "mknod",     "symlink",
    "link",      "unlink",     "rmdir",     "rename",    "readlink",
    "stat",      "access",     "list",      "chmod",     "chown",
    "utimens",   "getxattr",   "setxattr",  "listxattr", "removexattr",
    "sync",      "background", "remount"};

template <typename T>
T OneOf(Random& random, std::initializer_list<T> choices) {
  return *(choices.begin() + random.Below(choices.size()));
}

// Few names, so that calls meet; now and then one that only has to be carried.
std::string Name(Random& random) {
  switch (random.Below(120)) {
    case 0: return std::string(255, 'n');
    case 1: return std::string(256, 'n');
    case 2: return "\xff\x01 \n";
    case 3: return "...";
    default: return std::string(1, static_cast<char>('a' + random.Below(5)));
  }
}

std::string Path(Random& random) {
  std::string path = Name(random);
  const uint64_t depth = OneOf<uint64_t>(random, {0, 0, 0, 1, 1, 1, 2, 2, 3});
  for (uint64_t i = 0; i < depth; ++i) path += "/" + Name(random);
  return path;
}

uint64_t NearEdge(Random& random, uint64_t edge) {
  const uint64_t distance = OneOf<uint64_t>(random, {0, 0, 1, 2, 7, 100, 511, 512, 4096});
  return random.OneIn(2) || edge < distance ? edge + distance : edge - distance;
}

// Where contents are touched: mostly the first few blocks, around their edges and around the sizes
// up to which a file may lie in its inode; sometimes far out.
uint64_t Offset(Random& random, const Profile& profile) {
  const uint64_t block = profile.block_bytes;
  uint64_t offset;
  switch (random.Below(16)) {
    case 0:
    case 1:
    case 2: offset = 0; break;
    case 3:
    case 4: offset = random.Below(300); break;
    case 5:
      offset = NearEdge(random, OneOf<uint64_t>(random, {512, 1024, 2048, 4096, 8192, 16384}));
      break;
    case 6:
    case 7: offset = random.Below((profile.bulk && random.OneIn(2) ? 600 : 6) * block); break;
    case 8: offset = NearEdge(random, block * (uint64_t{1} << (10 + random.Below(12)))); break;
    case 9:
      offset = profile.far_bytes - OneOf<uint64_t>(random, {1, 5, 4096, block, 5 * block}) -
               random.Below(2 * block);
      break;
    default: offset = NearEdge(random, block * random.Below(6));
  }
  return std::min(offset, profile.far_bytes);
}

uint64_t Length(Random& random, const Profile& profile) {
  const uint64_t block = profile.block_bytes;
  switch (random.Below(10)) {
    case 0: return random.Below(3);
    case 1:
    case 2:
    case 3: return 1 + random.Below(400);
    case 4:
    case 5: return 1 + random.Below(5000);
    case 6: return block;
    case 7: return NearEdge(random, block);
    case 8: return 1 + random.Below(3 * block);
    default: return NearEdge(random, OneOf<uint64_t>(random, {512, 2048, 4096, 8192}));
  }
}

uint64_t LongLength(Random& random, const Profile& profile) {
  if (random.OneIn(6)) return profile.block_bytes << random.Below(24);
  return Length(random, profile);
}

uint32_t DirectoryMode(Random& random, const Profile& profile) {
  // With the kernel's own hardening (protected_symlinks, protected_regular), sticky directories
  // that others may write have rules that no file system makes.
  const uint32_t sticky = profile.real_kernel ? 01755 : random.OneIn(2) ? 01775 : 01777;
  return OneOf<uint32_t>(random, {0755, 0755, 0777, 0777, 0700, sticky, 02775, 0711, 0300, 0});
}

uint32_t FileMode(Random& random, const Profile& profile) {
  // When a write takes setgid away that no group execution goes with, FUSE and ext4 do not agree.
  if (profile.real_kernel) {
    return OneOf<uint32_t>(random, {0644, 0644, 0666, 0600, 0755, 0777, 04755, 0444, 0222, 0});
  }
  return OneOf<uint32_t>(
      random, {0644, 0644, 0666, 0600, 0755, 0777, 04755, 02755, 02744, 06777, 0444, 0222, 0});
}

std::string AclValue(Random& random, bool valid) {
  // Entries of tag, permissions, id; user 1001 and group 1002 may be named.
  struct Entry {
    uint16_t tag, permissions;
    uint32_t id;
  };
  const auto bits = [&] { return static_cast<uint16_t>(random.Below(8)); };
  std::vector<Entry> entries = {{1, bits(), UINT32_MAX}};
  const bool user = random.OneIn(2), group = random.OneIn(2);
  if (user) entries.push_back({2, bits(), UserOf(1 + random.Below(2)).uid});
  entries.push_back({4, bits(), UINT32_MAX});
  if (group) entries.push_back({8, bits(), UserOf(1 + random.Below(2)).gid});
  if (user || group || random.OneIn(4)) entries.push_back({16, bits(), UINT32_MAX});
  entries.push_back({32, bits(), UINT32_MAX});
  if (!valid) {
    switch (random.Below(3)) {
      case 0: entries.pop_back(); break;
      case 1: std::swap(entries.front(), entries.back()); break;
      default: entries[0].permissions = 8;
    }
  }
  std::string value("\2\0\0\0", 4);
  const auto append = [&](uint32_t number, size_t size) {
    for (size_t i = 0; i < size; ++i) value.push_back(static_cast<char>(number >> (8 * i)));
  };
  for (const Entry& entry : entries) {
    append(entry.tag, 2);
    append(entry.permissions, 2);
    append(entry.id, 4);
  }
  return value;
}

void GenerateName(Random& random, const Profile& profile, Operation& op) {
  op.path = Path(random);
  switch (random.Below(16)) {
    case 0:
    case 1:
    case 2:
      op.call = Call::kMkdir;
      op.mode = DirectoryMode(random, profile);
      break;
    case 3: op.call = Call::kRmdir; break;
    case 4:
    case 5: op.call = Call::kUnlink; break;
    case 6:
    case 7:
    case 8:
    case 9:
      op.call = Call::kRename;
      op.path2 = Path(random);
      op.flags =
          OneOf<uint32_t>(random, {0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE,
                                   RENAME_WHITEOUT, RENAME_EXCHANGE | RENAME_NOREPLACE, 64});
      if (op.flags == RENAME_WHITEOUT) op.user = 0;
      if (op.flags == RENAME_WHITEOUT && !profile.special_files) op.flags = 0;
      break;
    case 10:
    case 11:
      op.call = Call::kLink;
      op.path2 = Path(random);
      // protected_hardlinks is the kernel's own rule.
      if (profile.real_kernel) op.user = 0;
      break;
    case 12:
      op.call = Call::kSymlink;
      op.path2 = random.OneIn(30) ? std::string(4095, 't') : Path(random);
      break;
    case 13:
      op.call = Call::kMknod;
      op.mode = FileMode(random, profile) |
                OneOf<uint32_t>(random, {S_IFREG, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK});
      if (!profile.special_files) op.mode = S_IFREG | (op.mode & 07777);
      if (S_ISCHR(op.mode) || S_ISBLK(op.mode)) {
        op.user = 0;
        op.flags = 0x0103;  // a device number
      }
      break;
    case 14: op.call = Call::kList; break;
    default:
      op.call = OneOf(random, {Call::kReadlink, Call::kStat, Call::kAccess});
      op.mode = random.Below(8);
  }
}

void GenerateAllocate(Random& random, const Profile& profile, Operation& op) {
  op.call = Call::kAllocate;
  op.length = std::min(LongLength(random, profile), profile.far_bytes - op.offset);
  op.flags =
      OneOf<uint32_t>(random, {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                               FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE});
  if (!profile.zero_range) op.flags &= ~FALLOC_FL_ZERO_RANGE;
  // Real space is not endless.
  if ((op.flags & FALLOC_FL_PUNCH_HOLE) == 0) {
    const uint64_t most = profile.real_kernel ? 4 << 20 : profile.block_bytes * 10'000;
    op.length = std::min(op.length, most);
  }
}

void GenerateContents(Random& random, const Profile& profile, Operation& op) {
  op.slot = random.Below(kSlots);
  op.offset = Offset(random, profile);
  switch (random.Below(22)) {
    case 0:
    case 1:
    case 2:
    case 3:
      op.call = Call::kOpen;
      op.path = Path(random);
      op.mode = FileMode(random, profile);
      op.flags = OneOf<uint32_t>(random, {O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY});
      op.flags |= OneOf<uint32_t>(random, {O_CREAT, O_CREAT, O_CREAT, 0, O_CREAT | O_EXCL});
      if (random.OneIn(5)) op.flags |= O_TRUNC;
      if (random.OneIn(6)) op.flags |= O_APPEND;
      break;
    case 4: op.call = Call::kClose; break;
    case 5:
    case 6:
      op.call = Call::kRead;
      op.length = Length(random, profile) + (random.OneIn(4) ? 3 * profile.block_bytes : 0);
      break;
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
      op.call = Call::kWrite;
      op.length = std::min(Length(random, profile), profile.largest_write_bytes);
      if (profile.bulk && random.OneIn(6))
        op.length = profile.block_bytes * (200 + random.Below(500));
      op.length = std::min(op.length, profile.far_bytes - op.offset);
      op.pattern = random.Next() | 1;
      if (random.OneIn(12)) op.pattern = 0;
      break;
    case 13:
      op.call = Call::kTruncate;
      op.path = Path(random);
      op.length = op.offset;
      break;
    case 14:
    case 15:
      op.call = Call::kFtruncate;
      op.length = op.offset;
      break;
    case 16:
    case 17:
    case 18: GenerateAllocate(random, profile, op); break;
    case 19: op.call = OneOf(random, {Call::kSeekData, Call::kSeekHole}); break;
    case 20:
      op.call = Call::kCopyRange;
      op.slot2 = random.Below(kSlots);
      op.offset2 = Offset(random, profile);
      op.length = std::min(Length(random, profile), profile.far_bytes - op.offset2);
      break;
    default: op.call = OneOf(random, {Call::kFsync, Call::kFstat, Call::kFstat});
  }
}

void GenerateAttribute(Random& random, const Profile& profile, Operation& op) {
  op.path = Path(random);
  switch (random.Below(6)) {
    case 0:
    case 1:
      op.call = Call::kChmod;
      op.mode = random.OneIn(2) ? DirectoryMode(random, profile) : FileMode(random, profile);
      break;
    case 2:
      op.call = Call::kChown;
      op.uid = random.OneIn(3) ? UINT32_MAX : UserOf(random.Below(kUsers)).uid;
      op.gid = random.OneIn(3) ? UINT32_MAX : UserOf(random.Below(kUsers)).gid;
      if (op.uid == UINT32_MAX && op.gid == UINT32_MAX) op.uid = 0;
      break;
    case 3:
    case 4:
      op.call = Call::kSetTimes;
      op.now = random.OneIn(3);
      if (op.now) break;
      // Before 2001, so that nobody takes them for the time of day.
      if (random.OneIn(2)) op.atime = Timespec{static_cast<int64_t>(random.Below(900'000'000)), 5};
      if (!op.atime || random.OneIn(2)) {
        op.mtime = Timespec{static_cast<int64_t>(random.Below(900'000'000)), 999'999'999};
      }
      break;
    default: op.call = Call::kStat;
  }
}

void GenerateXattr(Random& random, const Profile& profile, Operation& op) {
  op.path = Path(random);
  op.call = OneOf(random, {Call::kSetXattr, Call::kSetXattr, Call::kSetXattr, Call::kGetXattr,
                           Call::kListXattrs, Call::kRemoveXattr});
  op.name = OneOf<const char*>(
      random, {"user.a", "user.a", "user.b", "trusted.a", "security.a", "system.posix_acl_access",
               "system.posix_acl_access", "system.posix_acl_default", "system.posix_acl_default",
               "nowhere.a", "user."});
  if (op.name == "user.") op.user = 0;  // no name or no permission: either may come first
  op.flags = OneOf<uint32_t>(random, {0, 0, 0, XATTR_CREATE, XATTR_REPLACE});
  op.value = std::string(random.Below(60), static_cast<char>('A' + random.Below(26)));
  if (!profile.real_kernel && random.OneIn(30)) op.value = std::string(60000, 'x');
  if (op.name.starts_with("system.")) {
    op.flags = 0;
    op.value = AclValue(random, !random.OneIn(8));
  }
  // Its meaning is the security module's.
  if (profile.real_kernel && op.name == "security.a") op.user = 0;
}

}  // namespace

std::string_view CallName(Call call) { return kCallNames[static_cast<size_t>(call)]; }

const User& UserOf(uint32_t index) {
  static const std::array<User, kUsers> kAll = {User{0, 0, {}}, User{1001, 1001, {2000}},
                                                User{1002, 1002, {2000, 1001}}};
  return kAll[index];
}

std::string PatternBytes(uint64_t pattern, uint64_t length) {
  std::string bytes(length, '\0');
  if (pattern == 0) return bytes;
  for (uint64_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(1 + (pattern + i) % 255);
  return bytes;
}

Operation Generate(Random& random, const Profile& profile) {
  Operation op;
  if (profile.users && random.OneIn(2)) op.user = random.Below(kUsers);
  if (profile.users && random.OneIn(4)) op.umask = OneOf<uint32_t>(random, {0, 077, 027, 02});
  if (profile.background && random.OneIn(10)) {
    op.call = random.OneIn(12) ? OneOf(random, {Call::kRemount, Call::kSync}) : Call::kBackground;
    op.length = 1 + random.Below(4);
    return op;
  }
  const uint32_t names = profile.names;
  const uint32_t contents = names + profile.contents;
  const uint32_t attributes = contents + profile.attributes;
  const uint64_t family = random.Below(attributes + profile.xattrs);
  if (family < names) {
    GenerateName(random, profile, op);
  } else if (family < contents) {
    GenerateContents(random, profile, op);
  } else if (family < attributes) {
    GenerateAttribute(random, profile, op);
  } else {
    GenerateXattr(random, profile, op);
  }
  return op;
}

namespace {

std::string Shown(std::string_view text) {
  if (text.size() > 40) return fmt::format("<{} bytes '{}'...>", text.size(), text[0]);
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out.push_back(c);
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out + "\"";
}

}  // namespace

std::string Operation::ToString() const {
  std::string out = fmt::format("{}(", CallName(call));
  const auto add = [&](std::string text) {
    if (out.back() != '(') out += ", ";
    out += text;
  };
  if (!path.empty()) add(Shown(path));
  if (!path2.empty()) add(Shown(path2));
  switch (call) {
    case Call::kOpen:
    case Call::kClose:
    case Call::kRead:
    case Call::kWrite:
    case Call::kFtruncate:
    case Call::kAllocate:
    case Call::kSeekData:
    case Call::kSeekHole:
    case Call::kFsync:
    case Call::kFstat: add(fmt::format("#{}", slot)); break;
    case Call::kCopyRange:
      add(fmt::format("#{} at {} -> #{} at {}", slot, offset, slot2, offset2));
      break;
    default: break;
  }
  if (offset != 0 && call != Call::kCopyRange) add(fmt::format("offset={}", offset));
  if (length != 0) add(fmt::format("length={}", length));
  if (mode != 0) add(fmt::format("mode={:#o}", mode));
  if (flags != 0) add(fmt::format("flags={:#x}", flags));
  if (call == Call::kChown) {
    add(fmt::format("{}:{}", static_cast<int32_t>(uid), static_cast<int32_t>(gid)));
  }
  if (call == Call::kWrite) add(fmt::format("pattern={}", pattern % 255));
  if (now) add("now");
  if (atime) add(fmt::format("atime={}", atime->seconds));
  if (mtime) add(fmt::format("mtime={}", mtime->seconds));
  if (!name.empty()) add(name);
  if (!value.empty()) add(Shown(value));
  out += ")";
  if (user != 0) out += fmt::format(" as {}", UserOf(user).uid);
  if (umask != 022) out += fmt::format(" umask={:#o}", umask);
  return out;
}

}  // namespace tifs::sim
