#include "fs/file_system.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "fs/data/kv_blocks.h"
#include "fs/file_system_core.h"
#include "fs/ops/ops.h"

namespace tifs::fs {
namespace {

// As much of a copy as one transaction takes.
constexpr uint64_t kMaxCopyBytes = 1 << 20;

Result<MetaRecord> LoadMeta(kv::Store& store) {
  const std::optional<kv::Value> value = TRY(store.GetLatest(Schema().Meta()));
  if (!value) return Error(ErrorCode::kNotFound, "not a formatted file system");
  return MetaRecord::Decode(value->view());
}

}  // namespace

std::string_view OpName(Op op) {
  static constexpr std::array<std::string_view, static_cast<size_t>(Op::kCount)> kNames = {
      "lookup",    "getattr",  "setattr",         "readlink",    "mknod",   "mkdir",
      "unlink",    "rmdir",    "symlink",         "rename",      "link",    "create",
      "open",      "read",     "write",           "flush",       "fsync",   "release",
      "fallocate", "lseek",    "copy_file_range", "opendir",     "readdir", "releasedir",
      "getxattr",  "setxattr", "listxattr",       "removexattr", "access",  "statfs"};
  return kNames[static_cast<size_t>(op)];
}

Status FileSystemOptions::Validate() const {
  if (!subdirectory.starts_with('/')) {
    return Error(ErrorCode::kInvalid, "subdir", "is an absolute path");
  }
  if (!shared) return {};
  if (cache_mode == CacheMode::kExclusive) {
    return Error(ErrorCode::kInvalid, "open", "a shared file system is strict");
  }
  return session.Validate();
}

Result<bool> UsesExtents(kv::Store& store) {
  return (TRY(LoadMeta(store)).incompatible & MetaRecord::kFeatureExtents) != 0;
}

FileSystem::FileSystem(std::unique_ptr<Core> core) : core_(std::move(core)) {}

FileSystem::~FileSystem() {
  if (Status closed = Close(); !closed) LogError("close: {}", closed.error().ToString());
}

Result<std::unique_ptr<FileSystem>> FileSystem::Open(kv::Store& store, Clock& clock,
                                                     FileSystemOptions options) {
  return Open(store, clock, std::move(options), std::make_unique<KvBlocks>());
}

Result<std::unique_ptr<FileSystem>> FileSystem::Open(kv::Store& store, Clock& clock,
                                                     FileSystemOptions options,
                                                     std::unique_ptr<BlockStore> blocks) {
  TRY(options.Validate());
  const MetaRecord meta = TRY(LoadMeta(store));
  if (options.shared && !store.Ahead(0, options.session.timeout)) {
    return Error(ErrorCode::kNotSupported, "open", "the store is for one process");
  }
  if ((meta.read_only_compatible & ~MetaRecord::kKnownReadOnlyCompatible) != 0 &&
      !options.read_only) {
    return Error(ErrorCode::kReadOnly, "meta", "it uses features that this release may only read");
  }
  auto core = std::make_unique<Core>(store, clock, std::move(options), meta, std::move(blocks));
  TRY(core->Start());
  return std::unique_ptr<FileSystem>(new FileSystem(std::move(core)));
}

Status FileSystem::Close() { return core_->Close(); }

Result<Entry> FileSystem::Lookup(const OpContext& context, InodeNumber parent,
                                 std::string_view name) {
  return core_->Read(Op::kLookup, context,
                     [&](Operation& op) { return ops::Lookup(op, parent, name); });
}

Result<CreatedFile> FileSystem::Create(const OpContext& context, InodeNumber parent,
                                       std::string_view name, uint32_t mode, OpenFlags flags) {
  return core_->Measured(Op::kCreate, [&]() -> Result<CreatedFile> {
    ops::NewInode new_inode;
    new_inode.number = TRY(core_->AllocateInode());
    new_inode.mode = S_IFREG | (mode & 07777);
    // Open before it exists, so that no unlink can come between.
    const HandleId handle = core_->mount.handles.Add(new_inode.number, flags.sync);
    Result<Entry> entry = core_->Change(
        context, [&](Operation& op) { return ops::Create(op, parent, name, new_inode); });
    if (!entry) {
      core_->Release(new_inode.number, handle);
      return std::move(entry).error();
    }
    core_->mount.handles.Confirm(new_inode.number);
    return CreatedFile{*entry, core_->Opened(handle)};
  });
}

Result<Entry> FileSystem::Mknod(const OpContext& context, InodeNumber parent, std::string_view name,
                                uint32_t mode, uint32_t rdev) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  const bool device = S_ISCHR(mode) || S_ISBLK(mode);
  if (!device && !S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) {
    return Error(ErrorCode::kInvalid, "mknod");
  }
  return core_->Make(Op::kMknod, context, parent, name, {{}, mode, device ? rdev : 0, {}});
}

Result<Entry> FileSystem::Mkdir(const OpContext& context, InodeNumber parent, std::string_view name,
                                uint32_t mode) {
  return core_->Make(Op::kMkdir, context, parent, name, {{}, S_IFDIR | (mode & 07777), 0, {}});
}

Result<Entry> FileSystem::Symlink(const OpContext& context, InodeNumber parent,
                                  std::string_view name, std::string_view target) {
  if (target.empty()) return Error(ErrorCode::kNotFound, "symlink to nothing");
  if (target.size() > kMaxSymlinkBytes) return Error(ErrorCode::kNameTooLong, "symlink");
  return core_->Make(Op::kSymlink, context, parent, name, {{}, S_IFLNK | 0777, 0, target});
}

Result<Entry> FileSystem::Link(const OpContext& context, InodeNumber inode, InodeNumber new_parent,
                               std::string_view new_name) {
  return core_->Write(Op::kLink, context,
                      [&](Operation& op) { return ops::Link(op, inode, new_parent, new_name); });
}

Status FileSystem::Unlink(const OpContext& context, InodeNumber parent, std::string_view name) {
  return core_->Write(Op::kUnlink, context,
                      [&](Operation& op) { return ops::Unlink(op, parent, name); });
}

Status FileSystem::Rmdir(const OpContext& context, InodeNumber parent, std::string_view name) {
  return core_->Write(Op::kRmdir, context,
                      [&](Operation& op) { return ops::Rmdir(op, parent, name); });
}

Status FileSystem::Rename(const OpContext& context, InodeNumber parent, std::string_view name,
                          InodeNumber new_parent, std::string_view new_name, uint32_t flags) {
  return core_->Measured(Op::kRename, [&]() -> Status {
    ops::RenameRequest request{parent, name, new_parent, new_name, flags, {}};
    if ((flags & static_cast<uint32_t>(RenameFlag::kWhiteout)) != 0) {
      request.whiteout_number = TRY(core_->AllocateInode());
    }
    return core_->Change(context, [&](Operation& op) { return ops::Rename(op, request); });
  });
}

Result<std::string> FileSystem::Readlink(const OpContext& context, InodeNumber inode) {
  return core_->Read(Op::kReadlink, context,
                     [&](Operation& op) { return ops::Readlink(op, inode); });
}

void FileSystem::Forget(InodeNumber inode) { core_->mount.removed_directories.Forget(inode); }

Result<Entry> FileSystem::GetAttributes(const OpContext& context, InodeNumber inode) {
  return core_->Read(Op::kGetAttributes, context,
                     [&](Operation& op) { return ops::GetAttributes(op, inode); });
}

Result<Entry> FileSystem::SetAttributes(const OpContext& context, InodeNumber inode,
                                        const AttributeChanges& changes, HandleId handle) {
  return core_->Measured(Op::kSetAttributes, [&] {
    return core_->SetAttributes(context, inode, changes, handle.value != 0);
  });
}

Status FileSystem::Access(const OpContext& context, InodeNumber inode, int mask) {
  return core_->Read(Op::kAccess, context,
                     [&](Operation& op) { return ops::Access(op, inode, mask); });
}

Result<OpenedFile> FileSystem::Open(const OpContext& context, InodeNumber inode, OpenFlags flags) {
  return core_->Measured(Op::kOpen, [&]() -> Result<OpenedFile> {
    if ((flags.write || flags.truncate) && core_->mount.read_only) {
      return Error(ErrorCode::kReadOnly, "read-only mount");
    }
    const HandleId handle = TRY(core_->OpenWith(context, inode, flags.sync, [&](Operation& op) {
      return ops::OpenFile(op, inode, flags);
    }));
    if (flags.truncate) {
      AttributeChanges cut;
      cut.size_bytes = 0;
      cut.kill_privileges = flags.kill_privileges || !context.IsRoot();
      if (auto truncated = core_->SetAttributes(context, inode, cut, true); !truncated) {
        core_->Release(inode, handle);
        return std::move(truncated).error();
      }
    }
    return core_->Opened(handle);
  });
}

Result<size_t> FileSystem::Read(const OpContext& context, InodeNumber inode, HandleId,
                                uint64_t offset_bytes, std::span<char> out) {
  Result<size_t> size = core_->Read(
      Op::kRead, context, [&](Operation& op) { return ops::Read(op, inode, offset_bytes, out); });
  if (size) core_->mount.metrics.read_bytes.Add(*size);
  return size;
}

Result<size_t> FileSystem::Write(const OpContext& context, InodeNumber inode, HandleId handle,
                                 uint64_t offset_bytes, std::string_view data,
                                 WriteOptions options) {
  return core_->Measured(Op::kWrite, [&]() -> Result<size_t> {
    const bool sync = options.sync || core_->mount.handles.Find(inode, handle).sync;
    {
      MutexLock latch(core_->mount.ContentLatch(inode));
      TRY(core_->Change(context, [&](Operation& op) {
        return ops::Write(op, inode, offset_bytes, data, options.at_end, options.kill_privileges);
      }));
    }
    // Not under the latch: those who write the same file share the sync.
    if (sync && !core_->mount.options.sync) TRY(core_->Sync());
    core_->mount.metrics.written_bytes.Add(data.size());
    return data.size();
  });
}

Status FileSystem::Fsync(const OpContext&, InodeNumber, bool) {
  return core_->Measured(Op::kFsync, [&] { return core_->Sync(); });
}

Status FileSystem::Release(InodeNumber inode, HandleId handle) {
  return core_->Measured(Op::kRelease, [&]() -> Status {
    core_->Release(inode, handle);
    return {};
  });
}

Status FileSystem::Allocate(const OpContext& context, InodeNumber inode, HandleId,
                            AllocateMode mode, uint64_t offset_bytes, uint64_t length_bytes) {
  return core_->Measured(Op::kAllocate, [&]() -> Status {
    if (length_bytes == 0) return Error(ErrorCode::kInvalid, "fallocate");
    if (offset_bytes > kMaxFileBytes || length_bytes > kMaxFileBytes - offset_bytes) {
      return Error(ErrorCode::kFileTooBig, "fallocate");
    }
    const uint64_t end_bytes = offset_bytes + length_bytes;
    MutexLock latch(core_->mount.ContentLatch(inode));
    if (!mode.punch_hole) TRY(core_->CheckRoom(context, inode, length_bytes));
    if (mode.punch_hole || mode.zero_range) {
      TRY(core_->GiveUpPreallocation(context, inode, offset_bytes, end_bytes));
      TRY(core_->ChangeClearing(context, inode, [&](Operation& op) {
        return ops::Punch(op, inode, offset_bytes, end_bytes);
      }));
    }
    if (mode.punch_hole) return {};
    for (uint64_t next = offset_bytes; next < end_bytes;) {
      next = TRY(core_->Change(
          context, [&](Operation& op) { return ops::Preallocate(op, inode, next, end_bytes); }));
    }
    if (mode.keep_size) return {};
    return core_->Change(context, [&](Operation& op) { return ops::Grow(op, inode, end_bytes); });
  });
}

Result<uint64_t> FileSystem::Seek(const OpContext& context, InodeNumber inode, HandleId,
                                  uint64_t offset_bytes, SeekWhence whence) {
  return core_->Read(Op::kSeek, context,
                     [&](Operation& op) { return ops::Seek(op, inode, offset_bytes, whence); });
}

Result<size_t> FileSystem::CopyRange(const OpContext& context, InodeNumber source, HandleId,
                                     uint64_t source_offset_bytes, InodeNumber target, HandleId,
                                     uint64_t target_offset_bytes, uint64_t length_bytes) {
  const ops::CopyRequest request{source, source_offset_bytes, target, target_offset_bytes,
                                 std::min(length_bytes, kMaxCopyBytes)};
  MutexLock latch(core_->mount.ContentLatch(target));
  return core_->Write(Op::kCopyRange, context,
                      [&](Operation& op) { return ops::CopyRange(op, request); });
}

Result<HandleId> FileSystem::OpenDirectory(const OpContext& context, InodeNumber inode) {
  return core_->Measured(Op::kOpenDirectory, [&] {
    return core_->OpenWith(context, inode, false,
                           [&](Operation& op) { return ops::OpenDirectory(op, inode); });
  });
}

Status FileSystem::ReadDirectory(const OpContext& context, InodeNumber inode, uint64_t cookie,
                                 size_t limit, bool with_attributes,
                                 const DirectoryVisitor& visitor) {
  // The visitor keeps what it was shown, so an attempt that has to be made again goes on behind
  // that.
  size_t visited = 0;
  bool declined = false;
  const DirectoryVisitor remembering = [&](const DirectoryEntry& entry) {
    declined = !visitor(entry);
    if (declined) return false;
    cookie = entry.cookie;
    ++visited;
    return true;
  };
  return core_->Read(Op::kReadDirectory, context, [&](Operation& op) -> Status {
    if (declined || (limit != 0 && visited == limit)) return {};
    return ops::ReadDirectory(op, inode, cookie, limit == 0 ? 0 : limit - visited, with_attributes,
                              remembering);
  });
}

Status FileSystem::ReleaseDirectory(InodeNumber inode, HandleId handle) {
  return core_->Measured(Op::kReleaseDirectory, [&]() -> Status {
    core_->Release(inode, handle);
    return {};
  });
}

Result<std::string> FileSystem::GetXattr(const OpContext& context, InodeNumber inode,
                                         std::string_view name) {
  return core_->Read(Op::kGetXattr, context,
                     [&](Operation& op) { return ops::GetXattr(op, inode, name); });
}

Status FileSystem::SetXattr(const OpContext& context, InodeNumber inode, std::string_view name,
                            std::string_view value, XattrFlag flag) {
  return core_->Write(Op::kSetXattr, context,
                      [&](Operation& op) { return ops::SetXattr(op, inode, name, value, flag); });
}

Result<std::string> FileSystem::ListXattrs(const OpContext& context, InodeNumber inode) {
  return core_->Read(Op::kListXattr, context,
                     [&](Operation& op) { return ops::ListXattrs(op, inode); });
}

Status FileSystem::RemoveXattr(const OpContext& context, InodeNumber inode, std::string_view name) {
  return core_->Write(Op::kRemoveXattr, context,
                      [&](Operation& op) { return ops::RemoveXattr(op, inode, name); });
}

Result<FileSystemUsage> FileSystem::Statfs() {
  return core_->Measured(Op::kStatfs, [&]() -> Result<FileSystemUsage> {
    MountState& mount = core_->mount;
    TRY(mount.space.RefreshOthers());
    const kv::SpaceUsage below = TRY(core_->mount.store.Space());
    const SpaceAccount::Limits& limits = mount.space.limits();
    const uint64_t free = core_->FreeBytes(below);
    const uint64_t total = limits.bytes != 0 ? limits.bytes : std::max(below.total_bytes, free);
    const uint64_t used_inodes = mount.space.used_inodes();
    FileSystemUsage usage;
    usage.block_size_bytes = 4096;
    usage.total_blocks = total / usage.block_size_bytes;
    usage.free_blocks = usage.available_blocks = free / usage.block_size_bytes;
    // Without a limit there is room for as many as the free space has small records.
    constexpr uint64_t kBytesOfAnInode = 1024;
    usage.free_inodes = limits.inodes != 0 ? limits.inodes - std::min(limits.inodes, used_inodes)
                                           : free / kBytesOfAnInode;
    usage.total_inodes = used_inodes + usage.free_inodes;
    return usage;
  });
}

Status FileSystem::Sync() { return core_->Sync(); }

InodeNumber FileSystem::root() const { return core_->mount.root; }

Status FileSystem::SetReadOnly(bool read_only) {
  if (read_only) return core_->BecomeReadOnly();
  if (core_->mount.options.read_only) {
    return Error(ErrorCode::kReadOnly, "the store was opened read-only");
  }
  return core_->BecomeWritable();
}

Result<FileSystemInfo> FileSystem::Info() {
  MountState& mount = core_->mount;
  TRY(mount.space.RefreshOthers());
  FileSystemInfo info;
  if (mount.session != nullptr) info.session = mount.session->id().value;
  info.uuid = mount.meta.UuidText();
  info.name = mount.meta.name;
  info.format_version = mount.meta.format_version;
  info.block_size_bytes = mount.meta.block_size_bytes;
  info.capacity_bytes = mount.meta.capacity_bytes;
  info.max_inodes = mount.meta.max_inodes;
  info.used_bytes = mount.space.used_bytes();
  info.used_inodes = mount.space.used_inodes();
  info.orphans = mount.leftovers.size();
  info.open_handles = mount.handles.size();
  info.read_only_reason = mount.store.ReadOnlyReason();
  return info;
}

const FileSystemMetrics& FileSystem::metrics() const { return core_->mount.metrics; }

const kv::TransactionMetrics& FileSystem::transaction_metrics() const {
  return core_->mount.runner.metrics();
}

Result<bool> FileSystem::RunBackgroundStep() { return core_->background.RunStep(); }

Status FileSystem::Beat() {
  return core_->mount.session == nullptr ? OkStatus() : core_->mount.session->Beat();
}

}  // namespace tifs::fs
