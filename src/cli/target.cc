#include "cli/target.h"

#include <fmt/format.h>

#include <utility>

#include "cli/assemble.h"
#include "cli/control_socket.h"
#include "cli/mount_users.h"
#include "fuse/mount_table.h"

namespace tifs::cli {

Result<Target> ResolveTarget(const std::string& text) {
  Target target;
  std::string mount_point;
  if (LooksLikeUri(text)) {
    target.uri = TRY(ParseStoreUri(text));
  } else {
    const std::string what = Escaped(text);
    Result<std::string> path = fuse::ResolveMountpoint(text);
    if (!path) {
      return ExplainedPlainly(what, path.error(), "name a mount point or a store's URI");
    }
    const auto mount = TRY(MountOf(*path));
    if (!mount || mount->type != fuse::kMountType) {
      return Explained(
          ErrorCode::kInvalid, what, "no TiFS is mounted there",
          fmt::format("name a mount point, or a store as 'rocks://{}'", Escaped(*path)));
    }
    target.uri = TRY(ParseStoreUri(mount->source));
    mount_point = mount->mountpoint;
    // A user may see a mount and have no right to its store.
  }
  std::optional<OwnerRecord> owner = TRY(OwnerOf(target.uri, mount_point));
  if (owner && owner->activity == "mount") target.mounted_by = std::move(owner);
  return target;
}

Result<Target> ResolveMountedTarget(const std::string& text) {
  Target target = TRY(ResolveTarget(text));
  if (target.mounted_by) return target;
  return Explained(
      ErrorCode::kInvalid, Escaped(text), "the store is not mounted",
      fmt::format("mount it first with 'tifs mount {} DIR'", ShellQuoted(target.uri.ToString())));
}

Result<Json> AskTarget(const Target& target, const Json& request,
                       const std::function<void(uint64_t done)>& progress) {
  Result<Json> answer = AskMount(target.mounted_by->socket, request, progress);
  if (answer) return answer;
  const OwnerRecord& owner = *target.mounted_by;
  if (answer.error().code() == ErrorCode::kUnavailable) {
    return Explained(
        ErrorCode::kUnavailable, Escaped(target.uri.Subject()),
        fmt::format("pid {}, which has it mounted at {}, does not answer: {}", owner.pid,
                    Escaped(owner.mount_point), Escaped(answer.error().detail())),
        "if it is being unmounted, try again");
  }
  return ExplainedAs(Escaped(owner.mount_point), std::move(answer).error());
}

Result<Json> AskTargetOr(const Target& target, const Json& request,
                         const std::function<void(uint64_t done)>& progress,
                         const std::function<Result<Json>()>& unmounted) {
  if (!target.mounted_by) return unmounted();
  Result<Json> answer = AskTarget(target, request, progress);
  if (answer || answer.error().code() != ErrorCode::kUnavailable) return answer;
  const auto still = OwnerOf(target.uri, target.mounted_by->mount_point);
  const auto mount = fuse::FindMount(target.mounted_by->mount_point);
  const bool mounted = mount && mount->type == fuse::kMountType;
  if (mounted && still && *still && (*still)->pid == target.mounted_by->pid) return answer;
  Result<Json> alone = unmounted();
  if (alone || alone.error().code() != ErrorCode::kBusy) return alone;
  // It was not ending but beginning, or is mounted again.
  const auto now = OwnerOf(target.uri);
  if (!now || !*now || (*now)->activity != "mount") return alone;
  return AskTarget(Target{target.uri, **now}, request, progress);
}

}  // namespace tifs::cli
