// A pass-through FUSE file system: each request becomes the same system call on a directory below.
// It is what the bench compares with: the price of FUSE itself, without any storage of its own. So
// it is plain on purpose: entries and attributes valid for one second, pages kept while size and
// mtime stay, no write-back, libfuse's own multi-threaded loop, locks left to the kernel.
//
//   passthrough_fs SOURCE MOUNTPOINT [--threads N] [--clone-fd]
//
// It stays in the foreground and ends by SIGINT, SIGTERM or an unmount.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "passthrough.h"

namespace tifs::bench {

int LookUpEntry(fuse_req_t req, int parent_fd, const char* name, fuse_entry_param* entry) {
  *entry = {};
  UniqueFd path_fd(openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!path_fd.valid()) return errno;
  if (fstatat(path_fd.get(), "", &entry->attr, AT_EMPTY_PATH) == -1) return errno;
  Inode* inode = FileSystem(req).inodes.Acquire(std::move(path_fd), entry->attr);
  entry->ino = reinterpret_cast<fuse_ino_t>(inode);
  entry->attr_timeout = kValiditySeconds;
  entry->entry_timeout = kValiditySeconds;
  return 0;
}

namespace {

int HandleFd(const fuse_file_info* fi) { return static_cast<int>(fi->fh); }

// Answers a call that returned -1 on failure and has nothing to tell on success.
void ReplyStatus(fuse_req_t req, int result) { fuse_reply_err(req, result == -1 ? errno : 0); }

void ReplyEntry(fuse_req_t req, PassThrough& file_system, int error, fuse_entry_param* entry) {
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  // If the kernel has given the request up, it will never forget what we counted.
  if (fuse_reply_entry(req, entry) == -ENOENT) ForgetOne(file_system, entry->ino, 1);
}

// A new entry belongs to the caller, but for the group in a setgid directory.
int GiveToCaller(fuse_req_t req, int parent_fd, const char* name) {
  const fuse_ctx* caller = fuse_req_ctx(req);
  if (caller->uid == geteuid() && caller->gid == getegid()) return 0;
  struct stat parent;
  if (fstatat(parent_fd, "", &parent, AT_EMPTY_PATH) == -1) return -1;
  const gid_t gid = (parent.st_mode & S_ISGID) != 0 ? static_cast<gid_t>(-1) : caller->gid;
  return fchownat(parent_fd, name, caller->uid, gid, AT_SYMLINK_NOFOLLOW);
}

void ReplyCreated(fuse_req_t req, int result, int parent_fd, const char* name) {
  if (result == -1 || GiveToCaller(req, parent_fd, name) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_entry_param entry;
  const int error = LookUpEntry(req, parent_fd, name, &entry);
  ReplyEntry(req, FileSystem(req), error, &entry);
}

void Init(void*, fuse_conn_info* conn) {
  // Ours are plain writes by root, which below keep setuid: let the kernel clear it instead.
  conn->want &= ~static_cast<unsigned>(FUSE_CAP_HANDLE_KILLPRIV);
}

void LookUp(fuse_req_t req, fuse_ino_t parent, const char* name) {
  fuse_entry_param entry;
  const int error = LookUpEntry(req, FdOf(req, parent), name, &entry);
  if (error == ENOENT) {  // that there is no such name is as valid as an entry
    entry = {};
    entry.entry_timeout = kValiditySeconds;
    fuse_reply_entry(req, &entry);
    return;
  }
  ReplyEntry(req, FileSystem(req), error, &entry);
}

void Forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  ForgetOne(FileSystem(req), ino, count);
  fuse_reply_none(req);
}

void ForgetMulti(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) ForgetOne(FileSystem(req), forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  struct stat attr;
  if (fstatat(FdOf(req, ino), "", &attr, AT_EMPTY_PATH) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_attr(req, &attr, kValiditySeconds);
}

int SetTimes(int path_fd, const struct stat& attr, int to_set) {
  timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  if ((to_set & FUSE_SET_ATTR_ATIME) != 0) times[0] = attr.st_atim;
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0].tv_nsec = UTIME_NOW;
  if ((to_set & FUSE_SET_ATTR_MTIME) != 0) times[1] = attr.st_mtim;
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1].tv_nsec = UTIME_NOW;
  return utimensat(path_fd, "", times, AT_EMPTY_PATH);
}

int ApplyAttr(int path_fd, const struct stat& attr, int to_set, const fuse_file_info* fi) {
  constexpr int kTimes =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW;
  const ProcPath path(path_fd);
  if ((to_set & FUSE_SET_ATTR_MODE) != 0 && chmod(path.c_str(), attr.st_mode) == -1) return -1;
  if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t uid = (to_set & FUSE_SET_ATTR_UID) != 0 ? attr.st_uid : static_cast<uid_t>(-1);
    const gid_t gid = (to_set & FUSE_SET_ATTR_GID) != 0 ? attr.st_gid : static_cast<gid_t>(-1);
    if (fchownat(path_fd, "", uid, gid, AT_EMPTY_PATH) == -1) return -1;
  }
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    const int result = fi != nullptr ? ftruncate(HandleFd(fi), attr.st_size)
                                     : truncate(path.c_str(), attr.st_size);
    if (result == -1) return -1;
  }
  return (to_set & kTimes) != 0 ? SetTimes(path_fd, attr, to_set) : 0;
}

void SetAttr(fuse_req_t req, fuse_ino_t ino, struct stat* attr, int to_set, fuse_file_info* fi) {
  if (ApplyAttr(FdOf(req, ino), *attr, to_set, fi) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  GetAttr(req, ino, fi);
}

void ReadLink(fuse_req_t req, fuse_ino_t ino) {
  std::array<char, PATH_MAX + 1> target;
  const ssize_t length = readlinkat(FdOf(req, ino), "", target.data(), target.size() - 1);
  if (length == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  target[length] = '\0';
  fuse_reply_readlink(req, target.data());
}

void MakeNode(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  const int parent_fd = FdOf(req, parent);
  ReplyCreated(req, mknodat(parent_fd, name, mode, device), parent_fd, name);
}

void MakeDirectory(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const int parent_fd = FdOf(req, parent);
  ReplyCreated(req, mkdirat(parent_fd, name, mode), parent_fd, name);
}

void SymLink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  const int parent_fd = FdOf(req, parent);
  ReplyCreated(req, symlinkat(target, parent_fd, name), parent_fd, name);
}

void Link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char* new_name) {
  const int parent_fd = FdOf(req, new_parent);
  const ProcPath path(FdOf(req, ino));
  if (linkat(AT_FDCWD, path.c_str(), parent_fd, new_name, AT_SYMLINK_FOLLOW) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_entry_param entry;
  const int error = LookUpEntry(req, parent_fd, new_name, &entry);
  ReplyEntry(req, FileSystem(req), error, &entry);
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  ReplyStatus(req, unlinkat(FdOf(req, parent), name, 0));
}

void RemoveDirectory(fuse_req_t req, fuse_ino_t parent, const char* name) {
  ReplyStatus(req, unlinkat(FdOf(req, parent), name, AT_REMOVEDIR));
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  ReplyStatus(req, renameat2(FdOf(req, parent), name, FdOf(req, new_parent), new_name, flags));
}

// Requests have no alignment that O_DIRECT below would accept.
int FlagsBelow(int flags) { return (flags & ~O_DIRECT) | O_CLOEXEC; }

void Open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  const ProcPath path(FdOf(req, ino));
  UniqueFd fd(open(path.c_str(), FlagsBelow(fi->flags) & ~O_NOFOLLOW));
  if (!fd.valid()) {
    fuse_reply_err(req, errno);
    return;
  }
  fi->fh = static_cast<uint64_t>(fd.get());
  fi->keep_cache = 1;  // FUSE_AUTO_INVAL_DATA drops the pages when size or mtime moved
  if (fuse_reply_open(req, fi) == 0) fd.release();
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
  const int parent_fd = FdOf(req, parent);
  PassThrough& file_system = FileSystem(req);
  UniqueFd fd(openat(parent_fd, name, FlagsBelow(fi->flags) | O_CREAT | O_NOFOLLOW, mode));
  if (!fd.valid() || GiveToCaller(req, parent_fd, name) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_entry_param entry;
  if (const int error = LookUpEntry(req, parent_fd, name, &entry); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fi->fh = static_cast<uint64_t>(fd.get());
  fi->keep_cache = 1;
  if (fuse_reply_create(req, &entry, fi) == 0) {
    fd.release();
  } else {
    ForgetOne(file_system, entry.ino, 1);
  }
}

void Read(fuse_req_t req, fuse_ino_t, size_t size, off_t offset, fuse_file_info* fi) {
  // A plain reply from memory: measured faster here than splicing from the file.
  thread_local std::vector<char> buffer;
  if (buffer.size() < size) buffer.resize(size);
  const ssize_t count = pread(HandleFd(fi), buffer.data(), size, offset);
  if (count == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_buf(req, buffer.data(), static_cast<size_t>(count));
}

void Write(fuse_req_t req, fuse_ino_t, const char* data, size_t size, off_t offset,
           fuse_file_info* fi) {
  const ssize_t count = pwrite(HandleFd(fi), data, size, offset);
  if (count == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_write(req, static_cast<size_t>(count));
}

// close(2) of a duplicate reports what the file system below reports at close.
void Flush(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  const int duplicate = dup(HandleFd(fi));
  ReplyStatus(req, duplicate == -1 ? -1 : close(duplicate));
}

void Release(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  close(HandleFd(fi));
  fuse_reply_err(req, 0);
}

void Fsync(fuse_req_t req, fuse_ino_t, int data_only, fuse_file_info* fi) {
  ReplyStatus(req, data_only != 0 ? fdatasync(HandleFd(fi)) : fsync(HandleFd(fi)));
}

void FAllocate(fuse_req_t req, fuse_ino_t, int mode, off_t offset, off_t length,
               fuse_file_info* fi) {
  ReplyStatus(req, fallocate(HandleFd(fi), mode, offset, length));
}

void LSeek(fuse_req_t req, fuse_ino_t, off_t offset, int whence, fuse_file_info* fi) {
  const off_t found = lseek(HandleFd(fi), offset, whence);
  if (found == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_lseek(req, found);
}

void StatFs(fuse_req_t req, fuse_ino_t ino) {
  struct statvfs space;
  if (fstatvfs(FdOf(req, ino), &space) == -1) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_statfs(req, &space);
}

// Size 0 asks how long the value is.
void ReplyXattr(fuse_req_t req, ssize_t length, const std::vector<char>& value) {
  if (length == -1) {
    fuse_reply_err(req, errno);
  } else if (value.empty()) {
    fuse_reply_xattr(req, static_cast<size_t>(length));
  } else {
    fuse_reply_buf(req, value.data(), static_cast<size_t>(length));
  }
}

void GetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) {
  std::vector<char> value(size);
  const ProcPath path(FdOf(req, ino));
  ReplyXattr(req, getxattr(path.c_str(), name, value.data(), size), value);
}

void ListXattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
  std::vector<char> names(size);
  const ProcPath path(FdOf(req, ino));
  ReplyXattr(req, listxattr(path.c_str(), names.data(), size), names);
}

void SetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, size_t size,
              int flags) {
  const ProcPath path(FdOf(req, ino));
  ReplyStatus(req, setxattr(path.c_str(), name, value, size, flags));
}

void RemoveXattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  const ProcPath path(FdOf(req, ino));
  ReplyStatus(req, removexattr(path.c_str(), name));
}

fuse_lowlevel_ops AllOperations() {
  fuse_lowlevel_ops operations = {};
  operations.init = Init;
  operations.lookup = LookUp;
  operations.forget = Forget;
  operations.getattr = GetAttr;
  operations.setattr = SetAttr;
  operations.readlink = ReadLink;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.unlink = Unlink;
  operations.rmdir = RemoveDirectory;
  operations.symlink = SymLink;
  operations.rename = Rename;
  operations.link = Link;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  operations.flush = Flush;
  operations.release = Release;
  operations.fsync = Fsync;
  operations.statfs = StatFs;
  operations.setxattr = SetXattr;
  operations.getxattr = GetXattr;
  operations.listxattr = ListXattr;
  operations.removexattr = RemoveXattr;
  operations.create = Create;
  operations.forget_multi = ForgetMulti;
  operations.fallocate = FAllocate;
  operations.lseek = LSeek;
  SetDirectoryOperations(&operations);
  return operations;
}

// Each inode that the kernel remembers costs a descriptor.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == -1) return;
  const rlimit wanted{1 << 20, 1 << 20};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Serve(PassThrough* file_system, const char* mount_point, fuse_loop_config* loop) {
  std::string options = "fsname=passthrough,subtype=passthrough,default_permissions";
  if (geteuid() == 0) options += ",allow_other";
  char program[] = "passthrough_fs";
  char option_flag[] = "-o";
  char* arguments[] = {program, option_flag, options.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, arguments);
  const fuse_lowlevel_ops operations = AllOperations();
  fuse_session* session = fuse_session_new(&args, &operations, sizeof(operations), file_system);
  if (session == nullptr) return 1;
  int result = 1;
  if (fuse_set_signal_handlers(session) == 0) {
    if (fuse_session_mount(session, mount_point) == 0) {
      result = fuse_session_loop_mt(session, loop) < 0 ? 1 : 0;
      fuse_session_unmount(session);
    }
    fuse_remove_signal_handlers(session);
  }
  fuse_session_destroy(session);
  return result;
}

int Usage(FILE* stream, int status) {
  std::fputs("usage: passthrough_fs SOURCE MOUNTPOINT [--threads N] [--clone-fd]\n", stream);
  return status;
}

int Run(int argc, char** argv) {
  std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> loop(fuse_loop_cfg_create(),
                                                                           &fuse_loop_cfg_destroy);
  std::vector<const char*> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help") return Usage(stdout, 0);
    if (argument == "--clone-fd") {
      fuse_loop_cfg_set_clone_fd(loop.get(), 1);
    } else if (argument == "--threads" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
      fuse_loop_cfg_set_max_threads(loop.get(), static_cast<unsigned>(std::atoi(argv[++i])));
    } else if (argument.starts_with("-")) {
      return Usage(stderr, 2);
    } else {
      paths.push_back(argv[i]);
    }
  }
  if (paths.size() != 2) return Usage(stderr, 2);
  PassThrough file_system;
  RaiseDescriptorLimit();
  umask(0);
  file_system.root.path_fd = UniqueFd(open(paths[0], O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!file_system.root.path_fd.valid()) {
    std::fprintf(stderr, "passthrough_fs: %s: %s\n", paths[0], std::strerror(errno));
    return 1;
  }
  return Serve(&file_system, paths[1], loop.get());
}

}  // namespace
}  // namespace tifs::bench

int main(int argc, char** argv) { return tifs::bench::Run(argc, argv); }
