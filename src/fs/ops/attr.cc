#include <algorithm>

#include "fs/access.h"
#include "fs/data/file_data.h"
#include "fs/ops/ops.h"
#include "fs/posix_acl.h"

namespace tifs::fs::ops {
namespace {

// Who may make these changes, by setattr_prepare's rules in the kernel.
Status CheckChanges(Operation& op, const InodeRecord& inode, const AttributeChanges& changes,
                    bool through_handle) {
  if (!op.mount.options.check_permissions || op.context.IsRoot()) return {};
  const bool owner = op.context.uid == inode.uid;
  const auto not_permitted = [] { return Error(ErrorCode::kNotPermitted, "setattr"); };
  if (changes.mode && !owner) return not_permitted();
  if (changes.uid && !(owner && *changes.uid == inode.uid)) return not_permitted();
  if (changes.gid) {
    const bool may = owner && (*changes.gid == inode.gid || IsMember(op.context, *changes.gid));
    if (!may) return not_permitted();
  }
  if (changes.size_bytes && !through_handle) TRY(CheckAccess(op, inode, kMayWrite));
  if ((changes.atime || changes.mtime) && !owner) {
    const bool only_now =
        (!changes.atime || changes.atime->now) && (!changes.mtime || changes.mtime->now);
    if (!only_now) return not_permitted();
    if (!through_handle) TRY(CheckAccess(op, inode, kMayWrite));
  }
  return {};
}

// A time that could not be read again must not be stored.
Status CheckTimes(const AttributeChanges& changes) {
  constexpr uint32_t kSecond = 1'000'000'000;
  const bool bad = (changes.atime && changes.atime->time.nanoseconds >= kSecond) ||
                   (changes.mtime && changes.mtime->time.nanoseconds >= kSecond) ||
                   (changes.ctime && changes.ctime->nanoseconds >= kSecond);
  if (bad) return Error(ErrorCode::kInvalid, "time");
  return {};
}

Status ChangeMode(Operation& op, InodeRecord& inode, uint32_t mode) {
  if (!op.context.IsRoot() && !IsMember(op.context, inode.gid)) mode &= ~uint32_t{S_ISGID};
  inode.mode = (inode.mode & S_IFMT) | (mode & 07777);
  if (!inode.Has(InodeRecord::kHasAccessAcl)) return {};
  const auto xattr = TRY(op.records.LoadXattr(inode.number, kAccessAclName));
  if (!xattr) return Error(ErrorCode::kCorrupt, "access acl is missing");
  PosixAcl acl = TRY(PosixAcl::Decode(*xattr));
  acl.SetModeBits(mode);
  return op.records.StoreXattr(inode.number, kAccessAclName, acl.Encode());
}

Status DropCapability(Operation& op, InodeRecord& inode) {
  if (!inode.Has(InodeRecord::kHasCapability)) return {};
  inode.Set(InodeRecord::kHasCapability, false);
  return op.records.DeleteXattr(inode.number, "security.capability");
}

Status ChangeOwner(Operation& op, InodeRecord& inode, const AttributeChanges& changes) {
  if (changes.uid) inode.uid = *changes.uid;
  if (changes.gid) inode.gid = *changes.gid;
  if (inode.IsDirectory()) return {};
  if (!changes.mode) inode.mode = WithoutPrivileges(op.context, inode);
  return DropCapability(op, inode);
}

Status ChangeSize(Operation& op, InodeRecord& inode, const AttributeChanges& changes) {
  if (inode.IsDirectory()) return Error(ErrorCode::kIsDirectory, "truncate");
  if (!inode.IsRegular()) return Error(ErrorCode::kInvalid, "truncate");
  TRY(file_data::Truncate(op, inode, *changes.size_bytes));
  if (changes.kill_privileges) inode.mode = WithoutPrivileges(op.context, inode);
  return DropCapability(op, inode);
}

}  // namespace

Result<Entry> GetAttributes(Operation& op, InodeNumber inode) {
  Result<InodeRecord> record = op.records.LoadInode(inode, InlineData::kSkip);
  if (record) return EntryOf(op, *record);
  if (record.error().code() == ErrorCode::kStale) {
    const auto removed = op.mount.removed_directories.Find(inode);
    if (removed) return Entry{*removed, op.mount.cache()};
  }
  return std::move(record).error();
}

Result<ChangedAttributes> SetAttributes(Operation& op, InodeNumber number,
                                        const AttributeChanges& changes, bool through_handle) {
  InodeRecord inode = TRY(op.records.LoadInode(number));
  TRY(CheckTimes(changes));
  TRY(CheckChanges(op, inode, changes, through_handle));
  const uint64_t old_size_bytes = inode.size_bytes;
  if (inode.IsDirectory()) {
    // The stripes' times move into the inode, where they can be set; and what adds or removes
    // entries meanwhile conflicts.
    const StripeRecord stripes = TRY(op.records.LoadStripes(number));
    inode.mtime = stripes.MtimeOf(inode);
    inode.ctime = stripes.CtimeOf(inode);
    TRY(op.records.ResetStripeTimes(number));
  }
  Touch(inode, op.now, changes.size_bytes.has_value());
  if (changes.uid || changes.gid) TRY(ChangeOwner(op, inode, changes));
  if (changes.mode) TRY(ChangeMode(op, inode, *changes.mode));
  if (changes.size_bytes) TRY(ChangeSize(op, inode, changes));
  if (changes.atime) inode.atime = changes.atime->now ? op.now : changes.atime->time;
  if (changes.mtime) inode.mtime = changes.mtime->now ? op.now : changes.mtime->time;
  if (changes.ctime) inode.ctime = *changes.ctime;
  if (changes.atime) op.mount.atimes.Forget(number);
  TRY(op.records.StoreInode(inode));
  ChangedAttributes changed{TRY(EntryOf(op, inode)), false};
  if (changes.atime) changed.entry.attributes.atime = inode.atime;
  // Only a file that does not grow loses what was reserved beyond its end, as on ext4.
  changed.reserved_beyond =
      changes.size_bytes && *changes.size_bytes <= old_size_bytes && !inode.preallocated.empty();
  return changed;
}

Status Access(Operation& op, InodeNumber inode, int mask) {
  const InodeRecord record = TRY(op.records.LoadInode(inode, InlineData::kSkip));
  return EvaluateAccess(op, record, static_cast<uint32_t>(mask) & 7);
}

Status StoreAtimes(Operation& op, std::span<const std::pair<InodeNumber, Timespec>> atimes) {
  for (const auto& [number, atime] : atimes) {
    if (!op.mount.atimes.IsTaken(number)) continue;  // set explicitly meanwhile
    Result<InodeRecord> inode = op.records.LoadInode(number);
    if (!inode) {
      if (inode.error().code() == ErrorCode::kStale) continue;
      return std::move(inode).error();
    }
    if (inode->atime >= atime) continue;
    inode->atime = atime;
    TRY(op.records.StoreInode(*inode));
  }
  return {};
}

}  // namespace tifs::fs::ops
