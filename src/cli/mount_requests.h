#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "cli/assemble.h"
#include "cli/control_socket.h"
#include "cli/mount_options.h"
#include "cli/output.h"
#include "cli/uri.h"

namespace tifs::cli {

// What a mount answers over its control socket. Safe for use by several threads.
//   info     -> InfoToJson with "mounted"
//   stats    -> StatsToJson
//   gc       runs background work until there is none -> {"steps": N}
//   check    checks one snapshot, changes nothing -> CheckReportToJson
//   check_remount  {"options": [TEXT, ...]}: an error if they differ from the mount's own in more
//   than
//                  a remount can change -> {}
//   volume_io  {"settings": {NAME: VALUE, ...}} changes these first -> VolumeIoToJson
//   remount  {"read_only": BOOL}, the file system's half of it -> {}
class MountRequests {
 public:
  // `options`: what it was mounted with. `mount` outlives this object.
  MountRequests(Uri uri, std::string mount_point, MountOptions options, MountedFileSystem& mount);
  Result<Json> Answer(const Json& request, const ControlProgress& progress);

 private:
  Result<Json> Info();
  Result<Json> Gc(const ControlProgress& progress);
  Result<Json> Check(const ControlProgress& progress);
  Result<Json> CheckRemount(const Json& request);
  Result<Json> Remount(const Json& request);
  Result<Json> VolumeIo(const Json& request);

  const Uri uri_;
  const std::string mount_point_;
  MountOptions options_;  // constant after construction
  MountedFileSystem& mount_;
  std::atomic<bool> read_only_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace tifs::cli
