#include "fs/access.h"
#include "fs/ops/directory_edit.h"
#include "fs/ops/ops.h"
#include "fs/posix_acl.h"

namespace tifs::fs::ops {
namespace {

// Group and setgid as the parent passes them on (inode_init_owner in the kernel).
void InheritGroup(const Operation& op, const InodeRecord& parent, InodeRecord& inode) {
  inode.gid = op.context.gid;
  if ((parent.mode & S_ISGID) == 0) return;
  inode.gid = parent.gid;
  if (inode.IsDirectory()) {
    inode.mode |= S_ISGID;
  } else if ((inode.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !op.context.IsRoot() &&
             !IsMember(op.context, inode.gid)) {
    inode.mode &= ~uint32_t{S_ISGID};
  }
}

// Applies the parent's default ACL if it has one, else the caller's umask.
Status InheritAcl(Operation& op, const InodeRecord& parent, InodeRecord& inode) {
  if (inode.IsSymlink()) return {};
  if (!parent.Has(InodeRecord::kHasDefaultAcl)) {
    inode.mode &= ~(op.context.umask & 0777);
    return {};
  }
  const auto xattr = TRY(op.records.LoadXattr(parent.number, kDefaultAclName));
  if (!xattr) return Error(ErrorCode::kCorrupt, "default acl is missing");
  PosixAcl acl = TRY(PosixAcl::Decode(*xattr));
  if (inode.IsDirectory()) {
    TRY(op.records.StoreXattr(inode.number, kDefaultAclName, *xattr));
    inode.Set(InodeRecord::kHasDefaultAcl);
    inode.Set(InodeRecord::kHasXattrs);
  }
  acl.NarrowForCreate(inode.mode);
  if (acl.IsMinimal()) return {};
  TRY(op.records.StoreXattr(inode.number, kAccessAclName, acl.Encode()));
  inode.Set(InodeRecord::kHasAccessAcl);
  inode.Set(InodeRecord::kHasXattrs);
  return {};
}

}  // namespace

Status InheritAccess(Operation& op, const InodeRecord& parent, InodeRecord& inode) {
  InheritGroup(op, parent, inode);
  return InheritAcl(op, parent, inode);
}

Status CheckName(std::string_view name) {
  if (name.empty()) return Error(ErrorCode::kNotFound, "empty name");
  if (name.size() > kMaxNameBytes) return Error(ErrorCode::kNameTooLong, "name");
  if (name == "." || name == "..") return Error(ErrorCode::kExists, "name");
  if (name.find('/') != name.npos || name.find('\0') != name.npos) {
    return Error(ErrorCode::kInvalid, "name");
  }
  return {};
}

Result<Entry> Create(Operation& op, InodeNumber parent, std::string_view name,
                     const NewInode& new_inode) {
  TRY(CheckName(name));
  DirectoryEdit directory = TRY(DirectoryEdit::Load(op, parent));
  if (TRY(op.records.LoadDentry(parent, name))) return Error(ErrorCode::kExists, "create");
  InodeRecord inode;
  inode.number = new_inode.number;
  inode.mode = new_inode.mode;
  inode.uid = op.context.uid;
  inode.nlink = inode.IsDirectory() ? 2 : 1;
  inode.rdev = new_inode.rdev;
  inode.atime = inode.mtime = inode.ctime = inode.btime = op.now;
  inode.change = 1;
  if (inode.IsDirectory()) inode.parent = parent;
  inode.inline_data = new_inode.symlink_target;
  inode.size_bytes = inode.inline_data.size();
  TRY(InheritAccess(op, directory.inode(), inode));
  TRY(op.records.StoreInode(inode));
  TRY(directory.Add(op, name, inode.number, inode.mode));
  TRY(directory.Store(op));
  op.space.inodes += 1;
  return Entry{AttributesOf(op.mount, inode, StripeRecord()), op.mount.cache()};
}

}  // namespace tifs::fs::ops
