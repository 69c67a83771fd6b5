#include "rocksfs/rocks_file_system.h"

#include <algorithm>
#include <utility>

#include "rocksfs/io_options.h"
#include "rocksfs/io_status.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// What RocksDB takes by itself with direct reads.
constexpr size_t kCompactionReadaheadBytes = 2 << 20;

bool IsMissing(const Error& error) {
  return error.code() == ErrorCode::kNotFound || error.code() == ErrorCode::kNotDirectory;
}

}  // namespace

Result<std::unique_ptr<RocksFileSystem>> RocksFileSystem::Open(
    std::shared_ptr<SharedVolume> volume, std::shared_ptr<rocksdb::FileSystem> base,
    RocksFileSystemOptions options) {
  PathMap map = TRY(PathMap::Make(options.base_directory));
  bool is_directory = false;
  const IOStatus found = base->IsDirectory(map.directory(), IOOptions(), &is_directory, nullptr);
  if (!found.ok() || !is_directory) {
    return Error(ErrorCode::kInvalid, "rocksfs",
                 "the base " + map.directory() + " is not a directory: " + found.ToString());
  }
  std::unique_ptr<RocksFileSystem> made(
      new RocksFileSystem(std::move(volume), std::move(base), std::move(map), std::move(options)));
  TRY(made->root_->Find());
  return made;
}

RocksFileSystem::RocksFileSystem(std::shared_ptr<SharedVolume> volume,
                                 std::shared_ptr<rocksdb::FileSystem> base, PathMap map,
                                 RocksFileSystemOptions options)
    : volume_(std::move(volume)),
      base_(std::move(base)),
      map_(std::move(map)),
      uri_(std::move(options.uri)),
      root_(std::make_shared<VolumeRoot>(volume_, std::move(options.root))),
      counter_(std::make_shared<block::IoCounter>()),
      reads_(std::make_shared<AsyncReads>(volume_->volume().device(), counter_)) {}

RocksFileSystem::~RocksFileSystem() = default;

std::string RocksFileSystem::GetId() const { return uri_.empty() ? kName : uri_; }

rocksdb::Status RocksFileSystem::ConfigureOptions(
    const rocksdb::ConfigOptions& config,
    const std::unordered_map<std::string, std::string>& settings,
    std::unordered_map<std::string, std::string>* unused) {
  std::unordered_map<std::string, std::string> others;
  for (const auto& [name, value] : settings) {
    if (!IsPieceOfUri(uri_, name, value)) others.emplace(name, value);
  }
  if (rocksdb::Status taken = TakeIoSettings(*volume_, others); !taken.ok()) return taken;
  return FileSystem::ConfigureOptions(config, others, unused);
}

rocksdb::Status RocksFileSystem::GetOption(const rocksdb::ConfigOptions& config,
                                           const std::string& name, std::string* value) const {
  if (GetIoOption(*volume_, *counter_, name, value)) return rocksdb::Status::OK();
  return FileSystem::GetOption(config, name, value);
}

IOStatus RocksFileSystem::MapToBase(const std::vector<std::string>& paths,
                                    std::vector<std::string>* on_base) const {
  for (const std::string& path : paths) {
    const Result<Place> place = PlaceOf(path);
    if (!place) return ToIOStatus(place, path);
    on_base->push_back(place->paths.base);
  }
  return IOStatus::OK();
}

rocksdb::Status RocksFileSystem::RegisterDbPaths(const std::vector<std::string>& paths) {
  std::vector<std::string> on_base;
  if (IOStatus status = MapToBase(paths, &on_base); !status.ok()) return status;
  return base_->RegisterDbPaths(on_base);
}

rocksdb::Status RocksFileSystem::UnregisterDbPaths(const std::vector<std::string>& paths) {
  std::vector<std::string> on_base;
  if (IOStatus status = MapToBase(paths, &on_base); !status.ok()) return status;
  return base_->UnregisterDbPaths(on_base);
}

// --- both sides of a name ---

Result<RocksFileSystem::Place> RocksFileSystem::PlaceOf(const std::string& path) const {
  Place place;
  if (path.starts_with('/')) {
    place.paths = TRY(map_.Map(path));
  } else {
    std::string absolute;
    const IOStatus status = base_->GetAbsolutePath(path, IOOptions(), &absolute, nullptr);
    if (!status.ok()) return Error(ErrorCode::kInvalid, "rocksfs", status.ToString());
    place.paths = TRY(map_.Map(absolute));
  }
  place.root = TRY(root_->Find());
  return place;
}

Result<RocksFileSystem::Found> RocksFileSystem::Look(const Place& place) const {
  if (place.root == nullptr) return Found();
  Result<volume::FileStat> stat = place.root->Stat(place.paths.volume);
  if (stat) return Found(*stat);
  if (IsMissing(stat.error())) return Found();
  return std::move(stat).error();
}

IOStatus RocksFileSystem::Locate(const std::string& path, Place* place, Found* found) const {
  Result<Place> there = PlaceOf(path);
  if (!there) return ToIOStatus(there, path);
  *place = *std::move(there);
  const Result<Found> looked = Look(*place);
  if (!looked) return ToIOStatus(looked, path);
  *found = *looked;
  return IOStatus::OK();
}

bool RocksFileSystem::OpensOnBase(const std::string& path, const Place& place, const Found& found,
                                  IODebugContext* debug) const {
  return !found && (PlacementOf(path) == Side::kBase ||
                    base_->FileExists(place.paths.base, IOOptions(), debug).ok());
}

bool RocksFileSystem::IsBaseDirectory(const std::string& base_path) const {
  bool is_directory = false;
  return base_->IsDirectory(base_path, IOOptions(), &is_directory, nullptr).ok() && is_directory;
}

Result<std::unique_ptr<volume::File>> RocksFileSystem::OpenOnVolume(const SidePaths& paths,
                                                                    volume::OpenMode mode) {
  return WithParents(paths, [&](volume::Root& root) { return root.Open(paths.volume, mode); });
}

Result<std::unique_ptr<volume::File>> RocksFileSystem::CreateOnVolume(const SidePaths& paths) {
  while (true) {
    auto file = OpenOnVolume(paths, {.write = true, .create = true, .exclusive = true});
    if (file || file.error().code() != ErrorCode::kExists) return file;
    const Status removed = TRY(root_->Make())->Unlink(paths.volume);
    if (!removed && removed.error().code() != ErrorCode::kNotFound) {
      return std::move(removed).error().Clone();
    }
  }
}

VolumeFile RocksFileSystem::Wrap(std::unique_ptr<volume::File> file,
                                 const std::string& path) const {
  return {.volume = volume_, .file = std::move(file), .path = path, .counter = counter_};
}

// --- files ---

template <typename OnVolume, typename OnBase>
IOStatus RocksFileSystem::OpenToRead(const std::string& path, OnVolume on_volume, OnBase on_base) {
  IOStatus missing;
  // A file that moves from the base to the volume may be missed on both; not a second time.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Result<Place> place = PlaceOf(path);
    if (!place) return ToIOStatus(place, path);
    if (place->root != nullptr) {
      auto file = place->root->Open(place->paths.volume, {});
      if (file) {
        on_volume(Wrap(*std::move(file), path));
        return IOStatus::OK();
      }
      if (!IsMissing(file.error())) return ToIOStatus(file, path);
    }
    missing = on_base(place->paths.base);
    if (!rocksfs::IsMissing(missing)) return missing;
  }
  return missing;
}

IOStatus RocksFileSystem::NewSequentialFile(const std::string& path, const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                            IODebugContext* debug) {
  result->reset();
  return OpenToRead(
      path,
      [&](VolumeFile file) { *result = rocksfs::NewSequentialFile(std::move(file), options); },
      [&](const std::string& on_base) {
        return base_->NewSequentialFile(on_base, options, result, debug);
      });
}

IOStatus RocksFileSystem::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                              std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                              IODebugContext* debug) {
  result->reset();
  return OpenToRead(
      path,
      [&](VolumeFile file) {
        *result = rocksfs::NewRandomAccessFile(std::move(file), reads_, options);
      },
      [&](const std::string& on_base) {
        std::unique_ptr<rocksdb::FSRandomAccessFile> file;
        IOStatus status = base_->NewRandomAccessFile(on_base, options, &file, debug);
        if (status.ok()) *result = WrapBaseFile(std::move(file));
        return status;
      });
}

IOStatus RocksFileSystem::NewWritableFile(const std::string& path, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          IODebugContext* debug) {
  result->reset();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (PlacementOf(path) == Side::kBase) {
    if (found) {
      const Status removed = place.root->Unlink(place.paths.volume);
      if (!removed) return ToIOStatus(removed, path);
    }
    return base_->NewWritableFile(place.paths.base, options, result, debug);
  }
  auto file = CreateOnVolume(place.paths);
  if (!file) return ToIOStatus(file, path);
  if (IOStatus status = RemoveHiddenCopy(place.paths.base); !status.ok()) return status;
  *result = rocksfs::NewWritableFile(Wrap(*std::move(file), path), options);
  return IOStatus::OK();
}

IOStatus RocksFileSystem::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                                             IODebugContext* debug) {
  result->reset();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (OpensOnBase(path, place, found, debug)) {
    return base_->ReopenWritableFile(place.paths.base, options, result, debug);
  }
  auto file = OpenOnVolume(place.paths, {.write = true, .create = true});
  if (!file) return ToIOStatus(file, path);
  *result = rocksfs::NewWritableFile(Wrap(*std::move(file), path), options);
  return IOStatus::OK();
}

IOStatus RocksFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                            const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSWritableFile>* result,
                                            IODebugContext* debug) {
  result->reset();
  Place from, to;
  Found from_found, to_found;
  if (IOStatus status = Locate(old_path, &from, &from_found); !status.ok()) return status;
  if (IOStatus status = Locate(path, &to, &to_found); !status.ok()) return status;
  if (!from_found && !to_found) {
    return base_->ReuseWritableFile(to.paths.base, from.paths.base, options, result, debug);
  }
  // On the volume nothing is gained by old blocks, which must never be read again.
  if (IOStatus status = RenameFile(old_path, path, options.io_options, debug); !status.ok()) {
    return status;
  }
  return NewWritableFile(path, options, result, debug);
}

IOStatus RocksFileSystem::NewRandomRWFile(const std::string& path, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                          IODebugContext* debug) {
  result->reset();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (OpensOnBase(path, place, found, debug)) {
    return base_->NewRandomRWFile(place.paths.base, options, result, debug);
  }
  auto file = OpenOnVolume(place.paths, {.write = true, .create = true});
  if (!file) return ToIOStatus(file, path);
  *result = NewRandomRwFile(Wrap(*std::move(file), path));
  return IOStatus::OK();
}

IOStatus RocksFileSystem::NewMemoryMappedFileBuffer(
    const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) {
  result->reset();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (found) return IOStatus::NotSupported("a file on a volume cannot be mapped");
  return base_->NewMemoryMappedFileBuffer(place.paths.base, result);
}

IOStatus RocksFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<rocksdb::FSDirectory>* result,
                                       IODebugContext* debug) {
  result->reset();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (found && found->kind != volume::InodeKind::kDirectory) {
    return ToIOStatus(Error(ErrorCode::kNotDirectory, "open directory"), path);
  }
  std::unique_ptr<rocksdb::FSDirectory> on_base;
  IOStatus status = base_->NewDirectory(place.paths.base, options, &on_base, debug);
  if (!status.ok() && !(found && rocksfs::IsMissing(status))) return status;
  *result = rocksfs::NewDirectory(root_, std::move(on_base), path);
  return IOStatus::OK();
}

IOStatus RocksFileSystem::Poll(std::vector<void*>& handles, size_t) {
  for (void* handle : handles) {
    if (handle != nullptr) AsyncReads::Wait(*static_cast<ReadHandle*>(handle));
  }
  return IOStatus::OK();
}

IOStatus RocksFileSystem::AbortIO(std::vector<void*>& handles) {
  for (void* handle : handles) {
    if (handle != nullptr) AsyncReads::Abort(*static_cast<ReadHandle*>(handle));
  }
  return IOStatus::OK();
}

// --- the rest ---

IOStatus RocksFileSystem::GetTestDirectory(const IOOptions& options, std::string* path,
                                           IODebugContext* debug) {
  *path = map_.directory() == "/" ? "/tmp/rocksdb-test" : map_.directory() + "/rocksdb-test";
  return CreateDirIfMissing(*path, options, debug);
}

IOStatus RocksFileSystem::NewLogger(const std::string& path, const IOOptions& options,
                                    std::shared_ptr<rocksdb::Logger>* result,
                                    IODebugContext* debug) {
  const Result<Place> place = PlaceOf(path);
  if (!place) return ToIOStatus(place, path);
  return base_->NewLogger(place->paths.base, options, result, debug);
}

IOStatus RocksFileSystem::GetAbsolutePath(const std::string& path, const IOOptions& options,
                                          std::string* absolute, IODebugContext* debug) {
  return base_->GetAbsolutePath(path, options, absolute, debug);
}

void RocksFileSystem::SanitizeFileOptions(FileOptions* options) const {
  base_->SanitizeFileOptions(options);
}

FileOptions RocksFileSystem::OptimizeForLogRead(const FileOptions& options) const {
  return base_->OptimizeForLogRead(options);
}

FileOptions RocksFileSystem::OptimizeForManifestRead(const FileOptions& options) const {
  return base_->OptimizeForManifestRead(options);
}

FileOptions RocksFileSystem::OptimizeForLogWrite(const FileOptions& options,
                                                 const rocksdb::DBOptions& db_options) const {
  return base_->OptimizeForLogWrite(options, db_options);
}

FileOptions RocksFileSystem::OptimizeForManifestWrite(const FileOptions& options) const {
  return base_->OptimizeForManifestWrite(options);
}

FileOptions RocksFileSystem::OptimizeForCompactionTableWrite(
    const FileOptions& options, const rocksdb::ImmutableDBOptions& db_options) const {
  FileOptions optimized = base_->OptimizeForCompactionTableWrite(options, db_options);
  // The file gathers them in aligned memory anyway, and 64 KiB are still in the processor's cache.
  optimized.writable_file_max_buffer_size =
      std::min<size_t>(optimized.writable_file_max_buffer_size, 64 << 10);
  return optimized;
}

FileOptions RocksFileSystem::OptimizeForCompactionTableRead(
    const FileOptions& options, const rocksdb::ImmutableDBOptions& db_options) const {
  FileOptions optimized = base_->OptimizeForCompactionTableRead(options, db_options);
  if (optimized.compaction_readahead_size == 0) {
    optimized.compaction_readahead_size = kCompactionReadaheadBytes;
  }
  return optimized;
}

FileOptions RocksFileSystem::OptimizeForBlobFileRead(
    const FileOptions& options, const rocksdb::ImmutableDBOptions& db_options) const {
  return base_->OptimizeForBlobFileRead(options, db_options);
}

}  // namespace tifs::rocksfs
