#include "fs/access.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

// Open entered the handle table before it read the inode: one that lost its last link before that
// may be reclaimed at any moment, unless another handle keeps it, as when a program opens
// /proc/self/fd/N or a shell's here-document anew.
Status CheckStays(const Operation& op, const InodeRecord& inode) {
  if (inode.nlink > 0) return {};
  // Another mount may have unlinked it, which our next heartbeat will find.
  const bool kept = op.mount.session != nullptr ? op.mount.handles.IsConfirmed(inode.number)
                                                : op.mount.handles.KeepsUnlinked(inode.number);
  if (kept) return {};
  return Error(ErrorCode::kStale, "unlinked");
}

}  // namespace

Status OpenFile(Operation& op, InodeNumber number, OpenFlags flags) {
  const InodeRecord inode = TRY(op.records.LoadInode(number, InlineData::kSkip));
  TRY(CheckStays(op, inode));
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
  TRY(CheckStays(op, inode));
  return CheckAccess(op, inode, kMayRead);
}

}  // namespace tifs::fs::ops
