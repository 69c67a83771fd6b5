#include "fs/access.h"
#include "fs/ops/directory_edit.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

struct NamedInode {
  DirectoryEdit directory;
  InodeRecord inode;
};

Result<NamedInode> LoadNamed(Operation& op, InodeNumber parent, std::string_view name) {
  if (name.size() > kMaxNameBytes) return Error(ErrorCode::kNameTooLong, "name");
  NamedInode named{TRY(DirectoryEdit::Load(op, parent)), {}};
  const std::optional<DentryRecord> dentry = TRY(op.records.LoadDentry(parent, name));
  if (!dentry) return Error(ErrorCode::kNotFound, "unlink");
  Result<InodeRecord> inode = op.records.LoadInode(dentry->inode);
  if (!inode && inode.error().code() == ErrorCode::kStale) {
    return Error(ErrorCode::kCorrupt, "entry names no inode");
  }
  named.inode = TRY(std::move(inode));
  TRY(CheckRemove(op, named.directory.inode(), named.inode));
  return named;
}

}  // namespace

Status Unlink(Operation& op, InodeNumber parent, std::string_view name) {
  NamedInode named = TRY(LoadNamed(op, parent, name));
  InodeRecord& inode = named.inode;
  if (inode.IsDirectory()) return Error(ErrorCode::kIsDirectory, "unlink");
  TRY(named.directory.Remove(op, name, inode.mode));
  TRY(named.directory.Store(op));
  if (inode.nlink == 0) return Error(ErrorCode::kCorrupt, "link count");
  --inode.nlink;
  Touch(inode, op.now, false);
  return inode.nlink == 0 ? op.Unlinked(inode) : op.records.StoreInode(inode);
}

Status Rmdir(Operation& op, InodeNumber parent, std::string_view name) {
  if (name == ".") return Error(ErrorCode::kInvalid, "rmdir");
  if (name == "..") return Error(ErrorCode::kNotEmpty, "rmdir");
  NamedInode named = TRY(LoadNamed(op, parent, name));
  InodeRecord& inode = named.inode;
  if (!inode.IsDirectory()) return Error(ErrorCode::kNotDirectory, "rmdir");
  if (inode.number == op.mount.root) return Error(ErrorCode::kBusy, "rmdir");
  TRY(op.records.LockStripes(inode.number));
  if (TRY(op.records.LoadStripes(inode.number)).entries != 0) {
    return Error(ErrorCode::kNotEmpty, "rmdir");
  }
  TRY(named.directory.Remove(op, name, inode.mode));
  TRY(named.directory.Store(op));
  inode.nlink = 0;
  Touch(inode, op.now, false);
  return op.Unlinked(inode);
}

}  // namespace tifs::fs::ops
