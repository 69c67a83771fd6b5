#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "cli/assemble.h"
#include "cli/control_socket.h"
#include "cli/output.h"
#include "cli/uri.h"

namespace tifs::cli {

// What a mount answers over its control socket. Safe for use by several threads.
//   info     -> InfoToJson with "mounted"
//   stats    -> StatsToJson
//   gc       runs background work until there is none -> {"steps": N}
//   check    checks one snapshot, changes nothing -> CheckReportToJson
//   remount  {"read_only": BOOL}, the file system's half of it -> {}
class MountRequests {
 public:
  // `mount` outlives this object.
  MountRequests(Uri uri, std::string mount_point, bool read_only, MountedFileSystem& mount);
  Result<Json> Answer(const Json& request, const ControlProgress& progress);

 private:
  Result<Json> Info();
  Result<Json> Gc(const ControlProgress& progress);
  Result<Json> Check(const ControlProgress& progress);
  Result<Json> Remount(const Json& request);

  const Uri uri_;
  const std::string mount_point_;
  MountedFileSystem& mount_;
  std::atomic<bool> read_only_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace tifs::cli
