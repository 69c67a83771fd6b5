#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tifs::sim {

// A POSIX.1e access control list, as acl(5) describes it and Linux carries it in
// system.posix_acl_access and system.posix_acl_default.
class ModelAcl {
 public:
  enum Tag : uint16_t {
    kUserObject = 1,
    kUser = 2,
    kGroupObject = 4,
    kGroup = 8,
    kMask = 16,
    kOther = 32,
  };
  struct Entry {
    uint16_t tag;
    uint16_t permissions;
    uint32_t id;
  };

  // Nothing for an empty list, which stands for its removal. Errors: kInvalid, kNotSupported
  // (another version). The list need not be valid yet.
  static Result<std::optional<ModelAcl>> Parse(std::string_view bytes);
  // Owner, users, owning group, groups, mask, others: in this order, each object once, a mask where
  // anything is named. Everything below is for valid lists only.
  bool IsValid() const;
  std::string Format() const;

  // The permission bits that it amounts to; whether it says no more than they do.
  uint32_t ModeBits() const;
  bool IsMinimal() const;
  // chmod(2) on its file.
  void SetMode(uint32_t mode);
  // What a new file inherits from this default list when it is created with `mode`, whose bits the
  // list then limits.
  ModelAcl Inherit(uint32_t& mode) const;
  // Whether a user with these groups who does not own the file gets all of `wanted` (bits rwx). The
  // owner and the owning group as well.
  bool Grants(uint32_t wanted, bool is_owner, uint32_t uid, uint32_t owning_gid,
              const std::vector<uint32_t>& groups) const;

 private:
  Entry* Find(Tag tag);
  const Entry* Find(Tag tag) const;

  std::vector<Entry> entries_;
};

}  // namespace tifs::sim
