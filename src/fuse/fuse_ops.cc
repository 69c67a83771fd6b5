#include "fuse/fuse_ops.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>

#include "fuse/capabilities.h"
#include "fuse/directory_page.h"
#include "fuse/reply.h"

namespace tifs::fuse {
namespace {

using fs::Op;

// The kernel's answer to a copy is 32 bits wide.
constexpr size_t kMaxCopyBytes = size_t{1} << 30;
// The kernel opens a file with this flag to run it (FMODE_EXEC).
constexpr int kOpenToExecute = 0x20;

void Init(void* userdata, fuse_conn_info* info) noexcept {
  auto& connection = *static_cast<Connection*>(userdata);
  AnswerInit(connection.options, *info);
  connection.directories_without_handles = (info->want & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
}

// --- names ---

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Handle(req, Op::kLookup, parent, name, [&](Request& request) {
    // The root's parent is outside of what is mounted.
    const bool above = parent == FUSE_ROOT_ID && std::string_view(name) == "..";
    auto entry =
        request.file_system().Lookup(request.context(), request.inode(), above ? "." : name);
    if (!entry && entry.error().code() == ErrorCode::kNotFound) return request.ReplyNoEntry();
    request.ReplyEntry(entry);
  });
}

void Mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  Handle(req, Op::kMknod, parent, name, [&](Request& request) {
    request.ReplyEntry(request.file_system().Mknod(request.context(), request.inode(), name, mode,
                                                   static_cast<uint32_t>(rdev)));
  });
}

void Mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  Handle(req, Op::kMkdir, parent, name, [&](Request& request) {
    request.ReplyEntry(request.file_system().Mkdir(request.context(), request.inode(), name, mode));
  });
}

void Symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  Handle(req, Op::kSymlink, parent, name, [&](Request& request) {
    request.ReplyEntry(
        request.file_system().Symlink(request.context(), request.inode(), name, target));
  });
}

void Link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  Handle(req, Op::kLink, node, new_name, [&](Request& request) {
    const fs::InodeNumber to = request.connection().nodes.ToInode(new_parent);
    request.ReplyEntry(
        request.file_system().Link(request.context(), request.inode(), to, new_name));
  });
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Handle(req, Op::kUnlink, parent, name, [&](Request& request) {
    request.Reply(request.file_system().Unlink(request.context(), request.inode(), name));
  });
}

void Rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Handle(req, Op::kRmdir, parent, name, [&](Request& request) {
    request.Reply(request.file_system().Rmdir(request.context(), request.inode(), name));
  });
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  Handle(req, Op::kRename, parent, name, [&](Request& request) {
    const fs::InodeNumber to = request.connection().nodes.ToInode(new_parent);
    request.Reply(request.file_system().Rename(request.context(), request.inode(), name, to,
                                               new_name, flags));
  });
}

void Readlink(fuse_req_t req, fuse_ino_t node) {
  Handle(req, Op::kReadlink, node, {}, [&](Request& request) {
    request.ReplyTarget(request.file_system().Readlink(request.context(), request.inode()));
  });
}

// Nodes are inodes: nothing counts how often the kernel has looked one up. It forgets a directory
// that was removed all at once, when nobody uses it any more.
void ForgetNode(fuse_req_t req, fuse_ino_t node) {
  Connection& connection = *static_cast<Connection*>(fuse_req_userdata(req));
  connection.file_system.Forget(connection.nodes.ToInode(node));
}

void Forget(fuse_req_t req, fuse_ino_t node, uint64_t /*lookups*/) {
  ForgetNode(req, node);
  fuse_reply_none(req);
}

void ForgetMany(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& forget : std::span(forgets, count)) ForgetNode(req, forget.ino);
  fuse_reply_none(req);
}

// --- attributes ---

void GetAttributes(fuse_req_t req, fuse_ino_t node, fuse_file_info* /*info*/) {
  Handle(req, Op::kGetAttributes, node, {}, [&](Request& request) {
    request.ReplyAttributes(
        request.file_system().GetAttributes(request.context(), request.inode()));
  });
}

Timespec ToTime(const timespec& time) {
  return {.seconds = time.tv_sec, .nanoseconds = static_cast<uint32_t>(time.tv_nsec)};
}

fs::AttributeChanges ToChanges(const struct stat& to, int valid) {
  fs::AttributeChanges changes;
  if (valid & FUSE_SET_ATTR_MODE) changes.mode = to.st_mode & 07777;
  if (valid & FUSE_SET_ATTR_UID) changes.uid = to.st_uid;
  if (valid & FUSE_SET_ATTR_GID) changes.gid = to.st_gid;
  if (valid & FUSE_SET_ATTR_SIZE) changes.size_bytes = static_cast<uint64_t>(to.st_size);
  if (valid & FUSE_SET_ATTR_ATIME) {
    changes.atime = {.now = (valid & FUSE_SET_ATTR_ATIME_NOW) != 0, .time = ToTime(to.st_atim)};
  }
  if (valid & FUSE_SET_ATTR_MTIME) {
    changes.mtime = {.now = (valid & FUSE_SET_ATTR_MTIME_NOW) != 0, .time = ToTime(to.st_mtim)};
  }
  if (valid & FUSE_SET_ATTR_CTIME) changes.ctime = ToTime(to.st_ctim);
  return changes;
}

void SetAttributes(fuse_req_t req, fuse_ino_t node, struct stat* to, int valid,
                   fuse_file_info* info) {
  Handle(req, Op::kSetAttributes, node, {}, [&](Request& request) {
    fs::AttributeChanges changes = ToChanges(*to, valid);
    changes.kill_privileges = request.facts().kill_privileges;
    const fs::HandleId handle{info != nullptr ? info->fh : 0};
    request.ReplyAttributes(
        request.file_system().SetAttributes(request.context(), request.inode(), changes, handle));
  });
}

void Access(fuse_req_t req, fuse_ino_t node, int mask) {
  Handle(req, Op::kAccess, node, {}, [&](Request& request) {
    request.Reply(request.file_system().Access(request.context(), request.inode(), mask));
  });
}

// --- files ---

// O_APPEND and O_SYNC are left to the requests: each WRITE carries its handle's flags of the moment
// (fcntl(2) changes them), and a write from the page cache, which may name any handle of the file,
// carries none.
fs::OpenFlags ToOpenFlags(const Request& request, int flags) {
  const int access = flags & O_ACCMODE;
  return {.read = access != O_WRONLY,
          .write = access != O_RDONLY,
          .truncate = (flags & O_TRUNC) != 0,
          .execute = (flags & kOpenToExecute) != 0,
          .kill_privileges = request.facts().kill_privileges};
}

void SetOpened(const fs::OpenedFile& file, fuse_file_info& info) {
  info.fh = file.handle.value;
  info.keep_cache = file.keep_cache;
  info.direct_io = file.direct_io;
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) {
  Handle(req, Op::kCreate, parent, name, [&](Request& request) {
    auto created = request.file_system().Create(request.context(), request.inode(), name, mode,
                                                ToOpenFlags(request, info->flags));
    if (!created) {
      // Another mount made it since the kernel looked: have the kernel look again, and open it.
      const bool race = created.error().code() == ErrorCode::kExists && (info->flags & O_EXCL) == 0;
      return race ? request.ReplyErrno(ESTALE) : request.ReplyError(created.error());
    }
    SetOpened(created->file, *info);
    if (!request.ReplyCreated(created->entry, *info)) {
      (void)request.file_system().Release(created->entry.attributes.inode, created->file.handle);
    }
  });
}

void Open(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Handle(req, Op::kOpen, node, {}, [&](Request& request) {
    auto opened = request.file_system().Open(request.context(), request.inode(),
                                             ToOpenFlags(request, info->flags));
    if (!opened) return request.ReplyError(opened.error());
    SetOpened(opened.value(), *info);
    if (!request.ReplyOpened(*info)) {
      (void)request.file_system().Release(request.inode(), opened->handle);
    }
  });
}

void Read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* info) {
  Handle(req, Op::kRead, node, {}, [&](Request& request) {
    std::span<char> room = request.reply_buffer();
    room = room.first(std::min(size, room.size()));
    auto got =
        request.file_system().Read(request.context(), request.inode(), fs::HandleId{info->fh},
                                   static_cast<uint64_t>(offset), room);
    if (!got) return request.ReplyError(got.error());
    request.ReplyData(room.first(got.value()));
  });
}

void Write(fuse_req_t req, fuse_ino_t node, const char* data, size_t size, off_t offset,
           fuse_file_info* info) {
  Handle(req, Op::kWrite, node, {}, [&](Request& request) {
    // In exclusive mode the kernel knows where the file ends, and sends FSYNC after a write to a
    // file that is open with O_SYNC.
    const bool by_flags = !request.connection().exclusive() && !info->writepage;
    request.ReplyCount(
        request.file_system().Write(request.context(), request.inode(), fs::HandleId{info->fh},
                                    static_cast<uint64_t>(offset), std::string_view(data, size),
                                    {.at_end = by_flags && (info->flags & O_APPEND) != 0,
                                     .sync = by_flags && (info->flags & O_DSYNC) != 0,
                                     .kill_privileges = request.facts().kill_privileges}));
  });
}

// Locks are the kernel's own and data was written when WRITE was answered, so there is nothing to
// do at close(2), and the kernel need not ask again.
void Flush(fuse_req_t req, fuse_ino_t /*node*/, fuse_file_info* /*info*/) {
  fuse_reply_err(req, ENOSYS);
}

void Fsync(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info* /*info*/) {
  Handle(req, Op::kFsync, node, {}, [&](Request& request) {
    request.Reply(request.file_system().Fsync(request.context(), request.inode(), data_only != 0));
  });
}

void Release(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Handle(req, Op::kRelease, node, {}, [&](Request& request) {
    request.Reply(request.file_system().Release(request.inode(), fs::HandleId{info->fh}));
  });
}

void Allocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
              fuse_file_info* info) {
  Handle(req, Op::kAllocate, node, {}, [&](Request& request) {
    constexpr int kCarried = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if ((mode & ~kCarried) != 0) return request.ReplyErrno(EOPNOTSUPP);
    const fs::AllocateMode carried = {.keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0,
                                      .punch_hole = (mode & FALLOC_FL_PUNCH_HOLE) != 0,
                                      .zero_range = (mode & FALLOC_FL_ZERO_RANGE) != 0};
    request.Reply(request.file_system().Allocate(
        request.context(), request.inode(), fs::HandleId{info->fh}, carried,
        static_cast<uint64_t>(offset), static_cast<uint64_t>(length)));
  });
}

void Seek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, fuse_file_info* info) {
  Handle(req, Op::kSeek, node, {}, [&](Request& request) {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return request.ReplyErrno(EINVAL);
    request.ReplyOffset(request.file_system().Seek(
        request.context(), request.inode(), fs::HandleId{info->fh}, static_cast<uint64_t>(offset),
        whence == SEEK_DATA ? fs::SeekWhence::kData : fs::SeekWhence::kHole));
  });
}

void CopyRange(fuse_req_t req, fuse_ino_t source, off_t source_offset, fuse_file_info* source_info,
               fuse_ino_t target, off_t target_offset, fuse_file_info* target_info, size_t length,
               int flags) {
  Handle(req, Op::kCopyRange, source, {}, [&](Request& request) {
    if (flags != 0) return request.ReplyErrno(EINVAL);
    request.ReplyCount(request.file_system().CopyRange(
        request.context(), request.inode(), fs::HandleId{source_info->fh},
        static_cast<uint64_t>(source_offset), request.connection().nodes.ToInode(target),
        fs::HandleId{target_info->fh}, static_cast<uint64_t>(target_offset),
        std::min(length, kMaxCopyBytes)));
  });
}

// --- directories ---

void OpenDirectory(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Handle(req, Op::kOpenDirectory, node, {}, [&](Request& request) {
    // The kernel then opens directories by itself, and keeps and caches them.
    if (request.connection().directories_without_handles) return request.ReplyErrno(ENOSYS);
    auto handle = request.file_system().OpenDirectory(request.context(), request.inode());
    if (!handle) return request.ReplyError(handle.error());
    info->fh = handle.value().value;
    info->keep_cache = info->cache_readdir = request.connection().exclusive();
    if (!request.ReplyOpened(*info)) {
      (void)request.file_system().ReleaseDirectory(request.inode(), handle.value());
    }
  });
}

void ReadDirectoryPage(fuse_req_t req, fuse_ino_t node, size_t size, off_t cookie,
                       bool with_attributes) {
  Handle(req, Op::kReadDirectory, node, {}, [&](Request& request) {
    std::span<char> room = request.reply_buffer();
    DirectoryPage page(request.connection().nodes, room.first(std::min(size, room.size())),
                       with_attributes);
    const Status status = request.file_system().ReadDirectory(
        request.context(), request.inode(), static_cast<uint64_t>(cookie), page.max_entries(),
        with_attributes, [&](const fs::DirectoryEntry& entry) { return page.Add(entry); });
    // What was read before an error is an answer; the error comes again with the next request.
    if (!status && page.bytes().empty()) return request.ReplyError(status.error());
    request.ReplyData(page.bytes());
  });
}

void ReadDirectory(fuse_req_t req, fuse_ino_t node, size_t size, off_t cookie,
                   fuse_file_info* /*info*/) {
  ReadDirectoryPage(req, node, size, cookie, false);
}

void ReadDirectoryPlus(fuse_req_t req, fuse_ino_t node, size_t size, off_t cookie,
                       fuse_file_info* /*info*/) {
  ReadDirectoryPage(req, node, size, cookie, true);
}

void ReleaseDirectory(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Handle(req, Op::kReleaseDirectory, node, {}, [&](Request& request) {
    request.Reply(request.file_system().ReleaseDirectory(request.inode(), fs::HandleId{info->fh}));
  });
}

// --- extended attributes ---

void GetXattr(fuse_req_t req, fuse_ino_t node, const char* name, size_t size) {
  Handle(req, Op::kGetXattr, node, name, [&](Request& request) {
    request.ReplyXattr(request.file_system().GetXattr(request.context(), request.inode(), name),
                       size);
  });
}

void SetXattr(fuse_req_t req, fuse_ino_t node, const char* name, const char* value, size_t size,
              int flags) {
  Handle(req, Op::kSetXattr, node, name, [&](Request& request) {
    const auto flag = flags == XATTR_CREATE    ? fs::XattrFlag::kCreate
                      : flags == XATTR_REPLACE ? fs::XattrFlag::kReplace
                                               : fs::XattrFlag::kAny;
    request.Reply(request.file_system().SetXattr(request.context(), request.inode(), name,
                                                 std::string_view(value, size), flag));
  });
}

void ListXattrs(fuse_req_t req, fuse_ino_t node, size_t size) {
  Handle(req, Op::kListXattr, node, {}, [&](Request& request) {
    request.ReplyXattr(request.file_system().ListXattrs(request.context(), request.inode()), size);
  });
}

void RemoveXattr(fuse_req_t req, fuse_ino_t node, const char* name) {
  Handle(req, Op::kRemoveXattr, node, name, [&](Request& request) {
    request.Reply(request.file_system().RemoveXattr(request.context(), request.inode(), name));
  });
}

// --- the whole ---

void Statfs(fuse_req_t req, fuse_ino_t node) {
  Handle(req, Op::kStatfs, node, {},
         [&](Request& request) { request.ReplyUsage(request.file_system().Statfs()); });
}

// There are no ioctls of our own; ENOTTY is what a program that probes for one expects.
void Ioctl(fuse_req_t req, fuse_ino_t /*node*/, unsigned /*command*/, void* /*argument*/,
           fuse_file_info* /*info*/, unsigned /*flags*/, const void* /*in*/, size_t /*in_size*/,
           size_t /*out_size*/) {
  fuse_reply_err(req, ENOTTY);
}

}  // namespace

// Left out on purpose, and so answered ENOSYS: getlk, setlk, flock (the kernel's own locks serve),
// poll (regular files are always ready), bmap (there is no device below).
fuse_lowlevel_ops Operations() {
  return {.init = Init,
          .lookup = Lookup,
          .forget = Forget,
          .getattr = GetAttributes,
          .setattr = SetAttributes,
          .readlink = Readlink,
          .mknod = Mknod,
          .mkdir = Mkdir,
          .unlink = Unlink,
          .rmdir = Rmdir,
          .symlink = Symlink,
          .rename = Rename,
          .link = Link,
          .open = Open,
          .read = Read,
          .write = Write,
          .flush = Flush,
          .release = Release,
          .fsync = Fsync,
          .opendir = OpenDirectory,
          .readdir = ReadDirectory,
          .releasedir = ReleaseDirectory,
          .fsyncdir = Fsync,
          .statfs = Statfs,
          .setxattr = SetXattr,
          .getxattr = GetXattr,
          .listxattr = ListXattrs,
          .removexattr = RemoveXattr,
          .access = Access,
          .create = Create,
          .ioctl = Ioctl,
          .forget_multi = ForgetMany,
          .fallocate = Allocate,
          .readdirplus = ReadDirectoryPlus,
          .copy_file_range = CopyRange,
          .lseek = Seek};
}

}  // namespace tifs::fuse
