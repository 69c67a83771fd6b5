#pragma once

#include <optional>
#include <string>

#include "cli/assemble.h"
#include "cli/daemonize.h"
#include "cli/mount_options.h"
#include "cli/uri.h"

namespace tifs::cli {

struct MountRequest {
  Uri uri;
  std::string mount_point;  // resolved: absolute, without links, an idle directory
  MountOptions options;
};

// What a mount's process does from its start to its end: opens the log, claims the store, mounts,
// answers the control socket and serves until it is unmounted or told to stop (SIGINT, SIGTERM).
// SIGHUP opens the log again. `detachment` (absent in the foreground) is told once the mount
// serves, or that it failed with `code_if_failed`. Returns the exit code.
int RunMountProcess(const MountRequest& request, std::optional<Detachment> detachment,
                    int code_if_failed);

}  // namespace tifs::cli
