#pragma once

#include <string_view>

#include "base/result.h"
#include "fs/operation.h"
#include "fs/records.h"

namespace tifs::fs::ops {

// A directory whose entries an operation changes: its inode, and this mount's stripe of it, which
// is what the change writes. See docs/consistency.md.
class DirectoryEdit {
 public:
  // Loads it and checks that it is a live directory which the caller may write and search.
  // kNotDirectory, kNotFound (removed already), kAccessDenied, kStale.
  static Result<DirectoryEdit> Load(Operation& op, InodeNumber directory);

  Status Add(Operation& op, std::string_view name, InodeNumber inode, uint32_t mode);
  Status Remove(Operation& op, std::string_view name, uint32_t mode);
  // Lets a name stand for another inode.
  Status Replace(Operation& op, std::string_view name, uint32_t old_mode, InodeNumber inode,
                 uint32_t mode);
  // Writes the stripe: once, after all changes.
  Status Store(Operation& op);

  const InodeRecord& inode() const { return inode_; }

 private:
  void Count(Operation& op, int entries, int subdirectories);

  InodeRecord inode_;
  StripeRecord stripe_;
};

}  // namespace tifs::fs::ops
