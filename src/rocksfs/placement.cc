#include "rocksfs/placement.h"

#include <algorithm>
#include <vector>

namespace tifs::rocksfs {
namespace {

bool IsManifest(std::string_view name) {
  constexpr std::string_view kPrefix = "MANIFEST-";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return false;
  name.remove_prefix(kPrefix.size());
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "000012.sst" of ".000012.sst.tmp" and of "000012.sst.trash".
std::string_view FinalName(std::string_view name) {
  for (const std::string_view suffix : {".tmp", ".trash"}) {
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    if (name.starts_with('.')) name.remove_prefix(1);
    break;
  }
  return name;
}

Result<std::string> Normalize(std::string_view path) {
  if (!path.starts_with('/')) {
    return Error(ErrorCode::kInvalid, "rocksfs", "a path must be absolute");
  }
  if (path.find('\0') != path.npos) return Error(ErrorCode::kInvalid, "rocksfs", "a NUL in a path");
  std::string normal;
  normal.reserve(path.size());
  while (!path.empty()) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      normal.resize(normal.empty() ? 0 : normal.rfind('/'));
    } else {
      normal += '/';
      normal += name;
    }
  }
  if (normal.empty()) normal = "/";
  return normal;
}

}  // namespace

bool IsTable(std::string_view path) {
  const std::string_view name = FinalName(path.substr(path.rfind('/') + 1));
  return name.ends_with(".sst") || name.ends_with(".ldb") || name.ends_with(".blob");
}

Side PlacementOf(std::string_view path) {
  if (IsTable(path)) return Side::kVolume;
  const std::string_view name = FinalName(path.substr(path.rfind('/') + 1));
  return IsManifest(name) ? Side::kVolume : Side::kBase;
}

Result<PathMap> PathMap::Make(std::string_view directory) {
  return PathMap(TRY(Normalize(directory)));
}

Result<SidePaths> PathMap::Map(std::string_view path) const {
  std::string normal = TRY(Normalize(path));
  if (directory_ == "/") return SidePaths{.base = normal, .volume = normal.substr(1)};
  if (normal == directory_) return SidePaths{.base = normal, .volume = ""};
  if (normal.starts_with(directory_) && normal[directory_.size()] == '/') {
    return SidePaths{.base = normal, .volume = normal.substr(directory_.size() + 1)};
  }
  if (normal == "/") return SidePaths{.base = directory_, .volume = ""};
  return SidePaths{.base = directory_ + normal, .volume = normal.substr(1)};
}

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return "";
  return path.substr(0, slash == 0 ? 1 : slash);
}

}  // namespace tifs::rocksfs
