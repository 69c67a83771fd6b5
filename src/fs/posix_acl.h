#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tifs::fs {

inline constexpr std::string_view kAccessAclName = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAclName = "system.posix_acl_default";

// A POSIX.1e access control list, in the form of the kernel's extended attribute: version 2, then
// entries of tag, permission and id (linux/posix_acl_xattr.h; acl(5)).
class PosixAcl {
 public:
  enum Tag : uint16_t {
    kUserOwner = 0x01,
    kUser = 0x02,
    kGroupOwner = 0x04,
    kGroup = 0x08,
    kMask = 0x10,
    kOther = 0x20,
  };
  struct Entry {
    uint16_t tag = 0;
    uint16_t permissions = 0;  // rwx, as in a mode
    uint32_t id = UINT32_MAX;  // of kUser and kGroup
  };

  // kInvalid for what acl(5) forbids: unknown tags or permissions, missing or repeated entries, a
  // missing mask.
  static Result<PosixAcl> Decode(std::string_view xattr);
  std::string Encode() const;

  // No more than the three classes of a mode say.
  bool IsMinimal() const { return entries_.size() == 3; }
  // The permission bits that stat shows for it: owner, mask (else owning group), other.
  uint32_t ModeBits() const;
  // chmod: owner, mask (else owning group) and other from the mode.
  void SetModeBits(uint32_t mode);
  // A new inode inherits this default ACL: narrows both the list and the mode to what both allow.
  void NarrowForCreate(uint32_t& mode);
  // Whether it grants all of `wanted` (rwx bits) to one who is not root.
  bool Permits(uint32_t owner_uid, uint32_t owner_gid, uint32_t uid, uint32_t gid,
               std::span<const uint32_t> groups, uint32_t wanted) const;

 private:
  Entry* Find(uint16_t tag);
  const Entry* Find(uint16_t tag) const { return const_cast<PosixAcl*>(this)->Find(tag); }

  std::vector<Entry> entries_;
};

}  // namespace tifs::fs
