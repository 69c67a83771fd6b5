#include "rocksfs/several_volumes.h"

#include <algorithm>
#include <map>
#include <utility>

#include "block/io_settings.h"
#include "rocksfs/io_options.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

bool IsInOrBelow(const std::string& path, const std::string& directory) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

Error BadPart(const std::string& path, const std::string& why) {
  return Error(ErrorCode::kInvalid, "volume URI", "the part at " + path + " " + why);
}

// "compaction.weight" and "/slow" of "compaction.weight@/slow".
std::pair<std::string, std::string> SplitAt(const std::string& name) {
  const size_t at = name.find('@');
  if (at == name.npos) return {name, ""};
  return {name.substr(0, at), name.substr(at + 1)};
}

}  // namespace

Result<std::unique_ptr<SeveralVolumes>> SeveralVolumes::Make(std::shared_ptr<RocksFileSystem> first,
                                                             std::vector<Part> parts,
                                                             std::string uri) {
  std::vector<std::string> known = {first->map().directory()};
  for (Part& part : parts) {
    const std::string given = std::exchange(part.path, TRY(first->map().Map(part.path)).base);
    if (part.file_system->map().directory() != first->map().directory()) {
      return BadPart(given, "has another base");
    }
    if (std::ranges::find(known, part.path) != known.end()) {
      return BadPart(given, "is the whole tree, or another part");
    }
    known.push_back(part.path);
  }
  std::ranges::sort(parts, std::ranges::greater(),
                    [](const Part& part) { return part.path.size(); });
  return std::unique_ptr<SeveralVolumes>(
      new SeveralVolumes(std::move(first), std::move(parts), std::move(uri)));
}

SeveralVolumes::SeveralVolumes(std::shared_ptr<RocksFileSystem> first, std::vector<Part> parts,
                               std::string uri)
    : FileSystemWrapper(first),
      first_(std::move(first)),
      parts_(std::move(parts)),
      uri_(std::move(uri)) {}

std::string SeveralVolumes::BasePathOf(const std::string& path) const {
  std::string absolute = path;
  if (!path.starts_with('/')) {
    if (!first_->GetAbsolutePath(path, IOOptions(), &absolute, nullptr).ok()) return "";
  }
  const Result<SidePaths> paths = first_->map().Map(absolute);
  return paths ? paths->base : "";
}

RocksFileSystem& SeveralVolumes::Of(const std::string& path) const {
  const std::string on_base = BasePathOf(path);
  for (const Part& part : parts_) {
    if (IsInOrBelow(on_base, part.path)) return *part.file_system;
  }
  return *first_;
}

bool SeveralVolumes::HoldsParts(const std::string& path) const {
  const std::string on_base = BasePathOf(path);
  return std::ranges::any_of(parts_,
                             [&](const Part& part) { return IsInOrBelow(part.path, on_base); });
}

// --- options ---

rocksdb::Status SeveralVolumes::ConfigureOptions(
    const rocksdb::ConfigOptions& config,
    const std::unordered_map<std::string, std::string>& settings,
    std::unordered_map<std::string, std::string>* unused) {
  std::unordered_map<std::string, std::string> others;
  std::map<RocksFileSystem*, std::unordered_map<std::string, std::string>> by_volume;
  for (const auto& [name, value] : settings) {
    if (IsPieceOfUri(uri_, name, value)) continue;
    const auto [setting, path] = SplitAt(name);
    if (block::IsIoSetting(setting)) {
      by_volume[path.empty() ? first_.get() : &Of(path)].emplace(setting, value);
    } else {
      others.emplace(name, value);
    }
  }
  for (auto& [file_system, its] : by_volume) {
    rocksdb::Status taken = TakeIoSettings(file_system->volume(), its);
    if (!taken.ok()) return taken;
  }
  return FileSystem::ConfigureOptions(config, others, unused);
}

rocksdb::Status SeveralVolumes::GetOption(const rocksdb::ConfigOptions& config,
                                          const std::string& name, std::string* value) const {
  const auto [option, path] = SplitAt(name);
  const RocksFileSystem& file_system = path.empty() ? *first_ : Of(path);
  if (GetIoOption(file_system.volume(), file_system.counter(), option, value)) {
    return rocksdb::Status::OK();
  }
  return FileSystem::GetOption(config, name, value);
}

rocksdb::Status SeveralVolumes::RegisterDbPaths(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (rocksdb::Status status = Of(path).RegisterDbPaths({path}); !status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

rocksdb::Status SeveralVolumes::UnregisterDbPaths(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (rocksdb::Status status = Of(path).UnregisterDbPaths({path}); !status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

// --- by one path ---

IOStatus SeveralVolumes::NewSequentialFile(const std::string& path, const FileOptions& options,
                                           std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                           IODebugContext* debug) {
  return Of(path).NewSequentialFile(path, options, result, debug);
}

IOStatus SeveralVolumes::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                             IODebugContext* debug) {
  return Of(path).NewRandomAccessFile(path, options, result, debug);
}

IOStatus SeveralVolumes::NewWritableFile(const std::string& path, const FileOptions& options,
                                         std::unique_ptr<rocksdb::FSWritableFile>* result,
                                         IODebugContext* debug) {
  return Of(path).NewWritableFile(path, options, result, debug);
}

IOStatus SeveralVolumes::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSWritableFile>* result,
                                            IODebugContext* debug) {
  return Of(path).ReopenWritableFile(path, options, result, debug);
}

IOStatus SeveralVolumes::NewRandomRWFile(const std::string& path, const FileOptions& options,
                                         std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                         IODebugContext* debug) {
  return Of(path).NewRandomRWFile(path, options, result, debug);
}

IOStatus SeveralVolumes::NewMemoryMappedFileBuffer(
    const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) {
  return Of(path).NewMemoryMappedFileBuffer(path, result);
}

IOStatus SeveralVolumes::NewDirectory(const std::string& path, const IOOptions& options,
                                      std::unique_ptr<rocksdb::FSDirectory>* result,
                                      IODebugContext* debug) {
  return Of(path).NewDirectory(path, options, result, debug);
}

IOStatus SeveralVolumes::FileExists(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  return Of(path).FileExists(path, options, debug);
}

IOStatus SeveralVolumes::DeleteFile(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  return Of(path).DeleteFile(path, options, debug);
}

IOStatus SeveralVolumes::CreateDir(const std::string& path, const IOOptions& options,
                                   IODebugContext* debug) {
  return Of(path).CreateDir(path, options, debug);
}

IOStatus SeveralVolumes::CreateDirIfMissing(const std::string& path, const IOOptions& options,
                                            IODebugContext* debug) {
  return Of(path).CreateDirIfMissing(path, options, debug);
}

IOStatus SeveralVolumes::GetChildren(const std::string& path, const IOOptions& options,
                                     std::vector<std::string>* result, IODebugContext* debug) {
  return Of(path).GetChildren(path, options, result, debug);
}

IOStatus SeveralVolumes::GetChildrenFileAttributes(const std::string& path,
                                                   const IOOptions& options,
                                                   std::vector<rocksdb::FileAttributes>* result,
                                                   IODebugContext* debug) {
  return Of(path).GetChildrenFileAttributes(path, options, result, debug);
}

IOStatus SeveralVolumes::LockFile(const std::string& path, const IOOptions& options,
                                  rocksdb::FileLock** lock, IODebugContext* debug) {
  return Of(path).LockFile(path, options, lock, debug);
}

IOStatus SeveralVolumes::Truncate(const std::string& path, size_t size, const IOOptions& options,
                                  IODebugContext* debug) {
  return Of(path).Truncate(path, size, options, debug);
}

IOStatus SeveralVolumes::GetFileSize(const std::string& path, const IOOptions& options,
                                     uint64_t* size, IODebugContext* debug) {
  return Of(path).GetFileSize(path, options, size, debug);
}

IOStatus SeveralVolumes::GetFileModificationTime(const std::string& path, const IOOptions& options,
                                                 uint64_t* seconds, IODebugContext* debug) {
  return Of(path).GetFileModificationTime(path, options, seconds, debug);
}

IOStatus SeveralVolumes::NumFileLinks(const std::string& path, const IOOptions& options,
                                      uint64_t* count, IODebugContext* debug) {
  return Of(path).NumFileLinks(path, options, count, debug);
}

IOStatus SeveralVolumes::IsDirectory(const std::string& path, const IOOptions& options,
                                     bool* is_directory, IODebugContext* debug) {
  return Of(path).IsDirectory(path, options, is_directory, debug);
}

IOStatus SeveralVolumes::GetFreeSpace(const std::string& path, const IOOptions& options,
                                      uint64_t* free_bytes, IODebugContext* debug) {
  return Of(path).GetFreeSpace(path, options, free_bytes, debug);
}

// A lock knows its volume.
IOStatus SeveralVolumes::UnlockFile(rocksdb::FileLock* lock, const IOOptions& options,
                                    IODebugContext* debug) {
  return first_->UnlockFile(lock, options, debug);
}

IOStatus SeveralVolumes::DeleteDir(const std::string& path, const IOOptions& options,
                                   IODebugContext* debug) {
  return Of(path).DeleteDir(path, options, debug);
}

// --- by two ---

IOStatus SeveralVolumes::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                           const FileOptions& options,
                                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                                           IODebugContext* debug) {
  if (&Of(path) != &Of(old_path)) return IOStatus::NotSupported("on two volumes");
  return Of(path).ReuseWritableFile(path, old_path, options, result, debug);
}

IOStatus SeveralVolumes::RenameFile(const std::string& from, const std::string& to,
                                    const IOOptions& options, IODebugContext* debug) {
  if (&Of(from) != &Of(to)) return IOStatus::NotSupported("on two volumes");
  if (HoldsParts(from) || HoldsParts(to)) {
    return IOStatus::NotSupported("the directory has parts on another volume");
  }
  return Of(from).RenameFile(from, to, options, debug);
}

IOStatus SeveralVolumes::LinkFile(const std::string& from, const std::string& to,
                                  const IOOptions& options, IODebugContext* debug) {
  if (&Of(from) != &Of(to)) return IOStatus::NotSupported("on two volumes");
  return Of(from).LinkFile(from, to, options, debug);
}

IOStatus SeveralVolumes::AreFilesSame(const std::string& first, const std::string& second,
                                      const IOOptions& options, bool* same, IODebugContext* debug) {
  if (&Of(first) == &Of(second)) return Of(first).AreFilesSame(first, second, options, same, debug);
  *same = false;
  // As with one file system, both must be there.
  IOStatus status = FileExists(first, options, debug);
  return status.ok() ? FileExists(second, options, debug) : status;
}

}  // namespace tifs::rocksfs
