#include "cli/volume_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "cli/output.h"
#include "cli/store_directory.h"
#include "cli/uri.h"
#include "volume/volume_format.h"

namespace tifs::cli {
namespace {

constexpr std::string_view kFileName = "tifs.volume";
constexpr size_t kMaxBytes = 64 << 10;

bool TakeString(const Json& json, const char* key, std::string& value) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return false;
  value = found->get<std::string>();
  return true;
}

bool TakeBool(const Json& json, const char* key, bool& value) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_boolean()) return false;
  value = found->get<bool>();
  return true;
}

std::string ToText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json Parse(const std::string& text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

Result<std::optional<VolumeRecord>> ReadVolumeRecord(const std::string& directory) {
  const std::string path = directory + "/" + std::string(kFileName);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<VolumeRecord>();
    return ErrorFromErrno(errno, "open tifs.volume");
  }
  std::string text(kMaxBytes, '\0');
  const ssize_t length = ::read(fd, text.data(), text.size());
  const int error = errno;
  ::close(fd);
  if (length < 0) return ErrorFromErrno(error, "read tifs.volume");
  text.resize(static_cast<size_t>(length));
  const Json json = Parse(text);
  VolumeRecord record;
  if (json.is_object() && TakeString(json, "uuid", record.uuid) &&
      TakeString(json, "name", record.name) && TakeString(json, "root", record.root) &&
      TakeString(json, "device", record.device) && TakeString(json, "store", record.store) &&
      TakeBool(json, "formatted", record.formatted) && volume::IsValidRootName(record.root)) {
    return std::optional(std::move(record));
  }
  return Error(ErrorCode::kCorrupt, "store", "the file 'tifs.volume' makes no sense");
}

Status WriteVolumeRecord(const std::string& directory, const VolumeRecord& record) {
  return ReplaceStoreFile(directory, kFileName,
                          ToText({{"uuid", record.uuid},
                                  {"name", record.name},
                                  {"root", record.root},
                                  {"device", record.device},
                                  {"store", record.store},
                                  {"formatted", record.formatted}}));
}

Status RemoveVolumeRecord(const std::string& directory) {
  return RemoveStoreFile(directory, kFileName);
}

std::string VolumeText(const VolumeRecord& record) {
  const std::string name =
      record.name.empty() ? std::string() : fmt::format(" '{}'", Escaped(record.name));
  return fmt::format("the volume{} (UUID {}, last at {})", name, Escaped(record.uuid),
                     Escaped(record.device));
}

std::string VolumeQuery(const VolumeRecord& record) {
  return fmt::format("volume={}&root={}", EncodeQueryValue(record.device), record.root);
}

std::string EncodeRootRecord(const RootRecord& record) {
  return ToText({{"tifs", "embedded store"},
                 {"layout", 1},
                 {"store", record.store},
                 {"directory", record.directory},
                 {"formatted", record.formatted}});
}

std::optional<RootRecord> DecodeRootRecord(const std::string& text) {
  const Json json = Parse(text);
  RootRecord record;
  std::string kind;
  if (json.is_object() && TakeString(json, "tifs", kind) && kind == "embedded store" &&
      TakeString(json, "store", record.store) && TakeString(json, "directory", record.directory) &&
      TakeBool(json, "formatted", record.formatted)) {
    return record;
  }
  return std::nullopt;
}

}  // namespace tifs::cli
