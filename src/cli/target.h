#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/output.h"
#include "cli/store_owner.h"
#include "cli/uri.h"

namespace tifs::cli {

// What a command's URI|DIR argument stands for: a store, and the process that has it mounted, if
// one does.
struct Target {
  Uri uri;
  std::optional<OwnerRecord> mounted_by;
};

// A URI, or a path on a mount. Errors are explained.
Result<Target> ResolveTarget(const std::string& text);
// As above, for commands that need a mount.
Result<Target> ResolveMountedTarget(const std::string& text);

// Asks the process that has the target mounted. Precondition: one has. Errors are explained;
// kUnavailable: it does not answer.
Result<Json> AskTarget(const Target& target, const Json& request,
                       const std::function<void(uint64_t done)>& progress = {});

// Asks the process that has the target mounted; where nobody has, or it is just being unmounted,
// `unmounted` is called for the answer: to claim the store waits for the process that is ending.
Result<Json> AskTargetOr(const Target& target, const Json& request,
                         const std::function<void(uint64_t done)>& progress,
                         const std::function<Result<Json>()>& unmounted);

}  // namespace tifs::cli
