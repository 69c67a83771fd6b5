#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// What is mounted where, as the kernel tells it (proc_pid_mountinfo(5)): no call here asks the
// mounted file system itself, so none hangs where its process does, but IsDeadMount.
namespace tifs::fuse {

struct MountEntry {
  uint64_t id = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::string mountpoint;
  std::string type;    // "fuse.tifs"
  std::string source;  // our URI
  bool read_only = false;
  std::optional<uint32_t> user_id;  // who made it, of a FUSE mount
};

inline constexpr std::string_view kMountType = "fuse.tifs";

// `text` is the contents of mountinfo. Lines that it cannot read are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);
// The mounts of this process's mount namespace, the later over the earlier.
Result<std::vector<MountEntry>> ReadMountTable();
// The topmost mount at exactly `mountpoint` (absolute, without symbolic links).
std::optional<MountEntry> FindMount(std::string_view mountpoint);

// `path` made absolute and without symbolic links. Its last component may be a dead mount point,
// which realpath(3) refuses. Errors: kNotFound and others of realpath(3).
Result<std::string> ResolveMountpoint(const std::string& path);

// Whether `mountpoint` carries a FUSE mount whose process has gone ("Transport endpoint is not
// connected"). Sends a request, so it waits where a living process is stuck; false for mounts that
// the caller may not look into.
bool IsDeadMount(const std::string& mountpoint);

enum class Detachment : uint8_t {
  kWhenIdle,  // as umount(8): kBusy while anything is open
  kLazy,      // from the tree at once, the rest when the last user has gone
};
// Unmounts the topmost mount at `mountpoint`; without privileges through fusermount3. Idle mounts
// are written out first; a lazy one only as its last user goes. Errors: kBusy; kInvalid (not
// mounted); kNotPermitted (somebody else's).
Status DetachMount(const std::string& mountpoint, Detachment detachment);

}  // namespace tifs::fuse
