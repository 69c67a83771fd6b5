#include "cli/mount_requests.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "block/io_settings.h"
#include "cli/status_json.h"
#include "cli/volume_io.h"
#include "fs/fs_check.h"

namespace tifs::cli {

MountRequests::MountRequests(Uri uri, std::string mount_point, MountOptions options,
                             MountedFileSystem& mount)
    : uri_(std::move(uri)),
      mount_point_(std::move(mount_point)),
      options_(std::move(options)),
      mount_(mount),
      read_only_(options_.read_only) {
  // As it came out, so that a remount may say it.
  options_.allow_other = options_.allow_other.value_or(::geteuid() == 0);
}

Result<Json> MountRequests::Answer(const Json& request, const ControlProgress& progress) {
  const std::string name = request["request"].get<std::string>();
  if (name == "info") return Info();
  if (name == "stats") {
    const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - started_;
    return StatsToJson(mount_.file_system(), mount_.claimed_store(), uptime.count());
  }
  if (name == "gc") return Gc(progress);
  if (name == "check") return Check(progress);
  if (name == "check_remount") return CheckRemount(request);
  if (name == "remount") return Remount(request);
  if (name == "volume_io") return VolumeIo(request);
  return Error(ErrorCode::kNotSupported, "request", "unknown to this version");
}

Result<Json> MountRequests::Info() {
  const fs::FileSystemInfo info = TRY(mount_.file_system().Info());
  const fs::FileSystemUsage usage = TRY(mount_.file_system().Statfs());
  Json json = InfoToJson(uri_, mount_.claimed_store(), info, usage);
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
  Json report = TRY(CheckToJson(mount_.claimed_store(), uri_, options));
  // Of what is just being written, it cannot be told.
  report["missing_bytes"] = nullptr;
  return report;
}

Result<Json> MountRequests::CheckRemount(const Json& request) {
  const auto texts = request.find("options");
  if (texts == request.end() || !texts->is_array()) {
    return Error(ErrorCode::kInvalid, "remount", "options are missing");
  }
  MountOptions wanted = options_;
  for (const Json& text : *texts) {
    if (!text.is_string()) return Error(ErrorCode::kInvalid, "remount", "options are no text");
    TRY(ParseMountOptions(text.get<std::string>(), wanted));
  }
  const std::vector<std::string_view> differences = FixedDifferences(options_, wanted);
  if (differences.empty()) return Json::object();
  std::string names;
  for (std::string_view name : differences) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", name);
  }
  return Explained(ErrorCode::kNotSupported, Escaped(mount_point_),
                   fmt::format("a remount changes ro and rw, not {}", names),
                   "unmount and mount it with the new options");
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

Result<Json> MountRequests::VolumeIo(const Json& request) {
  ClaimedStore& store = mount_.claimed_store();
  if (!store.Io()) {
    return Explained(ErrorCode::kNotSupported, Escaped(mount_point_),
                     "the store lies on no volume, so that no I/O is scheduled",
                     "'tifs info' shows what it lies on");
  }
  std::vector<block::IoSetting> settings;
  if (const auto wanted = request.find("settings"); wanted != request.end()) {
    for (const auto& [name, value] : wanted->items()) {
      if (!value.is_string()) return Error(ErrorCode::kInvalid, "volume_io", "a value is no text");
      settings.emplace_back(name, value.get<std::string>());
    }
  }
  if (Status changed = store.ChangeIo(settings); !changed) {
    // The detail is "WHY; WAY OUT".
    return ExplainedText(ErrorCode::kInvalid, fmt::format("{}: {}", Escaped(mount_point_),
                                                          Escaped(changed.error().detail())));
  }
  for (const auto& [name, value] : settings) {
    LogInfo("I/O of the volume: {}={}", Escaped(name), Escaped(value));
  }
  return VolumeIoToJson(*store.Io());
}

}  // namespace tifs::cli
