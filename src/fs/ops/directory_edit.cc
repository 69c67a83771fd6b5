#include "fs/ops/directory_edit.h"

#include "fs/access.h"

namespace tifs::fs::ops {

Result<DirectoryEdit> DirectoryEdit::Load(Operation& op, InodeNumber directory) {
  DirectoryEdit edit;
  edit.inode_ = TRY(op.records.LoadInode(directory));
  if (!edit.inode_.IsDirectory()) return Error(ErrorCode::kNotDirectory, "parent");
  if (edit.inode_.nlink == 0) return Error(ErrorCode::kNotFound, "parent was removed");
  TRY(CheckAccess(op, edit.inode_, kMayWrite | kMayExecute));
  edit.stripe_ = TRY(op.records.LoadStripe(directory, op.mount.own_stripe()));
  return edit;
}

void DirectoryEdit::Count(Operation& op, int entries, int subdirectories) {
  stripe_.entries += entries;
  stripe_.subdirectories += subdirectories;
  stripe_.mtime = stripe_.ctime = op.now;
  ++stripe_.change;
}

Status DirectoryEdit::Add(Operation& op, std::string_view name, InodeNumber inode, uint32_t mode) {
  Count(op, 1, S_ISDIR(mode) ? 1 : 0);
  return op.records.StoreDentry(inode_.number, name, {inode, mode & S_IFMT});
}

Status DirectoryEdit::Remove(Operation& op, std::string_view name, uint32_t mode) {
  Count(op, -1, S_ISDIR(mode) ? -1 : 0);
  return op.records.DeleteDentry(inode_.number, name);
}

Status DirectoryEdit::Replace(Operation& op, std::string_view name, uint32_t old_mode,
                              InodeNumber inode, uint32_t mode) {
  Count(op, 0, (S_ISDIR(mode) ? 1 : 0) - (S_ISDIR(old_mode) ? 1 : 0));
  return op.records.StoreDentry(inode_.number, name, {inode, mode & S_IFMT});
}

Status DirectoryEdit::Store(Operation& op) {
  return op.records.StoreStripe(inode_.number, op.mount.own_stripe(), stripe_);
}

}  // namespace tifs::fs::ops
