#pragma once

#include <cstddef>
#include <span>

#include "fs/types.h"
#include "fuse/connection.h"

namespace tifs::fuse {

// The entries that answer one READDIR or READDIRPLUS, laid out as the kernel reads them, in memory
// of the caller's. An entry's offset is its cookie: the kernel asks for what follows by it.
class DirectoryPage {
 public:
  DirectoryPage(const NodeMap& nodes, std::span<char> room, bool with_attributes)
      : nodes_(nodes), room_(room), with_attributes_(with_attributes) {}

  // False if there is no room left for `entry`; then nothing was added.
  bool Add(const fs::DirectoryEntry& entry);
  std::span<const char> bytes() const { return room_.first(used_bytes_); }
  // How many entries a page of this size can hold at most.
  size_t max_entries() const;

 private:
  const NodeMap nodes_;
  const std::span<char> room_;
  const bool with_attributes_;
  size_t used_bytes_ = 0;
};

}  // namespace tifs::fuse
