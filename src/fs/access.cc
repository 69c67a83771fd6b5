#include "fs/access.h"

#include <algorithm>

#include "fs/posix_acl.h"

namespace tifs::fs {

bool IsMember(const OpContext& context, uint32_t gid) {
  if (context.gid == gid) return true;
  if (!context.supplementary_groups) return false;
  const std::vector<uint32_t> groups = context.supplementary_groups();
  return std::ranges::find(groups, gid) != groups.end();
}

Status EvaluateAccess(Operation& op, const InodeRecord& inode, uint32_t wanted) {
  const OpContext& who = op.context;
  if (who.IsRoot()) {
    // Root may do all but execute what nobody may.
    const bool executable = inode.IsDirectory() || (inode.mode & 0111) != 0;
    if ((wanted & kMayExecute) == 0 || executable) return {};
    return Error(ErrorCode::kAccessDenied, "nobody may execute");
  }
  bool granted = false;
  if (who.uid != inode.uid && inode.Has(InodeRecord::kHasAccessAcl)) {
    const auto xattr = TRY(op.records.LoadXattr(inode.number, kAccessAclName));
    if (!xattr) return Error(ErrorCode::kCorrupt, "access acl is missing");
    const auto acl = PosixAcl::Decode(*xattr);
    if (!acl) return Error(ErrorCode::kCorrupt, "access acl");
    std::vector<uint32_t> groups;
    if (who.supplementary_groups) groups = who.supplementary_groups();
    granted = acl->Permits(inode.uid, inode.gid, who.uid, who.gid, groups, wanted);
  } else {
    uint32_t bits = inode.mode;
    if (who.uid == inode.uid) {
      bits = inode.mode >> 6;
    } else if ((inode.mode >> 3 & 7) != (inode.mode & 7) && IsMember(who, inode.gid)) {
      bits = inode.mode >> 3;
    }
    granted = (bits & wanted) == wanted;
  }
  if (!granted) return Error(ErrorCode::kAccessDenied, "mode");
  return {};
}

Status CheckAccess(Operation& op, const InodeRecord& inode, uint32_t wanted) {
  if (!op.mount.options.check_permissions) return {};
  return EvaluateAccess(op, inode, wanted);
}

Status CheckOwner(Operation& op, const InodeRecord& inode) {
  if (!op.mount.options.check_permissions || op.context.IsRoot() || op.context.uid == inode.uid) {
    return {};
  }
  return Error(ErrorCode::kNotPermitted, "not the owner");
}

Status CheckRemove(Operation& op, const InodeRecord& directory, const InodeRecord& inode) {
  if (!op.mount.options.check_permissions) return {};
  TRY(EvaluateAccess(op, directory, kMayWrite | kMayExecute));
  const bool owner = op.context.uid == inode.uid || op.context.uid == directory.uid;
  if ((directory.mode & S_ISVTX) != 0 && !owner && !op.context.IsRoot()) {
    return Error(ErrorCode::kNotPermitted, "sticky directory");
  }
  return {};
}

uint32_t WithoutPrivileges(const OpContext& context, const InodeRecord& inode) {
  uint32_t mode = inode.mode & ~uint32_t{S_ISUID};
  // Without execution by the group it does not make a program run as it.
  const bool keeps = (mode & S_IXGRP) == 0 && (context.IsRoot() || IsMember(context, inode.gid));
  if (!keeps) mode &= ~uint32_t{S_ISGID};
  return mode;
}

}  // namespace tifs::fs
