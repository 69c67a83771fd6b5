#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "fs/schema.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// Paths of inodes, so that findings name what people know. Inodes do not hold their names: all that
// are needed are looked up in one reading of the entries.
class CheckPaths {
 public:
  // The directory that an inode lies in (one of them); 0 if that is not known.
  using ParentOf = std::function<InodeNumber(InodeNumber)>;
  explicit CheckPaths(ParentOf parent_of) : parent_of_(std::move(parent_of)) {}

  // Asks for an inode and all above it. Before Load.
  void Need(InodeNumber inode);
  Status Load(kv::Transaction& txn, const Schema& schema);

  // The raw bytes of a path from the root. Begins with "#NUMBER" in place of "/" where the way up
  // ends at an inode without a name, with "..." where it is very long; empty if the inode itself
  // has no name or is not known.
  std::string PathOf(InodeNumber inode) const;
  // The path of an entry.
  std::string PathOf(InodeNumber parent, std::string_view name) const;

 private:
  struct Name {
    InodeNumber parent;
    std::string name;
  };

  const ParentOf parent_of_;
  std::unordered_map<uint64_t, Name> names_;
};

}  // namespace tifs::fs
