#include "fs/access.h"
#include "fs/ops/directory_edit.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

constexpr uint32_t kNoReplace = static_cast<uint32_t>(RenameFlag::kNoReplace);
constexpr uint32_t kExchange = static_cast<uint32_t>(RenameFlag::kExchange);
constexpr uint32_t kWhiteOut = static_cast<uint32_t>(RenameFlag::kWhiteout);
// Deeper than any path that the kernel could have walked.
constexpr int kMaxDepth = 1 << 16;

Status CheckFlags(uint32_t flags) {
  const bool known = (flags & ~(kNoReplace | kExchange | kWhiteOut)) == 0;
  const bool contradict = (flags & kExchange) != 0 && (flags & (kNoReplace | kWhiteOut)) != 0;
  if (!known || contradict) return Error(ErrorCode::kInvalid, "rename flags");
  return {};
}

Result<InodeRecord> LoadNamed(Operation& op, InodeNumber inode) {
  Result<InodeRecord> record = op.records.LoadInode(inode);
  if (!record && record.error().code() == ErrorCode::kStale) {
    return Error(ErrorCode::kCorrupt, "entry names no inode");
  }
  return record;
}

// kInvalid if `directory` is `start` or lies above it. Every move of a directory writes one key, so
// that no two moves can each make the other's answer wrong.
Status CheckNotAncestor(Operation& op, InodeNumber directory, InodeNumber start) {
  TRY(op.txn.Put(op.mount.schema.Tree(), "\x01"));
  InodeNumber current = start;
  for (int depth = 0; depth < kMaxDepth; ++depth) {
    if (current == directory) return Error(ErrorCode::kInvalid, "rename into itself");
    if (current == kRootInode) return {};
    current = TRY(LoadNamed(op, current)).parent;
  }
  return Error(ErrorCode::kCorrupt, "cycle of directories");
}

// The two names and what they stand for.
struct Move {
  const RenameRequest& request;
  DirectoryEdit& from;
  DirectoryEdit& to;
  InodeRecord source;
  std::optional<InodeRecord> target;

  bool exchange() const { return (request.flags & kExchange) != 0; }
  bool between_directories() const { return request.parent != request.new_parent; }
};

Status CheckMove(Operation& op, const Move& move) {
  TRY(CheckRemove(op, move.from.inode(), move.source));
  if (move.target) TRY(CheckRemove(op, move.to.inode(), *move.target));
  if (!move.exchange() && move.target) {
    if (move.source.IsDirectory() && !move.target->IsDirectory()) {
      return Error(ErrorCode::kNotDirectory, "rename");
    }
    if (!move.source.IsDirectory() && move.target->IsDirectory()) {
      return Error(ErrorCode::kIsDirectory, "rename");
    }
  }
  if (!move.between_directories()) return {};
  if (move.source.IsDirectory()) {
    TRY(CheckNotAncestor(op, move.source.number, move.request.new_parent));
    TRY(CheckAccess(op, move.source, kMayWrite));
  }
  if (move.exchange() && move.target->IsDirectory()) {
    TRY(CheckNotAncestor(op, move.target->number, move.request.parent));
    TRY(CheckAccess(op, *move.target, kMayWrite));
  }
  return {};
}

Status StoreMoved(Operation& op, InodeRecord& inode, InodeNumber new_parent) {
  if (inode.IsDirectory()) inode.parent = new_parent;
  Touch(inode, op.now, false);
  return op.records.StoreInode(inode);
}

Status Exchange(Operation& op, Move& move) {
  const RenameRequest& request = move.request;
  InodeRecord& source = move.source;
  InodeRecord& target = *move.target;
  TRY(move.from.Replace(op, request.name, source.mode, target.number, target.mode));
  TRY(move.to.Replace(op, request.new_name, target.mode, source.number, source.mode));
  TRY(StoreMoved(op, source, request.new_parent));
  return StoreMoved(op, target, request.parent);
}

Status LeaveWhiteout(Operation& op, Move& move) {
  InodeRecord whiteout;
  whiteout.number = move.request.whiteout_number;
  whiteout.mode = S_IFCHR;
  whiteout.uid = op.context.uid;
  whiteout.nlink = 1;
  whiteout.atime = whiteout.mtime = whiteout.ctime = whiteout.btime = op.now;
  whiteout.change = 1;
  op.space.inodes += 1;
  TRY(InheritAccess(op, move.from.inode(), whiteout));
  TRY(op.records.StoreInode(whiteout));
  return move.from.Replace(op, move.request.name, move.source.mode, whiteout.number, whiteout.mode);
}

Status DropTarget(Operation& op, InodeRecord& target) {
  if (target.IsDirectory()) {
    TRY(op.records.LockStripes(target.number));
    if (TRY(op.records.LoadStripes(target.number)).entries != 0) {
      return Error(ErrorCode::kNotEmpty, "rename");
    }
    target.nlink = 0;
  } else {
    if (target.nlink == 0) return Error(ErrorCode::kCorrupt, "link count");
    --target.nlink;
  }
  Touch(target, op.now, false);
  return target.nlink == 0 ? op.Unlinked(target) : op.records.StoreInode(target);
}

Status MoveOver(Operation& op, Move& move) {
  const RenameRequest& request = move.request;
  if ((request.flags & kWhiteOut) != 0) {
    TRY(LeaveWhiteout(op, move));
  } else {
    TRY(move.from.Remove(op, request.name, move.source.mode));
  }
  if (move.target) {
    TRY(DropTarget(op, *move.target));
    TRY(move.to.Replace(op, request.new_name, move.target->mode, move.source.number,
                        move.source.mode));
  } else {
    TRY(move.to.Add(op, request.new_name, move.source.number, move.source.mode));
  }
  return StoreMoved(op, move.source, request.new_parent);
}

}  // namespace

Status Rename(Operation& op, const RenameRequest& request) {
  TRY(CheckFlags(request.flags));
  for (std::string_view name : {request.name, request.new_name}) {
    Status status = CheckName(name);
    if (!status && status.error().code() == ErrorCode::kExists) {
      return Error(ErrorCode::kBusy, "rename of dot");
    }
    TRY(std::move(status));
  }
  DirectoryEdit from = TRY(DirectoryEdit::Load(op, request.parent));
  std::optional<DirectoryEdit> other;
  if (request.parent != request.new_parent) {
    other = TRY(DirectoryEdit::Load(op, request.new_parent));
  }
  DirectoryEdit& to = other ? *other : from;
  const auto source = TRY(op.records.LoadDentry(request.parent, request.name));
  if (!source) return Error(ErrorCode::kNotFound, "rename");
  const auto target = TRY(op.records.LoadDentry(request.new_parent, request.new_name));
  if (target && (request.flags & kNoReplace) != 0) return Error(ErrorCode::kExists, "rename");
  if (!target && (request.flags & kExchange) != 0) return Error(ErrorCode::kNotFound, "rename");
  if (target && source->inode == target->inode) return {};  // two links to one file
  Move move{request, from, to, TRY(LoadNamed(op, source->inode)), std::nullopt};
  if (target) move.target = TRY(LoadNamed(op, target->inode));
  TRY(CheckMove(op, move));
  TRY(move.exchange() ? Exchange(op, move) : MoveOver(op, move));
  TRY(from.Store(op));
  if (other) TRY(other->Store(op));
  return {};
}

}  // namespace tifs::fs::ops
