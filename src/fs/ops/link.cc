#include "fs/access.h"
#include "fs/ops/directory_edit.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {

Result<Entry> Link(Operation& op, InodeNumber number, InodeNumber new_parent,
                   std::string_view new_name) {
  TRY(CheckName(new_name));
  InodeRecord inode = TRY(op.records.LoadInode(number));
  DirectoryEdit directory = TRY(DirectoryEdit::Load(op, new_parent));
  if (TRY(op.records.LoadDentry(new_parent, new_name))) return Error(ErrorCode::kExists, "link");
  if (inode.IsDirectory()) return Error(ErrorCode::kNotPermitted, "link of a directory");
  if (inode.nlink == 0) return Error(ErrorCode::kNotFound, "link of an unlinked file");
  if (inode.nlink >= kMaxLinks) return Error(ErrorCode::kTooManyLinks, "link");
  ++inode.nlink;
  Touch(inode, op.now, false);
  TRY(op.records.StoreInode(inode));
  TRY(directory.Add(op, new_name, number, inode.mode));
  TRY(directory.Store(op));
  return EntryOf(op, inode);
}

}  // namespace tifs::fs::ops
