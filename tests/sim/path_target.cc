#include "tests/sim/path_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

namespace tifs::sim {
namespace {

constexpr int kMaxSymlinksFollowed = 40;
// The product has no code for ELOOP, because only the kernel follows links.
constexpr const char* kLoop = "too many symbolic links";

Error Loop() { return Error(ErrorCode::kIo, kLoop); }

int ErrnoOf(const Error& error) { return error.context() == kLoop ? ELOOP : error.ToErrno(); }

const fs::OpContext& RootContext() {
  static const fs::OpContext kRoot;
  return kRoot;
}

fs::OpContext ContextOf(const Operation& op) {
  const User& user = UserOf(op.user);
  fs::OpContext context;
  context.uid = user.uid;
  context.gid = user.gid;
  context.umask = op.umask;
  context.supplementary_groups = [&user] { return user.groups; };
  return context;
}

}  // namespace

// --- paths ---

// Walks all but the last component.
Result<PathTarget::Place> PathTarget::ResolveParent(std::string_view path) {
  int links = 0;
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return Place{ops_.Root(), std::string(path)};
  const Inode parent = TRY(WalkTo(ops_.Root(), path.substr(0, slash), links));
  // The kernel asks for search permission there before it looks at anything else.
  TRY(ops_.Lookup(context_, parent, "."));
  return Place{parent, std::string(path.substr(slash + 1))};
}

// To a directory, following every symbolic link, the last one too.
Result<fs::InodeNumber> PathTarget::WalkTo(Inode directory, std::string_view path, int& links) {
  Inode at = directory;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    const fs::Attributes found = TRY(ops_.Lookup(context_, at, name));
    if (S_ISLNK(found.mode)) {
      if (++links > kMaxSymlinksFollowed) return Loop();
      const std::string target = TRY(ops_.Readlink(context_, found.inode));
      at = TRY(WalkTo(at, target, links));
    } else if (found.IsDirectory()) {
      at = found.inode;
    } else {
      return Error(ErrorCode::kNotDirectory, "path");
    }
  }
  return at;
}

// Where the last component really is, or would be made, after following links.
Result<PathTarget::Place> PathTarget::FollowAll(Place place) {
  for (int links = 0;;) {
    const MaybeFound found = TRY(LookFor(place));
    if (!found || !S_ISLNK(found->mode)) return place;
    if (++links > kMaxSymlinksFollowed) return Loop();
    const std::string target = TRY(ops_.Readlink(context_, found->inode));
    const size_t slash = target.rfind('/');
    if (slash != std::string::npos) {
      place.parent = TRY(WalkTo(place.parent, target.substr(0, slash), links));
    }
    place.name = slash == std::string::npos ? target : target.substr(slash + 1);
  }
}

Result<fs::Attributes> PathTarget::Resolve(std::string_view path, bool follow) {
  Place place = TRY(ResolveParent(path));
  if (follow) place = TRY(FollowAll(std::move(place)));
  return ops_.Lookup(context_, place.parent, place.name);
}

// --- the kernel's own checks ---
// It looks before it asks, so these errors come before all of the file system's. The file system
// must refuse such calls as well, because in the meantime another mount may have changed what was
// seen.

Result<PathTarget::MaybeFound> PathTarget::LookFor(const Place& place) {
  Result<fs::Attributes> found = ops_.Lookup(context_, place.parent, place.name);
  if (found) return MaybeFound(*found);
  if (found.error().code() == ErrorCode::kNotFound) return MaybeFound();
  return std::move(found).error();
}

Result<PathTarget::Refusal> PathTarget::RefusalToMake(const Place& place) {
  const MaybeFound found = TRY(LookFor(place));
  return found ? Refusal(ErrorCode::kExists) : Refusal();
}

Result<PathTarget::Refusal> PathTarget::RefusalToRemove(const Place& place) {
  const MaybeFound found = TRY(LookFor(place));
  return found ? Refusal() : Refusal(ErrorCode::kNotFound);
}

// Whether the directory lies in, or is, `ancestor`.
Result<bool> PathTarget::IsInside(Inode directory, Inode ancestor) {
  while (directory != ancestor) {
    if (directory == ops_.Root()) return false;
    directory = TRY(ops_.Lookup(RootContext(), directory, "..")).inode;
  }
  return true;
}

Result<PathTarget::Refusal> PathTarget::RefusalToRename(const Place& from, const Place& to,
                                                        uint32_t flags) {
  const bool is_exchange = (flags & RENAME_EXCHANGE) != 0;
  const MaybeFound source = TRY(LookFor(from));
  const MaybeFound target = TRY(LookFor(to));
  if (!source) return Refusal(ErrorCode::kNotFound);
  if (target && (flags & RENAME_NOREPLACE) != 0) return Refusal(ErrorCode::kExists);
  if (!target && is_exchange) return Refusal(ErrorCode::kNotFound);
  if (from.parent == to.parent) return Refusal();
  if (source->IsDirectory() && TRY(IsInside(to.parent, source->inode))) {
    return Refusal(ErrorCode::kInvalid);
  }
  if (target && target->IsDirectory() && TRY(IsInside(from.parent, target->inode))) {
    return Refusal(is_exchange ? ErrorCode::kInvalid : ErrorCode::kNotEmpty);
  }
  return Refusal();
}

Result<bool> PathTarget::IsSameInode(const Place& a, const Place& b) {
  const MaybeFound first = TRY(LookFor(a));
  const MaybeFound second = TRY(LookFor(b));
  return first && second && first->inode == second->inode;
}

// The kernel's part of xattr(7).
PathTarget::Refusal PathTarget::RefusalOfXattr(const fs::Attributes& attributes,
                                               std::string_view name, Call call) const {
  const bool sets = call == Call::kSetXattr;
  const bool write = sets || call == Call::kRemoveXattr;
  const Refusal refusal(write ? ErrorCode::kNotPermitted : ErrorCode::kNoAttribute);
  if (name.starts_with("system.posix_acl_") && S_ISLNK(attributes.mode)) {
    return Refusal(ErrorCode::kNotSupported);
  }
  const bool is_default_acl = name == "system.posix_acl_default";
  if (is_default_acl && sets && !attributes.IsDirectory()) {
    return Refusal(ErrorCode::kAccessDenied);
  }
  if (name.starts_with("trusted.") && !context_.IsRoot()) return refusal;
  if (!name.starts_with("user.")) return Refusal();
  if (!attributes.IsRegular() && !attributes.IsDirectory()) return refusal;
  const bool is_sticky = attributes.IsDirectory() && (attributes.mode & S_ISVTX) != 0;
  const bool may_write = context_.IsRoot() || context_.uid == attributes.uid;
  if (is_sticky && write && !may_write) return Refusal(ErrorCode::kNotPermitted);
  return Refusal();
}

// What the caller sees: the kernel's refusal, if there is one, else the file system's answer.
Status PathTarget::Settle(const Refusal& refusal, Status own) {
  if (!refusal) return own;
  if (own && *refusal != ErrorCode::kNotSupported) {
    complaint_ = "the file system allowed what only the kernel refuses";
  }
  return Error(*refusal, "kernel");
}

// --- calls ---

Outcome PathTarget::Apply(const Operation& op, bool watch) {
  Outcome outcome;
  context_ = RootContext();
  Watched watched;
  if (watch) watched = BeginWatch(op);
  context_ = ContextOf(op);
  Status status;
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
    case Call::kFstat: status = ApplyFiles(op, outcome); break;
    case Call::kTruncate:
    case Call::kStat:
    case Call::kAccess:
    case Call::kChmod:
    case Call::kChown:
    case Call::kSetTimes: status = ApplyAttributes(op, outcome); break;
    case Call::kGetXattr:
    case Call::kSetXattr:
    case Call::kListXattrs:
    case Call::kRemoveXattr: status = ApplyXattrs(op, outcome); break;
    case Call::kSync: status = ops_.Sync(); break;
    case Call::kBackground: status = ops_.Background(op.length); break;
    case Call::kRemount:
      slots_ = {};
      status = ops_.Remount();
      break;
    default: status = ApplyNames(op, outcome);
  }
  if (!status) outcome.error = ErrnoOf(status.error());
  context_ = RootContext();
  if (watch) EndWatch(watched, outcome);
  return outcome;
}

void PathTarget::ApplyFailed(const Operation& op) {
  if (op.call == Call::kOpen) Close(slots_[op.slot]);
}

Status PathTarget::ApplyRename(const Operation& op) {
  constexpr uint32_t kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  const bool contradicts = (op.flags & RENAME_EXCHANGE) != 0 && op.flags != RENAME_EXCHANGE;
  if ((op.flags & ~kKnown) != 0 || contradicts) return Error(ErrorCode::kInvalid, "rename");
  const Place from = TRY(ResolveParent(op.path));
  const Place to = TRY(ResolveParent(op.path2));
  const Refusal refusal = TRY(RefusalToRename(from, to, op.flags));
  Status own = ops_.Rename(context_, from.parent, from.name, to.parent, to.name, op.flags);
  if (!own && !refusal && TRY(IsSameInode(from, to))) {
    // Two names of one file: the kernel does not even ask for permission.
    const ErrorCode code = own.error().code();
    if (code == ErrorCode::kAccessDenied || code == ErrorCode::kNotPermitted) return {};
  }
  return Settle(refusal, std::move(own));
}

// The calls that make a name.
Status PathTarget::ApplyMake(const Operation& op, Outcome& outcome) {
  fs::InodeNumber source;
  if (op.call == Call::kLink) source = TRY(Resolve(op.path, false)).inode;
  const Place place = TRY(ResolveParent(op.call == Call::kLink ? op.path2 : op.path));
  const Refusal refusal = TRY(RefusalToMake(place));
  const auto make = [&]() -> Result<fs::Attributes> {
    switch (op.call) {
      case Call::kMkdir:
        // Of the special bits mkdir(2) takes only the sticky one.
        return ops_.Mkdir(context_, place.parent, place.name, op.mode & 01777);
      case Call::kMknod: return ops_.Mknod(context_, place.parent, place.name, op.mode, op.flags);
      case Call::kSymlink: return ops_.Symlink(context_, place.parent, place.name, op.path2);
      default: return ops_.Link(context_, source, place.parent, place.name);
    }
  };
  const Result<fs::Attributes> made = make();
  TRY(Settle(refusal, made ? Status() : Status(made.error().Clone())));
  outcome.stat = ToStat(*made);
  return {};
}

Status PathTarget::ApplyNames(const Operation& op, Outcome& outcome) {
  switch (op.call) {
    case Call::kRename: return ApplyRename(op);
    case Call::kUnlink:
    case Call::kRmdir: {
      const Place place = TRY(ResolveParent(op.path));
      const Refusal refusal = TRY(RefusalToRemove(place));
      return Settle(refusal, op.call == Call::kUnlink
                                 ? ops_.Unlink(context_, place.parent, place.name)
                                 : ops_.Rmdir(context_, place.parent, place.name));
    }
    case Call::kReadlink:
      outcome.bytes = TRY(ops_.Readlink(context_, TRY(Resolve(op.path, false)).inode));
      return {};
    case Call::kList: {
      const fs::Attributes directory = TRY(Resolve(op.path, true));
      if (!directory.IsDirectory()) return Error(ErrorCode::kNotDirectory, "list");
      const auto entries = TRY(ops_.List(context_, directory.inode));
      for (const auto& [name, listed] : entries) {
        outcome.bytes += fmt::format("{}:{:o} ", name, listed.type_mode);
      }
      return {};
    }
    default: return ApplyMake(op, outcome);
  }
}

Status PathTarget::ApplyAttributes(const Operation& op, Outcome& outcome) {
  const bool follow =
      op.call == Call::kTruncate || op.call == Call::kChmod || op.call == Call::kAccess;
  const fs::Attributes found = TRY(Resolve(op.path, follow));
  fs::AttributeChanges changes;
  switch (op.call) {
    case Call::kStat: outcome.stat = ToStat(found); return {};
    case Call::kAccess: return ops_.Access(context_, found.inode, static_cast<int>(op.mode));
    case Call::kTruncate: changes.size_bytes = op.length; break;
    case Call::kChmod: changes.mode = op.mode; break;
    case Call::kChown:
      if (op.uid != UINT32_MAX) changes.uid = op.uid;
      if (op.gid != UINT32_MAX) changes.gid = op.gid;
      break;
    default:
      if (op.now || op.atime) changes.atime = {op.now, op.atime.value_or(Timespec{})};
      if (op.now || op.mtime) changes.mtime = {op.now, op.mtime.value_or(Timespec{})};
  }
  Refusal refusal;
  if (op.call == Call::kTruncate && found.IsDirectory()) {
    refusal = ErrorCode::kIsDirectory;
  } else if (op.call == Call::kTruncate && !found.IsRegular()) {
    refusal = ErrorCode::kInvalid;
  }
  const Result<fs::Attributes> changed = ops_.SetAttributes(context_, found.inode, changes, {});
  TRY(Settle(refusal, changed ? Status() : Status(changed.error().Clone())));
  outcome.stat = ToStat(*changed);
  return {};
}

Status PathTarget::ApplyXattrs(const Operation& op, Outcome& outcome) {
  const fs::Attributes found = TRY(Resolve(op.path, false));
  if (op.call == Call::kListXattrs) {
    const auto names = TRY(ops_.ListXattrs(context_, found.inode));
    for (const std::string& name : names) outcome.bytes += name + " ";
    return {};
  }
  const Refusal refusal = RefusalOfXattr(found, op.name, op.call);
  if (op.call == Call::kGetXattr) {
    const Result<std::string> value = ops_.GetXattr(context_, found.inode, op.name);
    TRY(Settle(refusal, value ? Status() : Status(value.error().Clone())));
    outcome.bytes = *value;
    return {};
  }
  if (op.call == Call::kRemoveXattr) {
    // Only directories have one, so the kernel asks nobody.
    const bool is_default_acl = op.name == "system.posix_acl_default";
    if (is_default_acl && !refusal && !found.IsDirectory()) return {};
    return Settle(refusal, ops_.RemoveXattr(context_, found.inode, op.name));
  }
  const auto flag = op.flags == XATTR_CREATE    ? fs::XattrFlag::kCreate
                    : op.flags == XATTR_REPLACE ? fs::XattrFlag::kReplace
                                                : fs::XattrFlag::kAny;
  return Settle(refusal, ops_.SetXattr(context_, found.inode, op.name, op.value, flag));
}

// --- open files ---

void PathTarget::Close(Slot& slot) {
  if (slot.inode.value == 0) return;
  ops_.Release(slot.inode, slot.handle, slot.is_directory);
  slot = Slot();
}

void PathTarget::CloseAll() {
  for (Slot& slot : slots_) Close(slot);
}

Status PathTarget::OpenInto(Slot& slot, const fs::Attributes& attributes, const Operation& op) {
  const bool is_writable = (op.flags & O_ACCMODE) != O_RDONLY;
  if (attributes.IsDirectory()) {
    const bool changes = is_writable || (op.flags & (O_TRUNC | O_CREAT)) != 0;
    if (changes) return Error(ErrorCode::kIsDirectory, "open");
    slot = {attributes.inode,
            TRY(ops_.OpenDirectory(context_, attributes.inode)),
            true,
            false,
            false,
            true};
    return {};
  }
  fs::OpenFlags flags;
  flags.read = (op.flags & O_ACCMODE) != O_WRONLY;
  flags.write = is_writable;
  flags.truncate = (op.flags & O_TRUNC) != 0;
  slot = {attributes.inode,
          TRY(ops_.Open(context_, attributes.inode, flags)),
          flags.read,
          flags.write,
          (op.flags & O_APPEND) != 0,
          false};
  return {};
}

Status PathTarget::Open(const Operation& op, Outcome& outcome) {
  Slot& slot = slots_[op.slot];
  Close(slot);
  const bool create = (op.flags & O_CREAT) != 0;
  const bool exclusive = create && (op.flags & O_EXCL) != 0;
  Place place = TRY(ResolveParent(op.path));
  if (!exclusive) place = TRY(FollowAll(std::move(place)));
  const MaybeFound found = TRY(LookFor(place));
  if (found) {
    if (exclusive) return Error(ErrorCode::kExists, "open");
    if (!found->IsDirectory() && !found->IsRegular()) {
      outcome.skipped = true;
      return {};
    }
    return OpenInto(slot, *found, op);
  }
  if (!create) return Error(ErrorCode::kNotFound, "open");
  fs::OpenFlags flags;
  flags.read = (op.flags & O_ACCMODE) != O_WRONLY;
  flags.write = (op.flags & O_ACCMODE) != O_RDONLY;
  const InodeOps::Created created =
      TRY(ops_.Create(context_, place.parent, place.name, op.mode, flags));
  slot = {created.attributes.inode,   created.handle, flags.read, flags.write,
          (op.flags & O_APPEND) != 0, false};
  outcome.stat = ToStat(created.attributes);
  return {};
}

Status PathTarget::ApplyFiles(const Operation& op, Outcome& outcome) {
  if (op.call == Call::kOpen) return Open(op, outcome);
  Slot& slot = slots_[op.slot];
  if (slot.inode.value == 0) {
    outcome.skipped = true;
    return {};
  }
  switch (op.call) {
    case Call::kClose: Close(slot); return {};
    case Call::kFstat:
      outcome.stat = ToStat(TRY(ops_.GetAttributes(context_, slot.inode)));
      return {};
    case Call::kFsync: return ops_.Fsync(context_, slot.inode);
    case Call::kRead:
      if (!slot.read) return Error(ErrorCode::kBadHandle, "read");
      if (slot.is_directory) return Error(ErrorCode::kIsDirectory, "read");
      outcome.bytes = TRY(ops_.Read(context_, slot.inode, slot.handle, op.offset, op.length));
      outcome.value = static_cast<int64_t>(outcome.bytes.size());
      return {};
    case Call::kWrite:
      if (!slot.write) return Error(ErrorCode::kBadHandle, "write");
      TRY(ops_.Write(context_, slot.inode, slot.handle, slot.append, op.offset,
                     PatternBytes(op.pattern, op.length)));
      outcome.value = static_cast<int64_t>(op.length);
      return {};
    case Call::kFtruncate: {
      if (!slot.write) return Error(ErrorCode::kInvalid, "ftruncate");
      fs::AttributeChanges changes;
      changes.size_bytes = op.length;
      outcome.stat = ToStat(TRY(ops_.SetAttributes(context_, slot.inode, changes, slot.handle)));
      return {};
    }
    case Call::kAllocate: return Allocate(op);
    case Call::kCopyRange: return CopyRange(op, outcome);
    default: {
      if (slot.is_directory) {
        outcome.skipped = true;
        return {};
      }
      const bool data = op.call == Call::kSeekData;
      outcome = ops_.Seek(context_, slot.inode, slot.handle, op.offset,
                          data ? fs::SeekWhence::kData : fs::SeekWhence::kHole);
      return {};
    }
  }
}

Status PathTarget::Allocate(const Operation& op) {
  const Slot& slot = slots_[op.slot];
  if (op.length == 0) return Error(ErrorCode::kInvalid, "fallocate");
  if (!slot.write) return Error(ErrorCode::kBadHandle, "fallocate");
  fs::AllocateMode mode;
  mode.keep_size = (op.flags & FALLOC_FL_KEEP_SIZE) != 0;
  mode.punch_hole = (op.flags & FALLOC_FL_PUNCH_HOLE) != 0;
  mode.zero_range = (op.flags & FALLOC_FL_ZERO_RANGE) != 0;
  return ops_.Allocate(context_, slot.inode, slot.handle, mode, op.offset, op.length);
}

Status PathTarget::CopyRange(const Operation& op, Outcome& outcome) {
  const Slot& source = slots_[op.slot];
  const Slot& target = slots_[op.slot2];
  if (target.inode.value == 0) {
    outcome.skipped = true;
    return {};
  }
  if (source.is_directory || target.is_directory) {
    return Error(ErrorCode::kIsDirectory, "copy_file_range");
  }
  if (!source.read || !target.write || target.append) {
    return Error(ErrorCode::kBadHandle, "copy_file_range");
  }
  if (op.length == 0) return {};
  outcome.value =
      static_cast<int64_t>(TRY(ops_.CopyRange(context_, source.inode, source.handle, op.offset,
                                              target.inode, target.handle, op.offset2, op.length)));
  return {};
}

// --- watching ---

PathTarget::Watched PathTarget::BeginWatch(const Operation& op) {
  Watched watched;
  const auto watch_path = [&](const std::string& path, const char* label, const char* parent) {
    if (path.empty()) return;
    const Result<Place> place = ResolveParent(path);
    if (!place) return;
    if (auto found = ops_.GetAttributes(context_, place->parent)) {
      watched.emplace_back(parent, *found);
    }
    if (auto found = ops_.Lookup(context_, place->parent, place->name)) {
      watched.emplace_back(label, *found);
    }
  };
  watch_path(op.path, "path", "parent");
  if (op.call == Call::kRename || op.call == Call::kLink) {
    watch_path(op.path2, "path2", "parent2");
  }
  if (op.path.empty() && slots_[op.slot].inode.value != 0 && op.call != Call::kClose) {
    if (auto found = ops_.GetAttributes(context_, slots_[op.slot].inode)) {
      watched.emplace_back("slot", *found);
    }
  }
  if (op.call == Call::kCopyRange && slots_[op.slot2].inode.value != 0) {
    if (auto found = ops_.GetAttributes(context_, slots_[op.slot2].inode)) {
      watched.emplace_back("slot2", *found);
    }
  }
  return watched;
}

void PathTarget::EndWatch(const Watched& watched, Outcome& outcome) {
  for (const auto& [label, before] : watched) {
    const Result<fs::Attributes> after = ops_.GetAttributes(context_, before.inode);
    if (!after) continue;
    Moved& moved = outcome.moved[label];
    moved.mtime = after->mtime != before.mtime;
    moved.ctime = after->ctime != before.ctime;
    moved.change = after->change > before.change;
    if (after->change < before.change) {
      complaint_ = fmt::format("the change counter of inode {} fell", before.inode.value);
    }
    NodeState open;
    ops_.Annotate(before.inode, open);
    moved.mtime_is_open = open.mtime_is_open;
    moved.ctime_is_open = open.ctime_is_open;
  }
}

// --- walking ---

Stat PathTarget::ToStat(const fs::Attributes& attributes) {
  Stat stat;
  stat.mode = attributes.mode;
  stat.nlink = attributes.nlink;
  stat.uid = attributes.uid;
  stat.gid = attributes.gid;
  stat.rdev = attributes.rdev;
  stat.size_bytes = attributes.IsDirectory() ? 0 : attributes.size_bytes;
  stat.allocated_bytes = attributes.allocated_bytes;
  stat.atime = attributes.atime;
  stat.mtime = attributes.mtime;
  return stat;
}

NodeState PathTarget::StateOf(const fs::Attributes& attributes, const std::string& path,
                              const Interest& interest) {
  NodeState state;
  state.stat = ToStat(attributes);
  if (S_ISLNK(attributes.mode)) {
    if (auto target = ops_.Readlink(context_, attributes.inode)) state.symlink = *target;
  }
  if (auto names = ops_.ListXattrs(context_, attributes.inode)) {
    for (const std::string& name : *names) {
      const auto value = ops_.GetXattr(context_, attributes.inode, name);
      state.xattrs[name] = value ? *value : "(" + value.error().ToString() + ")";
    }
  }
  const auto ranges = interest.find(path);
  if (attributes.IsRegular() && ranges != interest.end()) {
    fs::OpenFlags flags;
    flags.read = true;
    const auto handle = ops_.Open(context_, attributes.inode, flags);
    for (const auto& [begin, length] : ranges->second) {
      const auto bytes = handle ? ops_.Read(context_, attributes.inode, *handle, begin, length)
                                : Result<std::string>(handle.error().Clone());
      state.ranges[begin] = bytes ? *bytes : "(" + bytes.error().ToString() + ")";
    }
    if (handle) ops_.Release(attributes.inode, *handle, false);
  }
  ops_.Annotate(attributes.inode, state);
  return state;
}

}  // namespace tifs::sim
