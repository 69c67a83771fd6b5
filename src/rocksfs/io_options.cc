#include "rocksfs/io_options.h"

#include <vector>

#include "block/io_settings.h"

namespace tifs::rocksfs {

bool IsPieceOfUri(const std::string& uri, const std::string& name, const std::string& value) {
  return !uri.empty() && name + "=" + value == uri;
}

rocksdb::Status TakeIoSettings(SharedVolume& volume,
                               std::unordered_map<std::string, std::string>& options) {
  std::vector<block::IoSetting> settings;
  for (const auto& [name, value] : options) {
    if (block::IsIoSetting(name)) settings.emplace_back(name, value);
  }
  if (settings.empty()) return rocksdb::Status::OK();
  if (volume.scheduler() == nullptr) {
    return rocksdb::Status::NotSupported("the I/O of this volume is not scheduled");
  }
  const Status applied = block::ApplyIoSettings(*volume.scheduler(), settings);
  if (!applied) return rocksdb::Status::InvalidArgument(std::string(applied.error().detail()));
  for (const auto& [name, value] : settings) options.erase(name);
  return rocksdb::Status::OK();
}

bool GetIoOption(const SharedVolume& volume, const block::IoCounter& instance,
                 const std::string& name, std::string* value) {
  if (volume.scheduler() == nullptr) return false;
  if (name == "io") {
    *value = block::IoCountsText(volume.scheduler()->Counts(), instance);
    return true;
  }
  for (auto& [known, now] : block::ListIoSettings(volume.scheduler()->Settings())) {
    if (known != name) continue;
    *value = now;
    return true;
  }
  return false;
}

}  // namespace tifs::rocksfs
