#include "cli/mount_requests.h"

#include <unistd.h>

#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "cli/status_json.h"
#include "fs/fs_check.h"

namespace tifs::cli {

MountRequests::MountRequests(Uri uri, std::string mount_point, bool read_only,
                             MountedFileSystem& mount)
    : uri_(std::move(uri)),
      mount_point_(std::move(mount_point)),
      mount_(mount),
      read_only_(read_only) {}

Result<Json> MountRequests::Answer(const Json& request, const ControlProgress& progress) {
  const std::string name = request["request"].get<std::string>();
  if (name == "info") return Info();
  if (name == "stats") {
    const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - started_;
    return StatsToJson(mount_.file_system(), mount_.claimed_store(), uptime.count());
  }
  if (name == "gc") return Gc(progress);
  if (name == "check") return Check(progress);
  if (name == "remount") return Remount(request);
  return Error(ErrorCode::kNotSupported, "request", "unknown to this version");
}

Result<Json> MountRequests::Info() {
  const fs::FileSystemInfo info = TRY(mount_.file_system().Info());
  const fs::FileSystemUsage usage = TRY(mount_.file_system().Statfs());
  Json json = InfoToJson(uri_, info, usage);
  json["mounted"] = {{"pid", ::getpid()},
                     {"mount_point", Escaped(mount_point_)},
                     {"since", mount_.claimed_store().owner().record().since},
                     {"read_only", read_only_.load()}};
  return json;
}

Result<Json> MountRequests::Gc(const ControlProgress& progress) {
  uint64_t steps = 0;
  while (TRY(mount_.file_system().RunBackgroundStep())) {
    if (!progress(++steps)) break;
  }
  return Json{{"steps", steps}};
}

Result<Json> MountRequests::Check(const ControlProgress& progress) {
  // What is in memory only (times, counts) is written first, so that the store is whole.
  TRY(mount_.file_system().Sync());
  fs::CheckOptions options;
  options.progress = [&progress](uint64_t keys_seen) { (void)progress(keys_seen); };
  const fs::CheckReport report = TRY(CheckStore(mount_.claimed_store(), options));
  return CheckReportToJson(report);
}

Result<Json> MountRequests::Remount(const Json& request) {
  const auto wanted = request.find("read_only");
  if (wanted == request.end() || !wanted->is_boolean()) {
    return Error(ErrorCode::kInvalid, "remount", "read_only is missing");
  }
  TRY(mount_.file_system().SetReadOnly(wanted->get<bool>()));
  read_only_ = wanted->get<bool>();
  LogInfo("remounted {}", read_only_ ? "read-only" : "read-write");
  return Json::object();
}

}  // namespace tifs::cli
