#include "rocksfs/volume_uri.h"

#include <algorithm>

#include "base/coding.h"
#include "block/device_name.h"

namespace tifs::rocksfs {
namespace {

constexpr std::string_view kForm = "; its form is tifs-volume://DEVICE?root=NAME&base=DIR";

Error Wrong(std::string_view what, std::string_view text = {}) {
  std::string detail(what);
  if (!text.empty()) detail += " \"" + EscapeForLog(text) + "\"";
  return Error(ErrorCode::kInvalid, "volume URI", detail.append(kForm));
}

Status SetParameter(VolumeUri& uri, std::string_view parameter) {
  const size_t equals = parameter.find('=');
  const std::string_view name = parameter.substr(0, equals);
  if (name != "root" && name != "base" && name != "scheduler")
    return Wrong("unknown parameter", name);
  if (equals == parameter.npos) return Wrong("no value for", name);
  std::string value = TRY(block::DecodeDeviceParameter(parameter.substr(equals + 1)));
  if (value.empty()) return Wrong("an empty value for", name);
  if (name == "scheduler") {
    if (value != "on" && value != "off") return Wrong("the scheduler is on or off, not", value);
    uri.scheduler = value == "on";
    return {};
  }
  (name == "root" ? uri.root : uri.base) = std::move(value);
  return {};
}

}  // namespace

Result<VolumeUri> ParseVolumeUri(std::string_view text) {
  if (!text.starts_with(VolumeUri::kScheme)) return Wrong("this is no volume", text);
  text.remove_prefix(VolumeUri::kScheme.size());
  const size_t question = std::min(text.find('?'), text.size());
  VolumeUri uri{.device = std::string(text.substr(0, question)), .root = ""};
  TRY(block::ParseDeviceName(uri.device));
  text.remove_prefix(std::min(question + 1, text.size()));
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    TRY(SetParameter(uri, text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (uri.root.empty()) return Wrong("no root");
  if (!uri.base.starts_with('/')) return Wrong("the base must be an absolute path, not", uri.base);
  return uri;
}

}  // namespace tifs::rocksfs
