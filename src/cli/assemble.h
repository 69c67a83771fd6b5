#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/claimed_store.h"
#include "cli/mount_options.h"
#include "cli/store_owner.h"
#include "cli/uri.h"
#include "fs/file_system.h"
#include "fs/fs_check.h"

// The only composition root: the one place that knows which scheme of a URI is which store, and
// that makes and owns the objects of a running file system, each before those that use it.
namespace tifs::cli {

// How long a command waits for a mount that is being unmounted.
inline constexpr std::chrono::nanoseconds kUnmountPatience = std::chrono::seconds(30);

// Claims the store at `uri`. One that a mount has is refused, naming the process and its mount
// point; while that mount is being unmounted, and for short work of others, it waits up to
// `patience`. kUse needs a store of ours; kFormat an absent or empty place, or a store of ours. All
// errors are explained.
Result<std::unique_ptr<ClaimedStore>> ClaimStore(const Uri& uri, ClaimFor what, OwnerRecord record,
                                                 std::chrono::nanoseconds patience);
// Reads `text` and checks that its scheme is known. Errors are explained.
Result<Uri> ParseStoreUri(std::string_view text);
// Checks the file system in an open store (fs::Check). Errors are those of fs::Check, or explained.
Result<fs::CheckReport> CheckStore(ClaimedStore& store, fs::CheckOptions options);
// What sessions call this machine.
std::string HostName();
// Who has the store, if anybody; of a cluster's, of which several processes of this machine may
// have it, the one that has it mounted at `mount_point`, or any mount. Errors are explained.
Result<std::optional<OwnerRecord>> OwnerOf(const Uri& uri, const std::string& mount_point = {});
// How `pid`, which had the store, failed; nothing if it ended well. To be asked soon after.
std::optional<OwnerFailure> FailureOf(const Uri& uri, pid_t pid);
// Whether two URIs name one store, however each says where its volume is.
bool IsSameStore(const Uri& a, const Uri& b);
// The directory that holds the store, empty if it is elsewhere (in a cluster).
std::string LocalDirectoryOf(const Uri& uri);
// The file that the store's volume is, empty if it is none.
std::string LocalVolumeFileOf(const Uri& uri);
// "mounted by pid 4711 at /mnt; run ..." for a store that somebody has.
Error InUse(const Uri& uri, const OwnerRecord& owner);

// A store, the file system in it, and its mount.
class MountedFileSystem {
 public:
  virtual ~MountedFileSystem() = default;

  virtual fs::FileSystem& file_system() = 0;
  virtual ClaimedStore& claimed_store() = 0;
  // Serves until the mount is gone or Stop was called. System calls on the mount point wait for it.
  virtual Status Serve() = 0;
  // Has Serve unmount and return: cleanly if the mount is idle, else detached after what is dirty
  // was written. From any thread.
  virtual void Stop() = 0;
  // After Serve: makes everything durable and closes it all.
  virtual Status Close() = 0;
};

// Mounts the claimed store at `mount_point` (resolved). Errors are explained.
Result<std::unique_ptr<MountedFileSystem>> MountFileSystem(std::unique_ptr<ClaimedStore> store,
                                                           const Uri& uri,
                                                           const std::string& mount_point,
                                                           const MountOptions& options);

// Opens the file system of a store that is not mounted, to look at it or to work on it.
Result<std::unique_ptr<fs::FileSystem>> OpenUnmounted(ClaimedStore& store, const Uri& uri,
                                                      bool read_only);

// What `tifs --version` prints.
struct Versions {
  std::string tifs;
  std::string rocksdb;
  std::string libfuse;
  uint32_t format;  // of file systems; this one and all before it are read
};
Versions OurVersions();
std::string VersionText();

}  // namespace tifs::cli
