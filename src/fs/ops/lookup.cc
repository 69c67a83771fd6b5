#include "fs/access.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

Result<InodeRecord> LoadSearched(Operation& op, InodeNumber directory) {
  InodeRecord record = TRY(op.records.LoadInode(directory, InlineData::kSkip));
  if (!record.IsDirectory()) return Error(ErrorCode::kNotDirectory, "parent");
  TRY(CheckAccess(op, record, kMayExecute));
  return record;
}

}  // namespace

Result<Entry> Lookup(Operation& op, InodeNumber parent, std::string_view name) {
  if (name == "." || name == "..") {
    const InodeRecord directory = TRY(LoadSearched(op, parent));
    const bool up = name == ".." && parent != op.mount.root;
    if (!up) return EntryOf(op, directory);
    return EntryOf(op, TRY(op.records.LoadInode(directory.parent, InlineData::kSkip)));
  }
  if (name.size() > kMaxNameBytes) {
    TRY(LoadSearched(op, parent));
    return Error(ErrorCode::kNameTooLong, "lookup");
  }
  const std::optional<DentryRecord> dentry = TRY(op.records.LoadDentry(parent, name));
  // An entry proves that its parent is a directory; only without one, or where we check
  // permissions, must the parent be read.
  if (!dentry || op.mount.options.check_permissions) TRY(LoadSearched(op, parent));
  if (!dentry) return Error(ErrorCode::kNotFound, "lookup");
  Result<InodeRecord> inode = op.records.LoadInode(dentry->inode, InlineData::kSkip);
  if (!inode && inode.error().code() == ErrorCode::kStale) {
    return Error(ErrorCode::kCorrupt, "entry names no inode");
  }
  return EntryOf(op, TRY(std::move(inode)));
}

Result<std::string> Readlink(Operation& op, InodeNumber inode) {
  InodeRecord record = TRY(op.records.LoadInode(inode));
  if (!record.IsSymlink()) return Error(ErrorCode::kInvalid, "readlink");
  op.WasRead(record);
  return std::move(record.inline_data);
}

}  // namespace tifs::fs::ops
