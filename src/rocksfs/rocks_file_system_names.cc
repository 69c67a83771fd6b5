// Names and attributes on both sides, and the orders that rocks_file_system.h states.
#include <algorithm>
#include <set>
#include <utility>

#include "rocksfs/io_status.h"
#include "rocksfs/rocks_file_system.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

bool IsDirectoryStat(const std::optional<volume::FileStat>& found) {
  return found && found->kind == volume::InodeKind::kDirectory;
}

bool IsFileStat(const std::optional<volume::FileStat>& found) {
  return found && found->kind != volume::InodeKind::kDirectory;
}

IOStatus Refuse(ErrorCode code, const char* context, const std::string& path) {
  return ToIOStatus(Error(code, context), path);
}

// Both locks of a LOCK file: the base's, and the one within the process.
class BothLocks : public rocksdb::FileLock {
 public:
  BothLocks(std::shared_ptr<SharedVolume> volume, std::string name, rocksdb::FileLock* on_base)
      : volume(std::move(volume)), name(std::move(name)), on_base(on_base) {}
  ~BothLocks() override { volume->Unlock(name); }

  const std::shared_ptr<SharedVolume> volume;
  const std::string name;
  rocksdb::FileLock* const on_base;
};

}  // namespace

// --- the base's part ---

IOStatus RocksFileSystem::SyncBaseParent(const std::string& base_path) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  const std::string parent(ParentOf(base_path));
  IOStatus status = base_->NewDirectory(parent, IOOptions(), &directory, nullptr);
  if (!status.ok()) return rocksfs::IsMissing(status) ? IOStatus::OK() : status;
  status = directory->FsyncWithDirOptions(IOOptions(true), nullptr, rocksdb::DirFsyncOptions());
  const IOStatus closed = directory->Close(IOOptions(), nullptr);
  return !status.ok() || closed.IsNotSupported() ? status : closed;
}

IOStatus RocksFileSystem::RemoveHiddenCopy(const std::string& base_path) {
  IOStatus status = base_->DeleteFile(base_path, IOOptions(), nullptr);
  if (rocksfs::IsMissing(status)) return IOStatus::OK();
  return status.ok() ? SyncBaseParent(base_path) : status;
}

Status RocksFileSystem::CommitVolume() { return TRY(root_->Make())->SyncDirectory(""); }

// --- looking ---

IOStatus RocksFileSystem::FileExists(const std::string& path, const IOOptions& options,
                                     IODebugContext* debug) {
  IOStatus status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Place place;
    Found found;
    if (status = Locate(path, &place, &found); !status.ok()) return status;
    if (found) return IOStatus::OK();
    status = base_->FileExists(place.paths.base, options, debug);
    if (!rocksfs::IsMissing(status)) return status;
  }
  return IOStatus::NotFound();
}

IOStatus RocksFileSystem::GetChildren(const std::string& path, const IOOptions& options,
                                      std::vector<std::string>* result, IODebugContext* debug) {
  result->clear();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (IsFileStat(found)) return Refuse(ErrorCode::kNotDirectory, "list", path);
  // The base first: a file that moves meanwhile is listed once at least.
  IOStatus status = base_->GetChildren(place.paths.base, options, result, debug);
  if (!status.ok() && !(found && rocksfs::IsMissing(status))) return status;
  if (!found) return IOStatus::OK();
  const auto entries = place.root->List(place.paths.volume);
  if (!entries) return ToIOStatus(entries, path);
  const std::set<std::string> on_base(result->begin(), result->end());
  for (const volume::DirectoryEntry& entry : *entries) {
    if (!on_base.contains(entry.name)) result->push_back(entry.name);
  }
  return IOStatus::OK();
}

IOStatus RocksFileSystem::GetChildrenFileAttributes(const std::string& path,
                                                    const IOOptions& options,
                                                    std::vector<rocksdb::FileAttributes>* result,
                                                    IODebugContext* debug) {
  result->clear();
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (IsFileStat(found)) return Refuse(ErrorCode::kNotDirectory, "list", path);
  IOStatus status = base_->GetChildrenFileAttributes(place.paths.base, options, result, debug);
  if (!status.ok() && !(found && rocksfs::IsMissing(status))) return status;
  if (!found) return IOStatus::OK();
  const auto entries = place.root->List(place.paths.volume);
  if (!entries) return ToIOStatus(entries, path);
  std::set<std::string> files, directories;
  for (const volume::DirectoryEntry& entry : *entries) {
    const bool is_file = entry.stat.kind != volume::InodeKind::kDirectory;
    (is_file ? files : directories).insert(entry.name);
  }
  std::erase_if(*result, [&](const auto& child) { return files.contains(child.name); });
  for (const auto& child : *result) directories.erase(child.name);
  for (const volume::DirectoryEntry& entry : *entries) {
    if (!files.contains(entry.name) && !directories.contains(entry.name)) continue;
    rocksdb::FileAttributes attributes;
    attributes.name = entry.name;
    attributes.size_bytes = entry.stat.size_bytes;
    result->push_back(std::move(attributes));
  }
  return IOStatus::OK();
}

IOStatus RocksFileSystem::GetFileSize(const std::string& path, const IOOptions& options,
                                      uint64_t* size, IODebugContext* debug) {
  IOStatus status;
  *size = 0;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Place place;
    Found found;
    if (status = Locate(path, &place, &found); !status.ok()) return status;
    if (IsFileStat(found)) {
      *size = found->size_bytes;
      return IOStatus::OK();
    }
    status = base_->GetFileSize(place.paths.base, options, size, debug);
    if (found && rocksfs::IsMissing(status)) return IOStatus::OK();
    if (!rocksfs::IsMissing(status)) return status;
  }
  return status;
}

IOStatus RocksFileSystem::GetFileModificationTime(const std::string& path, const IOOptions& options,
                                                  uint64_t* seconds, IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (IsFileStat(found)) {
    *seconds = static_cast<uint64_t>(std::max<int64_t>(found->modified_ns, 0)) / 1'000'000'000;
    return IOStatus::OK();
  }
  return base_->GetFileModificationTime(place.paths.base, options, seconds, debug);
}

IOStatus RocksFileSystem::NumFileLinks(const std::string& path, const IOOptions& options,
                                       uint64_t* count, IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (!IsFileStat(found)) return base_->NumFileLinks(place.paths.base, options, count, debug);
  *count = found->links;
  return IOStatus::OK();
}

IOStatus RocksFileSystem::AreFilesSame(const std::string& first, const std::string& second,
                                       const IOOptions& options, bool* same,
                                       IODebugContext* debug) {
  Place places[2];
  Found found[2];
  *same = false;
  if (IOStatus status = Locate(first, &places[0], &found[0]); !status.ok()) return status;
  if (IOStatus status = Locate(second, &places[1], &found[1]); !status.ok()) return status;
  if (IsFileStat(found[0]) && IsFileStat(found[1])) {
    *same = found[0]->inode == found[1]->inode;
    return IOStatus::OK();
  }
  // One on each side are two files, if both are there.
  for (int i = 0; i < 2; ++i) {
    if (IsFileStat(found[i])) return FileExists(i == 0 ? second : first, options, debug);
  }
  return base_->AreFilesSame(places[0].paths.base, places[1].paths.base, options, same, debug);
}

IOStatus RocksFileSystem::IsDirectory(const std::string& path, const IOOptions& options,
                                      bool* is_directory, IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (!found) return base_->IsDirectory(place.paths.base, options, is_directory, debug);
  *is_directory = IsDirectoryStat(found);
  return IOStatus::OK();
}

IOStatus RocksFileSystem::GetFreeSpace(const std::string& path, const IOOptions& options,
                                       uint64_t* free_bytes, IODebugContext* debug) {
  bool is_directory = false;
  if (IOStatus status = IsDirectory(path, options, &is_directory, debug); !status.ok()) {
    return status;
  }
  if (!is_directory && PlacementOf(path) == Side::kBase) {
    const Result<Place> place = PlaceOf(path);
    if (!place) return ToIOStatus(place, path);
    return base_->GetFreeSpace(place->paths.base, options, free_bytes, debug);
  }
  const volume::VolumeUsage usage = volume_->volume().Usage();
  *free_bytes = usage.free_bytes + usage.reclaimable_bytes;
  return IOStatus::OK();
}

IOStatus RocksFileSystem::Truncate(const std::string& path, size_t size, const IOOptions& options,
                                   IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (!found) return base_->Truncate(place.paths.base, size, options, debug);
  return ToIOStatus(place.root->Truncate(place.paths.volume, size), path);
}

// --- files ---

IOStatus RocksFileSystem::DeleteFile(const std::string& path, const IOOptions& options,
                                     IODebugContext* debug) {
  IOStatus status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Place place;
    Found found;
    if (status = Locate(path, &place, &found); !status.ok()) return status;
    if (IsFileStat(found)) {
      status = RemoveHiddenCopy(place.paths.base);
      return status.ok() ? ToIOStatus(place.root->Unlink(place.paths.volume), path) : status;
    }
    if (found) return Refuse(ErrorCode::kIsDirectory, "delete", path);
    status = base_->DeleteFile(place.paths.base, options, debug);
    if (!rocksfs::IsMissing(status)) return status;
  }
  return status;
}

IOStatus RocksFileSystem::RenameFile(const std::string& from_path, const std::string& to_path,
                                     const IOOptions&, IODebugContext*) {
  Place from, to;
  Found from_found, to_found;
  if (IOStatus status = Locate(from_path, &from, &from_found); !status.ok()) return status;
  if (IOStatus status = Locate(to_path, &to, &to_found); !status.ok()) return status;
  if (IsFileStat(from_found)) {
    if (IsDirectoryStat(to_found)) return Refuse(ErrorCode::kIsDirectory, "rename", to_path);
    return RenameVolumeFile(from, to, to_path);
  }
  if (from_found || IsBaseDirectory(from.paths.base)) {
    if (IsFileStat(to_found)) return Refuse(ErrorCode::kNotDirectory, "rename", to_path);
    return RenameDirectory(from, to, to_path);
  }
  if (IsDirectoryStat(to_found)) return Refuse(ErrorCode::kIsDirectory, "rename", to_path);
  return RenameBaseFile(from, to, to_path);
}

IOStatus RocksFileSystem::RenameVolumeFile(const Place& from, const Place& to,
                                           const std::string& shown) {
  if (from.paths.volume == to.paths.volume) return IOStatus::OK();
  if (IsBaseDirectory(to.paths.base)) return Refuse(ErrorCode::kIsDirectory, "rename", shown);
  if (IOStatus status = RemoveHiddenCopy(from.paths.base); !status.ok()) return status;
  const Status renamed = WithParents(to.paths, [&](volume::Root& root) {
    return root.Rename(from.paths.volume, to.paths.volume);
  });
  if (!renamed) return ToIOStatus(renamed, shown);
  IOStatus replaced = base_->FileExists(to.paths.base, IOOptions(), nullptr);
  if (rocksfs::IsMissing(replaced)) return IOStatus::OK();
  if (!replaced.ok()) return replaced;
  // While the record may still be lost, the copy is all that the name has. Afterwards it goes for
  // good: who removes the name finds none, and must not have to ask whether that is durable.
  if (const Status durable = CommitVolume(); !durable) return ToIOStatus(durable, shown);
  return RemoveHiddenCopy(to.paths.base);
}

IOStatus RocksFileSystem::RenameBaseFile(const Place& from, const Place& to,
                                         const std::string& shown) {
  const Result<Found> hides = Look(to);
  if (!hides) return ToIOStatus(hides, shown);
  if (!*hides) {
    return base_->RenameFile(from.paths.base, to.paths.base, IOOptions(), nullptr);
  }
  if (IOStatus status = RemoveHiddenCopy(to.paths.base); !status.ok()) return status;
  // As a link first: hidden by the volume's name, the bytes would have no name at all. A base that
  // has no links leaves that to chance.
  IOStatus status = base_->LinkFile(from.paths.base, to.paths.base, IOOptions(), nullptr);
  const bool is_linked = status.ok();
  if (status.IsNotSupported()) {
    status = base_->RenameFile(from.paths.base, to.paths.base, IOOptions(), nullptr);
  }
  if (status.ok()) status = SyncBaseParent(to.paths.base);
  if (!status.ok()) return status;
  Status unlinked = to.root->Unlink(to.paths.volume);
  if (unlinked) unlinked = CommitVolume();
  if (!unlinked || !is_linked) return ToIOStatus(unlinked, shown);
  return base_->DeleteFile(from.paths.base, IOOptions(), nullptr);
}

IOStatus RocksFileSystem::RenameDirectory(const Place& from, const Place& to,
                                          const std::string& shown) {
  const auto on_volume = Look(from);
  if (!on_volume) return ToIOStatus(on_volume, shown);
  if (to.root != nullptr) {
    const auto replaced = to.root->List(to.paths.volume);
    if (replaced && !replaced->empty()) return Refuse(ErrorCode::kNotEmpty, "rename", shown);
  }
  const IOStatus status = base_->RenameFile(from.paths.base, to.paths.base, IOOptions(), nullptr);
  const bool is_on_base = status.ok();
  if (!is_on_base && !(*on_volume && rocksfs::IsMissing(status))) return status;
  if (!*on_volume) return IOStatus::OK();
  if (is_on_base) {
    for (const std::string& path : {to.paths.base, from.paths.base}) {
      if (IOStatus synced = SyncBaseParent(path); !synced.ok()) return synced;
    }
  }
  const Status renamed = WithParents(to.paths, [&](volume::Root& root) {
    return root.Rename(from.paths.volume, to.paths.volume);
  });
  if (!renamed && is_on_base) {
    // Back, so that both sides agree; the error that counts is the volume's.
    base_->RenameFile(to.paths.base, from.paths.base, IOOptions(), nullptr).PermitUncheckedError();
  }
  return ToIOStatus(renamed, shown);
}

IOStatus RocksFileSystem::LinkFile(const std::string& from_path, const std::string& to_path,
                                   const IOOptions& options, IODebugContext* debug) {
  Place from, to;
  Found from_found, to_found;
  if (IOStatus status = Locate(from_path, &from, &from_found); !status.ok()) return status;
  if (IOStatus status = Locate(to_path, &to, &to_found); !status.ok()) return status;
  if (to_found) return Refuse(ErrorCode::kExists, "link", to_path);
  if (!IsFileStat(from_found)) {
    return base_->LinkFile(from.paths.base, to.paths.base, options, debug);
  }
  if (base_->FileExists(to.paths.base, options, debug).ok()) {
    return Refuse(ErrorCode::kExists, "link", to_path);
  }
  const Status linked = WithParents(
      to.paths, [&](volume::Root& root) { return root.Link(from.paths.volume, to.paths.volume); });
  return ToIOStatus(linked, to_path);
}

// --- directories ---

IOStatus RocksFileSystem::CreateDir(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (IsFileStat(found)) return Refuse(ErrorCode::kExists, "make directory", path);
  return base_->CreateDir(place.paths.base, options, debug);
}

IOStatus RocksFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions& options,
                                             IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (IsFileStat(found)) return Refuse(ErrorCode::kNotDirectory, "make directory", path);
  return base_->CreateDirIfMissing(place.paths.base, options, debug);
}

IOStatus RocksFileSystem::DeleteDir(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  Place place;
  Found found;
  if (IOStatus status = Locate(path, &place, &found); !status.ok()) return status;
  if (found) {
    const Status removed = place.root->RemoveDirectory(place.paths.volume);
    if (!removed) return ToIOStatus(removed, path);
  }
  IOStatus status = base_->DeleteDir(place.paths.base, options, debug);
  return found && rocksfs::IsMissing(status) ? IOStatus::OK() : status;
}

// --- locks ---

IOStatus RocksFileSystem::LockFile(const std::string& path, const IOOptions& options,
                                   rocksdb::FileLock** lock, IODebugContext* debug) {
  *lock = nullptr;
  const Result<Place> place = PlaceOf(path);
  if (!place) return ToIOStatus(place, path);
  const std::string name = root_->name() + "/" + place->paths.volume;
  if (!volume_->Lock(name)) {
    return ToIOStatus(Error(ErrorCode::kBusy, "lock", "held by this process"), path);
  }
  rocksdb::FileLock* on_base = nullptr;
  IOStatus status = base_->LockFile(place->paths.base, options, &on_base, debug);
  if (!status.ok()) {
    volume_->Unlock(name);
    return status;
  }
  *lock = new BothLocks(volume_, name, on_base);
  return IOStatus::OK();
}

IOStatus RocksFileSystem::UnlockFile(rocksdb::FileLock* lock, const IOOptions& options,
                                     IODebugContext* debug) {
  const std::unique_ptr<BothLocks> both(static_cast<BothLocks*>(lock));
  return base_->UnlockFile(both->on_base, options, debug);
}

}  // namespace tifs::rocksfs
