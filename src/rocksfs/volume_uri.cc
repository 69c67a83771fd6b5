#include "rocksfs/volume_uri.h"

#include <algorithm>
#include <utility>

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

// The value of one that may be named once.
Status SetOnce(std::string_view name, std::string value, std::string& member) {
  if (!member.empty()) return Wrong("there twice:", name);
  member = std::move(value);
  return {};
}

Status SetOfPart(VolumeBelow& part, std::string_view name, std::string value) {
  if (name == "root") return SetOnce(name, std::move(value), part.root);
  if (name != "volume") return Wrong("this is none of the parameters after 'at':", name);
  TRY(block::ParseDeviceName(value));
  return SetOnce(name, std::move(value), part.device);
}

Status SetParameter(VolumeUri& uri, std::string_view parameter) {
  const size_t equals = parameter.find('=');
  const std::string_view name = parameter.substr(0, equals);
  const bool is_setting = block::IsIoSetting(name);
  const bool is_known =
      name == "root" || name == "base" || name == "at" || name == "volume" || is_setting;
  if (!is_known) return Wrong("unknown parameter", name);
  if (equals == parameter.npos) return Wrong("no value for", name);
  std::string value = TRY(block::DecodeDeviceParameter(parameter.substr(equals + 1)));
  if (value.empty()) return Wrong("an empty value for", name);
  if (name == "at") {
    if (!value.starts_with('/')) return Wrong("'at' takes an absolute path, not", value);
    uri.below.push_back({.path = std::move(value), .device = "", .root = ""});
    return {};
  }
  if (!uri.below.empty()) return SetOfPart(uri.below.back(), name, std::move(value));
  if (is_setting) {
    uri.settings.emplace_back(name, std::move(value));
    return {};
  }
  if (name == "volume") return Wrong("'volume' follows 'at=PATH'");
  return SetOnce(name, std::move(value), name == "root" ? uri.root : uri.base);
}

Status CheckParts(VolumeUri& uri) {
  for (VolumeBelow& part : uri.below) {
    if (part.device.empty()) return Wrong("no volume for the part at", part.path);
    if (part.root.empty()) part.root = uri.root;
    const auto same = std::ranges::count(uri.below, part.path, &VolumeBelow::path);
    if (same != 1) return Wrong("there twice: the part at", part.path);
  }
  return {};
}

}  // namespace

Result<VolumeUri> ParseVolumeUri(std::string_view text) {
  if (!text.starts_with(VolumeUri::kScheme)) return Wrong("this is no volume", text);
  text.remove_prefix(VolumeUri::kScheme.size());
  const size_t question = std::min(text.find('?'), text.size());
  VolumeUri uri;
  uri.device = text.substr(0, question);
  uri.base.clear();
  TRY(block::ParseDeviceName(uri.device));
  text.remove_prefix(std::min(question + 1, text.size()));
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    TRY(SetParameter(uri, text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (uri.root.empty()) return Wrong("no root");
  if (uri.base.empty()) uri.base = "/";
  if (!uri.base.starts_with('/')) return Wrong("the base must be an absolute path, not", uri.base);
  TRY(CheckParts(uri));
  return uri;
}

}  // namespace tifs::rocksfs
