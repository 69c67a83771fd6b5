#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fuse/mount_table.h"

namespace tifs::cli {

// The mount that `path` (absolute, without links) lies in.
Result<std::optional<fuse::MountEntry>> MountOf(std::string_view path);

// Whether `path` is `directory` or lies below it; both absolute and normal.
bool IsWithin(std::string_view path, std::string_view directory);

// A process that keeps a mount busy, and by what.
struct MountUser {
  pid_t pid = 0;
  std::string command;
  std::string how;  // "its working directory", "an open file: PATH", ...
};
// The processes that hold something of `mount`, as far as we may look, at most `limit`. Costs a
// walk of /proc.
std::vector<MountUser> FindMountUsers(const fuse::MountEntry& mount, size_t limit);
// Mount points below `mount`, which keep it busy as well.
Result<std::vector<std::string>> MountsBelow(std::string_view mount_point);

}  // namespace tifs::cli
