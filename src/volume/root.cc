#include "volume/root.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "volume/open_file.h"
#include "volume/sparse_file.h"
#include "volume/volume_core.h"

namespace tifs::volume {
namespace {

FileStat StatOf(const Inode& inode, uint64_t unit_bytes) {
  return {.inode = inode.number,
          .kind = inode.kind,
          .links = inode.names(),
          .size_bytes = inode.size_bytes,
          .allocated_bytes = inode.allocated_units() * unit_bytes,
          .modified_ns = inode.modified_ns};
}

// The next component of a path, and what is behind it; empty at the end.
Result<std::string_view> TakeComponent(std::string_view& path) {
  while (true) {
    const size_t begin = std::min(path.find_first_not_of('/'), path.size());
    path.remove_prefix(begin);
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    if (name == ".") continue;
    if (name.empty() || IsValidName(name)) return name;
    if (name.size() > kMaxNameBytes) return Error(ErrorCode::kNameTooLong, "volume");
    return Error(ErrorCode::kInvalid, "volume", "\"..\" or a NUL in a path");
  }
}

// Where a path leads to. Of the root itself: no parent.
struct Place {
  Inode* parent = nullptr;
  std::string_view name;
  Inode* inode = nullptr;  // null: the name is free
};

// All but the last component must be directories that are there.
Result<Place> Resolve(FileTable& table, uint64_t root, std::string_view path) {
  if (path.size() > kMaxPathBytes) return Error(ErrorCode::kNameTooLong, "volume");
  Place place{.inode = table.Find(root)};
  if (place.inode == nullptr) return Error(ErrorCode::kNotFound, "volume", "the root is gone");
  while (true) {
    const std::string_view name = TRY(TakeComponent(path));
    if (name.empty()) return place;
    if (place.inode == nullptr) return Error(ErrorCode::kNotFound, "volume");
    if (place.inode->kind != InodeKind::kDirectory) {
      return Error(ErrorCode::kNotDirectory, "volume");
    }
    place.parent = place.inode;
    place.name = name;
    place.inode = FileTable::Lookup(*place.parent, name);
  }
}

Result<Place> ResolveExisting(FileTable& table, uint64_t root, std::string_view path) {
  Place place = TRY(Resolve(table, root, path));
  if (place.inode == nullptr) return Error(ErrorCode::kNotFound, "volume");
  return place;
}

Error RootItself() { return Error(ErrorCode::kInvalid, "volume", "the root itself"); }

// The records that follow are made under the lock, from what was just looked up: they fit.
void Applied(const Status& applied) { CHECK(applied.ok()); }

Result<Inode*> Create(VolumeCore& core, const Place& place, InodeKind kind)
    REQUIRES(core.tables()) {
  TRY(core.CheckMetadataRoom(kEncodedInodeBytes + EncodedNameBytes(place.name)));
  FileTable& table = core.table();
  const CreateRecord record{.parent = place.parent->number,
                            .inode = table.next_inode(),
                            .kind = kind,
                            .modified_ns = core.NowNs(),
                            .name = std::string(place.name)};
  Applied(table.Apply(record));
  core.Log(record);
  return table.Find(record.inode);
}

void RemoveEntry(VolumeCore& core, const Place& place) REQUIRES(core.tables()) {
  const UnlinkRecord record{.parent = place.parent->number,
                            .inode = place.inode->number,
                            .name = std::string(place.name)};
  std::vector<UnitRange> freed;
  Applied(core.table().Apply(record, freed));
  core.Free(freed, core.Log(record));
}

Status CheckReplaceable(const Inode& inode, const Inode* replaced) {
  if (replaced == nullptr) return {};
  if (!inode.is_directory() && replaced->is_directory()) {
    return Error(ErrorCode::kIsDirectory, "volume");
  }
  if (inode.is_directory() && !replaced->is_directory()) {
    return Error(ErrorCode::kNotDirectory, "volume");
  }
  if (replaced->entries && !replaced->entries->empty()) {
    return Error(ErrorCode::kNotEmpty, "volume");
  }
  return {};
}

}  // namespace

Root::Root(std::shared_ptr<VolumeCore> core, std::string name, uint64_t inode)
    : core_(std::move(core)), name_(std::move(name)), inode_(inode) {}

Root::~Root() = default;

// --- files ---

Result<std::unique_ptr<File>> Root::Open(std::string_view path, OpenMode mode) {
  if (mode.truncate && !mode.write) {
    return Error(ErrorCode::kInvalid, "volume", "to truncate, a file must be opened for writing");
  }
  TRY(mode.write || mode.create ? core_->CheckWritable() : core_->CheckReadable());
  std::shared_ptr<OpenFile> file;
  bool is_new = false;
  {
    std::optional<JournalRoom> room;
    if (mode.create) room.emplace(TRY(core_->Reserve()));
    MutexLock lock(core_->tables());
    Place place = TRY(Resolve(core_->table(), inode_, path));
    if (place.inode == nullptr) {
      if (!mode.create) return Error(ErrorCode::kNotFound, "volume");
      place.inode = TRY(Create(*core_, place, InodeKind::kFile));
      is_new = true;
    } else if (mode.create && mode.exclusive) {
      return Error(ErrorCode::kExists, "volume");
    }
    if (place.inode->kind == InodeKind::kDirectory) {
      return Error(ErrorCode::kIsDirectory, "volume");
    }
    if (place.inode->kind == InodeKind::kSparseFile) {
      return Error(ErrorCode::kNotSupported, "volume", "a sparse file");
    }
    file = core_->Attach(*place.inode);
    if (mode.write) file->AddWriter(core_->TakeUnsynced(*place.inode));
  }
  std::unique_ptr<File> handle(new File(file, mode.write));
  if (core_->is_snapshot()) {
    if (const Redo::Tail* tail = core_->redo().Find(file->Stat().inode)) TRY(file->LoadTail(*tail));
  }
  if (mode.truncate) TRY(handle->Truncate(0));
  if (is_new) TRY(core_->AfterChange());
  return handle;
}

Result<std::unique_ptr<SparseFile>> Root::OpenSparse(std::string_view path, SparseMode mode) {
  TRY(mode.write || mode.create ? core_->CheckWritable() : core_->CheckReadable());
  if (mode.create) TRY(core_->RequireFeature(Superblock::kSparseFiles));
  std::unique_ptr<SparseFile> file;
  bool is_new = false;
  {
    std::optional<JournalRoom> room;
    if (mode.create) room.emplace(TRY(core_->Reserve()));
    MutexLock lock(core_->tables());
    Place place = TRY(Resolve(core_->table(), inode_, path));
    if (place.inode == nullptr) {
      if (!mode.create) return Error(ErrorCode::kNotFound, "volume");
      place.inode = TRY(Create(*core_, place, InodeKind::kSparseFile));
      is_new = true;
    }
    if (place.inode->is_directory()) return Error(ErrorCode::kIsDirectory, "volume");
    if (place.inode->kind != InodeKind::kSparseFile) {
      return Error(ErrorCode::kNotSupported, "volume", "no sparse file");
    }
    if (place.inode->open_sparse != nullptr) {
      return Error(ErrorCode::kBusy, "volume", "the file is open");
    }
    file.reset(new SparseFile(core_, *place.inode, mode));
    core_->Attach(*file, *place.inode);
  }
  if (mode.write) TRY(file->ClearTail());
  if (is_new) TRY(core_->AfterChange());
  return file;
}

Status Root::Truncate(std::string_view path, uint64_t size_bytes) {
  std::unique_ptr<File> file = TRY(Open(path, {.write = true}));
  TRY(file->Truncate(size_bytes));
  return file->Close();
}

Result<FileStat> Root::Stat(std::string_view path) const {
  TRY(core_->CheckReadable());
  MutexLock lock(core_->tables());
  const Place place = TRY(ResolveExisting(core_->table(), inode_, path));
  return StatOf(*place.inode, core_->unit_bytes());
}

Result<std::vector<DirectoryEntry>> Root::List(std::string_view path) const {
  TRY(core_->CheckReadable());
  MutexLock lock(core_->tables());
  const Place place = TRY(ResolveExisting(core_->table(), inode_, path));
  if (!place.inode->entries) return Error(ErrorCode::kNotDirectory, "volume");
  std::vector<DirectoryEntry> entries;
  entries.reserve(place.inode->entries->size());
  for (const auto& [name, inode] : *place.inode->entries) {
    entries.push_back({name, StatOf(*inode, core_->unit_bytes())});
  }
  return entries;
}

// --- names ---

Status Root::MakeDirectory(std::string_view path) {
  TRY(core_->CheckWritable());
  {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock lock(core_->tables());
    const Place place = TRY(Resolve(core_->table(), inode_, path));
    if (place.inode != nullptr) return Error(ErrorCode::kExists, "volume");
    TRY(Create(*core_, place, InodeKind::kDirectory));
  }
  return core_->AfterChange();
}

Status Root::MakeDirectories(std::string_view path) {
  std::string_view rest = path;
  while (true) {
    const std::string_view name = TRY(TakeComponent(rest));
    if (name.empty()) break;
    Status made = MakeDirectory(path.substr(0, path.size() - rest.size()));
    if (!made && made.error().code() != ErrorCode::kExists) return made;
  }
  const FileStat stat = TRY(Stat(path));
  if (stat.kind != InodeKind::kDirectory) return Error(ErrorCode::kNotDirectory, "volume");
  return {};
}

Status Root::RemoveDirectory(std::string_view path) {
  TRY(core_->CheckWritable());
  {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock lock(core_->tables());
    const Place place = TRY(ResolveExisting(core_->table(), inode_, path));
    if (place.parent == nullptr) return RootItself();
    if (!place.inode->entries) return Error(ErrorCode::kNotDirectory, "volume");
    if (!place.inode->entries->empty()) return Error(ErrorCode::kNotEmpty, "volume");
    RemoveEntry(*core_, place);
  }
  return core_->AfterChange();
}

Status Root::Unlink(std::string_view path) {
  TRY(core_->CheckWritable());
  {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock lock(core_->tables());
    const Place place = TRY(ResolveExisting(core_->table(), inode_, path));
    if (place.inode->entries) return Error(ErrorCode::kIsDirectory, "volume");
    RemoveEntry(*core_, place);
  }
  return core_->AfterChange();
}

Status Root::Rename(std::string_view from_path, std::string_view to_path) {
  TRY(core_->CheckWritable());
  {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock lock(core_->tables());
    FileTable& table = core_->table();
    const Place from = TRY(ResolveExisting(table, inode_, from_path));
    const Place to = TRY(Resolve(table, inode_, to_path));
    if (from.parent == nullptr || to.parent == nullptr) return RootItself();
    if (from.inode == to.inode) return {};
    if (from.inode->kind == InodeKind::kDirectory && FileTable::IsWithin(*to.parent, *from.inode)) {
      return Error(ErrorCode::kInvalid, "volume", "a directory into itself");
    }
    TRY(CheckReplaceable(*from.inode, to.inode));
    if (to.inode == nullptr && to.name.size() > from.name.size()) {
      TRY(core_->CheckMetadataRoom(to.name.size() - from.name.size()));
    }
    const RenameRecord record{.from_parent = from.parent->number,
                              .to_parent = to.parent->number,
                              .inode = from.inode->number,
                              .replaced = to.inode != nullptr ? to.inode->number : 0,
                              .from = std::string(from.name),
                              .to = std::string(to.name)};
    std::vector<UnitRange> freed;
    Applied(table.Apply(record, freed));
    core_->Free(freed, core_->Log(record));
  }
  return core_->AfterChange();
}

Status Root::Link(std::string_view from_path, std::string_view to_path) {
  TRY(core_->CheckWritable());
  {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock lock(core_->tables());
    const Place from = TRY(ResolveExisting(core_->table(), inode_, from_path));
    const Place to = TRY(Resolve(core_->table(), inode_, to_path));
    if (from.inode->entries) return Error(ErrorCode::kIsDirectory, "volume");
    if (to.inode != nullptr) return Error(ErrorCode::kExists, "volume");
    if (from.inode->names() >= kMaxLinks) return Error(ErrorCode::kTooManyLinks, "volume");
    TRY(core_->CheckMetadataRoom(EncodedNameBytes(to.name)));
    const LinkRecord record{
        .parent = to.parent->number, .inode = from.inode->number, .name = std::string(to.name)};
    Applied(core_->table().Apply(record));
    core_->Log(record);
  }
  return core_->AfterChange();
}

Status Root::SyncDirectory(std::string_view path) {
  TRY(core_->CheckWritable());
  uint64_t number = 0;
  {
    MutexLock lock(core_->tables());
    const Place place = TRY(ResolveExisting(core_->table(), inode_, path));
    if (!place.inode->entries) return Error(ErrorCode::kNotDirectory, "volume");
    number = core_->LastNumber();
  }
  TRY(core_->Commit(number));
  return core_->AfterChange();
}

// --- locks ---

Result<std::unique_ptr<FileLock>> Root::Lock(std::string_view path) {
  const uint64_t inode = TRY(Open(path, {.write = true, .create = true}))->Stat().inode;
  if (!core_->TakeFileLock(inode)) return Error(ErrorCode::kBusy, "volume", "the file is locked");
  return std::unique_ptr<FileLock>(new FileLock(core_, inode));
}

FileLock::FileLock(std::shared_ptr<VolumeCore> core, uint64_t inode)
    : core_(std::move(core)), inode_(inode) {}

FileLock::~FileLock() { core_->ReleaseFileLock(inode_); }

}  // namespace tifs::volume
