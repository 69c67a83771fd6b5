#pragma once

#include <cstdint>

#include "base/result.h"
#include "fs/operation.h"
#include "fs/records.h"

// Who may do what, by the rules of ext4: mode bits, ACLs, ownership, sticky directories. Checked
// inside the operation's transaction. All of it passes where the kernel checks
// (FileSystemOptions::check_permissions off).
namespace tifs::fs {

// Bits of a mode's class, as access(2) has them.
inline constexpr uint32_t kMayExecute = 1;
inline constexpr uint32_t kMayWrite = 2;
inline constexpr uint32_t kMayRead = 4;

// kAccessDenied unless the caller has all of `wanted` on the inode.
Status CheckAccess(Operation& op, const InodeRecord& inode, uint32_t wanted);
// As CheckAccess, whatever the options say: for access(2).
Status EvaluateAccess(Operation& op, const InodeRecord& inode, uint32_t wanted);
// kNotPermitted unless the caller owns the inode or is root.
Status CheckOwner(Operation& op, const InodeRecord& inode);
// Whether an entry for `inode` may be removed from `directory`: write and search on it, and in a
// sticky directory ownership of either. kAccessDenied, kNotPermitted.
Status CheckRemove(Operation& op, const InodeRecord& directory, const InodeRecord& inode);
// Whether the caller's groups include `gid`.
bool IsMember(const OpContext& context, uint32_t gid);

// The mode without setuid, and without setgid where the group may execute: what a write by one
// without privilege leaves.
uint32_t WithoutPrivileges(const OpContext& context, const InodeRecord& inode);

}  // namespace tifs::fs
