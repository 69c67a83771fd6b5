#include "rocksfs/registry.h"

#include <rocksdb/file_system.h>
#include <rocksdb/utilities/object_registry.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "block/io_settings.h"
#include "rocksfs/rocks_file_system.h"
#include "rocksfs/several_volumes.h"
#include "rocksfs/shared_volume.h"
#include "rocksfs/volume_uri.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FileSystem;
using rocksdb::ObjectLibrary;

Result<std::unique_ptr<FileSystem>> OpenByUri(OpenVolumes& volumes, const std::string& text) {
  const VolumeUri uri = TRY(ParseVolumeUri(text));
  auto volume = TRY(volumes.Open(uri.device));
  TRY(block::ApplyIoSettings(*volume->scheduler(), uri.settings));
  const auto open = [&](std::shared_ptr<SharedVolume> on, const std::string& root) {
    return RocksFileSystem::Open(std::move(on), FileSystem::Default(),
                                 {.root = root, .base_directory = uri.base, .uri = text});
  };
  auto first = TRY(open(std::move(volume), uri.root));
  if (uri.below.empty()) return std::unique_ptr<FileSystem>(std::move(first));
  std::vector<SeveralVolumes::Part> parts;
  for (const VolumeBelow& below : uri.below) {
    auto part = TRY(open(TRY(volumes.Open(below.device)), below.root));
    parts.push_back({.path = below.path, .file_system = std::move(part)});
  }
  return std::unique_ptr<FileSystem>(
      TRY(SeveralVolumes::Make(std::move(first), std::move(parts), text)));
}

}  // namespace

int RegisterVolumeFileSystem(ObjectLibrary& library, std::shared_ptr<OpenVolumes> volumes) {
  std::vector<std::string> names;
  library.GetFactoryNames(FileSystem::Type(), &names);
  if (std::find(names.begin(), names.end(), RocksFileSystem::kName) != names.end()) return 0;
  library.AddFactory<FileSystem>(
      ObjectLibrary::PatternEntry(RocksFileSystem::kName, false).AddSeparator("://"),
      [volumes = std::move(volumes)](const std::string& uri, std::unique_ptr<FileSystem>* guard,
                                     std::string* message) -> FileSystem* {
        auto opened = OpenByUri(*volumes, uri);
        if (!opened) {
          *message = opened.error().ToString();
          return nullptr;
        }
        *guard = *std::move(opened);
        return guard->get();
      });
  return 1;
}

}  // namespace tifs::rocksfs

int tifs_register_volume_file_system() {
  return tifs::rocksfs::RegisterVolumeFileSystem(*rocksdb::ObjectLibrary::Default(),
                                                 std::make_shared<tifs::rocksfs::OpenVolumes>());
}

int tifs_register_rocksdb_plugin(rocksdb::ObjectLibrary& library, const std::string&) {
  return tifs::rocksfs::RegisterVolumeFileSystem(library,
                                                 std::make_shared<tifs::rocksfs::OpenVolumes>());
}
