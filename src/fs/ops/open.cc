#include "fs/access.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {

Status OpenFile(Operation& op, InodeNumber number, OpenFlags flags) {
  const InodeRecord inode = TRY(op.records.LoadInode(number, InlineData::kSkip));
  // Open entered the handle table before this read: an inode that lost its last link before that
  // may be reclaimed at any moment, and only one that has a link cannot.
  if (inode.nlink == 0) return Error(ErrorCode::kStale, "unlinked");
  if (inode.IsDirectory() && flags.write) return Error(ErrorCode::kIsDirectory, "open");
  uint32_t wanted = 0;
  if (flags.read) wanted |= kMayRead;
  if (flags.write || flags.truncate) wanted |= kMayWrite;
  if (flags.execute) wanted = kMayExecute;
  return CheckAccess(op, inode, wanted);
}

Status OpenDirectory(Operation& op, InodeNumber number) {
  const InodeRecord inode = TRY(op.records.LoadInode(number, InlineData::kSkip));
  if (!inode.IsDirectory()) return Error(ErrorCode::kNotDirectory, "opendir");
  if (inode.nlink == 0) return Error(ErrorCode::kStale, "removed");
  return CheckAccess(op, inode, kMayRead);
}

}  // namespace tifs::fs::ops
