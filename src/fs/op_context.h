#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tifs::fs {

// Who asks. One per request, on the stack of its worker.
struct OpContext {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t pid = 0;
  // Applied to the mode of a new inode unless its parent has a default ACL.
  uint32_t umask = 0;
  // Reads the caller's supplementary groups; called only where they decide. May be empty.
  std::function<std::vector<uint32_t>()> supplementary_groups;

  bool IsRoot() const { return uid == 0; }
};

}  // namespace tifs::fs
