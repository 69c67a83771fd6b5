#include "fs/access.h"
#include "fs/ops/ops.h"
#include "fs/posix_acl.h"

namespace tifs::fs::ops {
namespace {

constexpr std::string_view kCapabilityName = "security.capability";

bool IsAcl(std::string_view name) { return name == kAccessAclName || name == kDefaultAclName; }

InodeRecord::Flag AclFlag(std::string_view name) {
  return name == kAccessAclName ? InodeRecord::kHasAccessAcl : InodeRecord::kHasDefaultAcl;
}

Status CheckXattrName(std::string_view name) {
  if (name.empty() || name.size() > kMaxXattrNameBytes) {
    return Error(ErrorCode::kRange, "xattr name");
  }
  for (std::string_view space : {"user.", "trusted.", "security."}) {
    if (name.starts_with(space)) {
      if (name.size() == space.size()) return Error(ErrorCode::kInvalid, "xattr name");
      return {};
    }
  }
  if (IsAcl(name)) return {};
  return Error(ErrorCode::kNotSupported, "xattr namespace");
}

// Who may read or write an attribute, by xattr(7).
Status CheckXattrAccess(Operation& op, const InodeRecord& inode, std::string_view name,
                        bool write) {
  if (name.starts_with("user.")) {
    if (!inode.IsRegular() && !inode.IsDirectory()) {
      return write ? Error(ErrorCode::kNotPermitted, "xattr of a special file")
                   : Error(ErrorCode::kNoAttribute, "xattr of a special file");
    }
    if (write && inode.IsDirectory() && (inode.mode & S_ISVTX) != 0) {
      TRY(CheckOwner(op, inode));
    }
    return CheckAccess(op, inode, write ? kMayWrite : kMayRead);
  }
  if (!op.mount.options.check_permissions || op.context.IsRoot()) return {};
  if (name.starts_with("trusted.")) {
    return write ? Error(ErrorCode::kNotPermitted, "trusted xattr")
                 : Error(ErrorCode::kNoAttribute, "trusted xattr");
  }
  if (!write) return {};
  if (name.starts_with("security.")) return Error(ErrorCode::kNotPermitted, "security xattr");
  return CheckOwner(op, inode);
}

// Sets or, with no entries beyond the mode's, drops an ACL; an access ACL sets the mode too.
Status SetAcl(Operation& op, InodeRecord& inode, std::string_view name, std::string_view value) {
  if (inode.IsSymlink()) return Error(ErrorCode::kNotSupported, "acl of a symbolic link");
  const bool access = name == kAccessAclName;
  if (!access && !inode.IsDirectory()) return Error(ErrorCode::kAccessDenied, "default acl");
  const PosixAcl acl = TRY(PosixAcl::Decode(value));
  if (access) {
    inode.mode = (inode.mode & ~uint32_t{0777}) | acl.ModeBits();
    if (!op.context.IsRoot() && !IsMember(op.context, inode.gid)) {
      inode.mode &= ~uint32_t{S_ISGID};
    }
  }
  const bool stored = !access || !acl.IsMinimal();
  inode.Set(AclFlag(name), stored);
  if (!stored) return op.records.DeleteXattr(inode.number, name);
  inode.Set(InodeRecord::kHasXattrs);
  return op.records.StoreXattr(inode.number, name, acl.Encode());
}

// What adds or removes entries reads the default ACL and the mode: it must conflict.
Status StoreChanged(Operation& op, InodeRecord& inode) {
  Touch(inode, op.now, false);
  if (inode.IsDirectory()) TRY(op.records.LockStripes(inode.number));
  return op.records.StoreInode(inode);
}

// The names of an inode's attributes, each ended by a NUL, as far as `wanted` says yes.
template <typename Wanted>
Result<std::string> NamesOf(Operation& op, InodeNumber number, Wanted wanted) {
  std::string names;
  const KeySpan span = op.mount.schema.Xattrs(number);
  TRY(op.txn.Scan(span.range(), 0, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view) {
                    const auto parsed = op.mount.schema.ParseXattr(key);
                    if (parsed && wanted(parsed->name)) names.append(parsed->name).push_back('\0');
                    return names.size() <= kMaxXattrListBytes;
                  }));
  return names;
}

// What no listxattr(2) could list must not be set.
Status CheckRoomForName(Operation& op, InodeNumber number, std::string_view name) {
  const std::string names = TRY(NamesOf(op, number, [](std::string_view) { return true; }));
  if (names.size() + name.size() + 1 <= kMaxXattrListBytes) return {};
  return Error(ErrorCode::kNoSpace, "setxattr");
}

Status RemoveKnown(Operation& op, InodeRecord& inode, std::string_view name) {
  if (IsAcl(name)) inode.Set(AclFlag(name), false);
  if (name == kCapabilityName) inode.Set(InodeRecord::kHasCapability, false);
  TRY(op.records.DeleteXattr(inode.number, name));
  return StoreChanged(op, inode);
}

}  // namespace

Result<std::string> GetXattr(Operation& op, InodeNumber number, std::string_view name) {
  TRY(CheckXattrName(name));
  const InodeRecord inode = TRY(op.records.LoadInode(number, InlineData::kSkip));
  TRY(CheckXattrAccess(op, inode, name, false));
  const bool absent =
      !inode.Has(InodeRecord::kHasXattrs) || (IsAcl(name) && !inode.Has(AclFlag(name)));
  if (absent) return Error(ErrorCode::kNoAttribute, "getxattr");
  std::optional<std::string> value = TRY(op.records.LoadXattr(number, name));
  if (!value) return Error(ErrorCode::kNoAttribute, "getxattr");
  return *std::move(value);
}

Status SetXattr(Operation& op, InodeNumber number, std::string_view name, std::string_view value,
                XattrFlag flag) {
  TRY(CheckXattrName(name));
  if (value.size() > kMaxXattrValueBytes) return Error(ErrorCode::kArgumentTooBig, "xattr");
  InodeRecord inode = TRY(op.records.LoadInode(number));
  TRY(CheckXattrAccess(op, inode, name, true));
  std::optional<std::string> old;
  if (inode.Has(InodeRecord::kHasXattrs)) old = TRY(op.records.LoadXattr(number, name));
  const bool exists = old.has_value();
  if (exists && flag == XattrFlag::kCreate) return Error(ErrorCode::kExists, "setxattr");
  if (!exists && flag == XattrFlag::kReplace) return Error(ErrorCode::kNoAttribute, "setxattr");
  if (!exists && inode.Has(InodeRecord::kHasXattrs)) TRY(CheckRoomForName(op, number, name));
  op.space.uncounted_bytes +=
      static_cast<int64_t>(value.size()) - static_cast<int64_t>(exists ? old->size() : 0);
  if (IsAcl(name)) {
    if (value.empty()) return RemoveKnown(op, inode, name);
    TRY(SetAcl(op, inode, name, value));
  } else {
    inode.Set(InodeRecord::kHasXattrs);
    if (name == kCapabilityName) inode.Set(InodeRecord::kHasCapability);
    TRY(op.records.StoreXattr(number, name, value));
  }
  return StoreChanged(op, inode);
}

Result<std::string> ListXattrs(Operation& op, InodeNumber number) {
  const InodeRecord inode = TRY(op.records.LoadInode(number, InlineData::kSkip));
  if (!inode.Has(InodeRecord::kHasXattrs)) return std::string();
  const bool sees_trusted = op.context.IsRoot();
  std::string names = TRY(NamesOf(op, number, [&](std::string_view name) {
    return sees_trusted || !name.starts_with("trusted.");
  }));
  if (names.size() > kMaxXattrListBytes) return Error(ErrorCode::kArgumentTooBig, "listxattr");
  return names;
}

Status RemoveXattr(Operation& op, InodeNumber number, std::string_view name) {
  TRY(CheckXattrName(name));
  InodeRecord inode = TRY(op.records.LoadInode(number));
  TRY(CheckXattrAccess(op, inode, name, true));
  const bool exists =
      inode.Has(InodeRecord::kHasXattrs) && TRY(op.records.LoadXattr(number, name)).has_value();
  // Taking away an ACL that is not there is no error, as on ext4: the mode alone says it then.
  if (!exists && IsAcl(name)) return {};
  if (!exists) return Error(ErrorCode::kNoAttribute, "removexattr");
  return RemoveKnown(op, inode, name);
}

}  // namespace tifs::fs::ops
