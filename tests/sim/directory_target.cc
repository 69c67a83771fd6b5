#include "tests/sim/directory_target.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/check.h"

namespace tifs::sim {
namespace {

// The calling process as that user, with that umask; root again at its end.
class ActingAs {
 public:
  explicit ActingAs(const Operation& op) {
    umask(op.umask);
    const User& user = UserOf(op.user);
    if (user.uid == 0) return;
    const std::vector<gid_t> groups(user.groups.begin(), user.groups.end());
    CHECK(setgroups(groups.size(), groups.data()) == 0);
    CHECK(setegid(user.gid) == 0);
    CHECK(seteuid(user.uid) == 0);
  }
  ~ActingAs() {
    const int kept = errno;
    CHECK(seteuid(0) == 0);
    CHECK(setegid(0) == 0);
    CHECK(setgroups(0, nullptr) == 0);
    umask(022);
    errno = kept;
  }
};

Timespec TimeOf(const struct timespec& time) {
  return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec)};
}

Stat ToStat(const struct stat& from) {
  Stat stat;
  stat.mode = from.st_mode;
  stat.nlink = from.st_nlink;
  stat.uid = from.st_uid;
  stat.gid = from.st_gid;
  const bool is_device = S_ISCHR(from.st_mode) || S_ISBLK(from.st_mode);
  stat.rdev = is_device ? static_cast<uint32_t>(from.st_rdev) : 0;
  stat.size_bytes = S_ISDIR(from.st_mode) ? 0 : from.st_size;
  stat.allocated_bytes = from.st_blocks * 512;
  stat.atime = TimeOf(from.st_atim);
  stat.mtime = TimeOf(from.st_mtim);
  return stat;
}

struct timespec TimeToSet(const Operation& op, const std::optional<Timespec>& time) {
  if (op.now) return {0, UTIME_NOW};
  if (!time) return {0, UTIME_OMIT};
  return {time->seconds, static_cast<long>(time->nanoseconds)};
}

// Those that the tests set.
bool IsOurXattr(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("trusted.") || name == "security.a" ||
         name.starts_with("system.posix_acl_");
}

std::vector<std::string> XattrNames(const std::string& path, int64_t& result) {
  std::string listed(64 << 10, '\0');
  result = llistxattr(path.c_str(), listed.data(), listed.size());
  std::vector<std::string> names;
  for (int64_t at = 0; at < result;) {
    names.emplace_back(listed.c_str() + at);
    at += static_cast<int64_t>(names.back().size()) + 1;
  }
  std::erase_if(names, [](const std::string& name) { return !IsOurXattr(name); });
  std::ranges::sort(names);
  return names;
}

std::string Pread(int fd, uint64_t offset, uint64_t length, int64_t& result) {
  std::string bytes(length, '?');
  result = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  bytes.resize(std::max<int64_t>(result, 0));
  return bytes;
}

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

// Names and types, without "." and ".."; nothing with errno set if it cannot be read.
std::optional<std::map<std::string, uint32_t>> List(const std::string& path) {
  Directory directory(opendir(path.c_str()), closedir);
  if (!directory) return std::nullopt;
  std::map<std::string, uint32_t> listed;
  errno = 0;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    listed[std::string(name)] = DTTOIF(entry->d_type);
  }
  if (errno != 0) return std::nullopt;
  return listed;
}

}  // namespace

DirectoryTarget::DirectoryTarget(std::string path) : path_(std::move(path)) {
  CHECK(mkdir(path_.c_str(), 0755) == 0);
  root_fd_ = open(path_.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  CHECK(root_fd_ >= 0);
}

DirectoryTarget::~DirectoryTarget() {
  CloseAll();
  close(root_fd_);
  CHECK(chdir("/") == 0);
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

Outcome DirectoryTarget::Apply(const Operation& op, bool watch) {
  CHECK(fchdir(root_fd_) == 0);
  Outcome outcome;
  std::vector<Watched> watched;
  // Longer than a tick of the coarse clock that some file systems stamp with.
  if (watch) {
    watched = BeginWatch(op);
    usleep(20'000);
  }
  ApplyAs(op, outcome);
  if (outcome.error == 0 && !outcome.skipped) AddStat(op, outcome);
  if (watch) EndWatch(watched, outcome);
  return outcome;
}

void DirectoryTarget::ApplyAs(const Operation& op, Outcome& outcome) {
  const ActingAs user(op);
  int64_t result = 0;
  switch (op.call) {
    case Call::kOpen:
    case Call::kClose:
    case Call::kRead:
    case Call::kWrite:
    case Call::kFtruncate:
    case Call::kAllocate:
    case Call::kSeekData:
    case Call::kSeekHole:
    case Call::kCopyRange:
    case Call::kFsync:
    case Call::kFstat: result = ApplyFiles(op, outcome); break;
    case Call::kTruncate:
    case Call::kStat:
    case Call::kAccess:
    case Call::kChmod:
    case Call::kChown:
    case Call::kSetTimes: result = ApplyAttributes(op); break;
    case Call::kGetXattr:
    case Call::kSetXattr:
    case Call::kListXattrs:
    case Call::kRemoveXattr: result = ApplyXattrs(op, outcome); break;
    case Call::kSync: result = syncfs(root_fd_); break;
    case Call::kBackground:
    case Call::kRemount: outcome.skipped = true; break;
    default: result = ApplyNames(op, outcome);
  }
  if (result < 0) {
    outcome.error = errno;
  } else {
    outcome.value = result;
  }
}

void DirectoryTarget::ApplyFailed(const Operation& op) {
  if (op.call == Call::kOpen) Close(slots_[op.slot]);
}

int64_t DirectoryTarget::ApplyNames(const Operation& op, Outcome& outcome) {
  const char* const path = op.path.c_str();
  const char* const path2 = op.path2.c_str();
  switch (op.call) {
    case Call::kMkdir: return mkdir(path, op.mode);
    case Call::kMknod: return mknod(path, op.mode, op.flags);
    case Call::kSymlink: return symlink(path2, path);
    case Call::kLink: return linkat(AT_FDCWD, path, AT_FDCWD, path2, 0);
    case Call::kUnlink: return unlink(path);
    case Call::kRmdir: return rmdir(path);
    case Call::kRename: return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, path2, op.flags);
    case Call::kReadlink: {
      outcome.bytes.resize(4096);
      const int64_t result = readlink(path, outcome.bytes.data(), outcome.bytes.size());
      outcome.bytes.resize(std::max<int64_t>(result, 0));
      return std::min<int64_t>(result, 0);
    }
    default: {
      const auto listed = List(op.path);
      if (!listed) return -1;
      for (const auto& [name, type] : *listed) outcome.bytes += fmt::format("{}:{:o} ", name, type);
      return 0;
    }
  }
}

int64_t DirectoryTarget::ApplyAttributes(const Operation& op) {
  const char* const path = op.path.c_str();
  switch (op.call) {
    case Call::kTruncate: return truncate(path, static_cast<off_t>(op.length));
    case Call::kStat: {
      struct stat ignored;
      return lstat(path, &ignored);
    }
    case Call::kAccess: return faccessat(AT_FDCWD, path, static_cast<int>(op.mode), AT_EACCESS);
    case Call::kChmod: return chmod(path, op.mode);
    case Call::kChown: return lchown(path, op.uid, op.gid);
    default: {
      const struct timespec times[] = {TimeToSet(op, op.atime), TimeToSet(op, op.mtime)};
      return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
    }
  }
}

int64_t DirectoryTarget::ApplyXattrs(const Operation& op, Outcome& outcome) {
  const char* const path = op.path.c_str();
  const char* const name = op.name.c_str();
  int64_t result;
  switch (op.call) {
    case Call::kGetXattr:
      outcome.bytes.resize(64 << 10);
      result = lgetxattr(path, name, outcome.bytes.data(), outcome.bytes.size());
      outcome.bytes.resize(std::max<int64_t>(result, 0));
      break;
    case Call::kSetXattr:
      result = lsetxattr(path, name, op.value.data(), op.value.size(), static_cast<int>(op.flags));
      break;
    case Call::kListXattrs:
      for (const std::string& listed : XattrNames(op.path, result)) outcome.bytes += listed + " ";
      break;
    default: result = lremovexattr(path, name);
  }
  return std::min<int64_t>(result, 0);
}

// --- open files ---

void DirectoryTarget::Close(Slot& slot) {
  if (slot.fd >= 0) close(slot.fd);
  slot = Slot();
}

void DirectoryTarget::CloseAll() {
  for (Slot& slot : slots_) Close(slot);
}

int64_t DirectoryTarget::Open(const Operation& op, Outcome& outcome) {
  Slot& slot = slots_[op.slot];
  Close(slot);
  constexpr uint32_t kExclusive = O_CREAT | O_EXCL;
  struct stat found;
  const bool is_there = stat(op.path.c_str(), &found) == 0;
  const bool is_special = is_there && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode);
  if (is_special && (op.flags & kExclusive) != kExclusive) {
    outcome.skipped = true;
    return 0;
  }
  slot.fd = open(op.path.c_str(), static_cast<int>(op.flags) | O_CLOEXEC, op.mode);
  if (slot.fd < 0) return -1;
  slot.is_directory = is_there && S_ISDIR(found.st_mode);
  return 0;
}

int64_t DirectoryTarget::CopyRange(const Operation& op) {
  const Slot& source = slots_[op.slot];
  const Slot& target = slots_[op.slot2];
  uint64_t left = op.length;
  struct stat from;
  CHECK(fstat(source.fd, &from) == 0);
  const uint64_t size = from.st_size;
  // One call copies no more than was there when it began; it may copy less.
  if (S_ISREG(from.st_mode) && op.offset < size) left = std::min(left, size - op.offset);
  off64_t source_offset = static_cast<off64_t>(op.offset);
  off64_t target_offset = static_cast<off64_t>(op.offset2);
  int64_t copied = 0;
  do {
    const ssize_t step =
        copy_file_range(source.fd, &source_offset, target.fd, &target_offset, left, 0);
    if (step < 0) return copied > 0 ? copied : -1;
    if (step == 0) break;
    copied += step;
    left -= step;
  } while (left > 0);
  return copied;
}

int64_t DirectoryTarget::ApplyFiles(const Operation& op, Outcome& outcome) {
  if (op.call == Call::kOpen) return Open(op, outcome);
  Slot& slot = slots_[op.slot];
  const bool lacks_target = op.call == Call::kCopyRange && slots_[op.slot2].fd < 0;
  const bool is_seek = op.call == Call::kSeekData || op.call == Call::kSeekHole;
  if (slot.fd < 0 || lacks_target || (is_seek && slot.is_directory)) {
    outcome.skipped = true;
    return 0;
  }
  const off_t offset = static_cast<off_t>(op.offset);
  const off_t length = static_cast<off_t>(op.length);
  int64_t result = 0;
  switch (op.call) {
    case Call::kClose: Close(slot); return 0;
    case Call::kFstat: {
      struct stat found;
      result = fstat(slot.fd, &found);
      if (result == 0) outcome.stat = ToStat(found);
      return result;
    }
    case Call::kFsync: return fsync(slot.fd);
    case Call::kRead: outcome.bytes = Pread(slot.fd, op.offset, op.length, result); return result;
    case Call::kWrite: {
      const std::string bytes = PatternBytes(op.pattern, op.length);
      return pwrite(slot.fd, bytes.data(), bytes.size(), offset);
    }
    case Call::kFtruncate: return ftruncate(slot.fd, length);
    case Call::kAllocate: return fallocate(slot.fd, static_cast<int>(op.flags), offset, length);
    case Call::kSeekData: return lseek(slot.fd, offset, SEEK_DATA);
    case Call::kSeekHole: return lseek(slot.fd, offset, SEEK_HOLE);
    default: return CopyRange(op);
  }
}

// What the calls on inodes answer besides.
void DirectoryTarget::AddStat(const Operation& op, Outcome& outcome) {
  struct stat found;
  int result = -1;
  switch (op.call) {
    case Call::kMkdir:
    case Call::kMknod:
    case Call::kSymlink:
    case Call::kChown:
    case Call::kSetTimes:
    case Call::kStat: result = lstat(op.path.c_str(), &found); break;
    case Call::kLink: result = lstat(op.path2.c_str(), &found); break;
    case Call::kChmod:
    case Call::kTruncate: result = stat(op.path.c_str(), &found); break;
    case Call::kFtruncate: result = fstat(slots_[op.slot].fd, &found); break;
    default: return;
  }
  if (result == 0) {
    outcome.stat = ToStat(found);
  } else {
    complaint_ = fmt::format("stat after {}: {}", op.ToString(), std::strerror(errno));
  }
}

// --- watching ---

std::vector<DirectoryTarget::Watched> DirectoryTarget::BeginWatch(const Operation& op) {
  std::vector<Watched> watched;
  const auto add = [&](const char* label, int fd) {
    struct stat before;
    if (fd < 0 || fstat(fd, &before) != 0) return;
    watched.push_back({label, fd, before});
  };
  const auto add_path = [&](const std::string& path, const char* label, const char* parent) {
    if (path.empty()) return;
    const size_t slash = path.rfind('/');
    const std::string above = slash == std::string::npos ? "." : path.substr(0, slash);
    add(parent, open(above.c_str(), O_PATH | O_CLOEXEC));
    add(label, open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  };
  add_path(op.path, "path", "parent");
  if (op.call == Call::kRename || op.call == Call::kLink) add_path(op.path2, "path2", "parent2");
  if (op.path.empty() && op.call != Call::kClose) add("slot", dup(slots_[op.slot].fd));
  if (op.call == Call::kCopyRange) add("slot2", dup(slots_[op.slot2].fd));
  return watched;
}

void DirectoryTarget::EndWatch(const std::vector<Watched>& watched, Outcome& outcome) {
  const auto differ = [](const struct timespec& a, const struct timespec& b) {
    return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
  };
  for (const Watched& one : watched) {
    struct stat after;
    if (fstat(one.fd, &after) == 0) {
      Moved& moved = outcome.moved[one.label];
      moved.mtime = differ(one.before.st_mtim, after.st_mtim);
      moved.ctime = differ(one.before.st_ctim, after.st_ctim);
    }
    close(one.fd);
  }
}

// --- walking ---

NodeState DirectoryTarget::StateOf(const std::string& path, const struct stat& stat,
                                   const Interest& interest) {
  NodeState state;
  state.stat = ToStat(stat);
  const std::string here = path.empty() ? "." : path;
  if (S_ISLNK(stat.st_mode)) {
    state.symlink.resize(4096);
    const ssize_t size = readlink(here.c_str(), state.symlink.data(), state.symlink.size());
    state.symlink.resize(std::max<ssize_t>(size, 0));
  }
  int64_t ignored;
  for (const std::string& name : XattrNames(here, ignored)) {
    std::string& value = state.xattrs[name];
    value.resize(64 << 10);
    const ssize_t size = lgetxattr(here.c_str(), name.c_str(), value.data(), value.size());
    value.resize(std::max<ssize_t>(size, 0));
  }
  const auto ranges = interest.find(path);
  if (!S_ISREG(stat.st_mode) || ranges == interest.end()) return state;
  const int fd = open(here.c_str(), O_RDONLY | O_CLOEXEC);
  for (const auto& [begin, length] : ranges->second) {
    state.ranges[begin] = Pread(fd, begin, length, ignored);
  }
  close(fd);
  return state;
}

void DirectoryTarget::WalkInto(const std::string& path, const Interest& interest, Tree& tree,
                               std::map<uint64_t, std::string>& first_paths) {
  const auto listed = List(path.empty() ? "." : path);
  if (!listed) {
    complaint_ = fmt::format("listing '{}': {}", path, std::strerror(errno));
    return;
  }
  for (const auto& [name, type] : *listed) {
    const std::string child = path.empty() ? name : path + "/" + name;
    struct stat found;
    if (lstat(child.c_str(), &found) != 0) {
      complaint_ = fmt::format("'{}' is listed: {}", child, std::strerror(errno));
      continue;
    }
    if ((found.st_mode & S_IFMT) != type) {
      complaint_ = fmt::format("'{}' is listed as another type", child);
    }
    NodeState state = StateOf(child, found, interest);
    state.same_as = first_paths.emplace(found.st_ino, child).first->second;
    tree[child] = std::move(state);
    if (S_ISDIR(found.st_mode)) WalkInto(child, interest, tree, first_paths);
  }
}

Tree DirectoryTarget::Walk(const Interest& interest) {
  CHECK(fchdir(root_fd_) == 0);
  Tree tree;
  std::map<uint64_t, std::string> first_paths;
  struct stat root;
  CHECK(fstat(root_fd_, &root) == 0);
  tree[""] = StateOf("", root, interest);
  WalkInto("", interest, tree, first_paths);
  return tree;
}

}  // namespace tifs::sim
