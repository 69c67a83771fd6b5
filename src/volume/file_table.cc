#include "volume/file_table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "volume/extent_map.h"
#include "volume/table_scan.h"

namespace tifs::volume {
namespace {

Error DoesNotFit(const char* why) { return Error(ErrorCode::kCorrupt, "journal", why); }

uint64_t EncodedBytesOf(const Inode& inode) {
  return inode.kind == InodeKind::kSparseFile ? inode.extents.size() * kEncodedRunBytes
                                              : inode.extents.size() * kEncodedExtentBytes;
}

}  // namespace

uint64_t Inode::allocated_units() const {
  return kind == InodeKind::kSparseFile ? CountUnits(extents) : units();
}

FileTable::FileTable(uint64_t unit_bytes) : unit_bytes_(unit_bytes) {
  top_ = &inodes_.try_emplace(kTopInode, kTopInode, InodeKind::kDirectory).first->second;
  top_->entries = std::make_unique<Directory>();
}

Inode* FileTable::Find(uint64_t number) {
  const auto at = inodes_.find(number);
  return at != inodes_.end() ? &at->second : nullptr;
}

Inode* FileTable::FindDirectory(uint64_t number) {
  Inode* inode = Find(number);
  return inode != nullptr && inode->kind == InodeKind::kDirectory ? inode : nullptr;
}

Inode* FileTable::Lookup(const Inode& directory, std::string_view name) {
  const auto at = directory.entries->find(name);
  return at != directory.entries->end() ? at->second : nullptr;
}

bool FileTable::IsWithin(const Inode& inode, const Inode& directory) {
  for (const Inode* at = &inode; at != nullptr; at = at->first_name.parent) {
    if (at == &directory) return true;
  }
  return false;
}

void FileTable::Touch(const Inode& inode) {
  if (scan_ != nullptr) scan_->Preserve(inode);
}

void FileTable::AddName(Inode& inode, Inode& parent, std::string_view name) {
  const auto [at, added] = parent.entries->try_emplace(std::string(name), &inode);
  CHECK(added);
  const Name entry{&parent, &at->first};
  if (inode.first_name.parent == nullptr) {
    inode.first_name = entry;
  } else {
    if (!inode.more_names) inode.more_names = std::make_unique<std::vector<Name>>();
    inode.more_names->push_back(entry);
  }
  encoded_bytes_ += EncodedNameBytes(name);
}

void FileTable::RemoveName(Inode& inode, Directory::iterator entry, Inode& parent) {
  const Name name{&parent, &entry->first};
  encoded_bytes_ -= EncodedNameBytes(entry->first);
  if (inode.more_names) {
    const auto at = std::ranges::find(*inode.more_names, name);
    if (at != inode.more_names->end()) {
      inode.more_names->erase(at);
    } else {
      inode.first_name = inode.more_names->back();
      inode.more_names->pop_back();
    }
    if (inode.more_names->empty()) inode.more_names.reset();
  } else {
    CHECK(inode.first_name == name);
    inode.first_name = {};
  }
  parent.entries->erase(entry);
}

void FileTable::EraseIfUnused(Inode& inode, std::vector<UnitRange>& freed) {
  if (inode.names() != 0) return;
  if (inode.is_open()) return;
  EraseOrphan(inode, freed);
}

void FileTable::EraseOrphan(Inode& inode, std::vector<UnitRange>& freed) {
  CHECK(inode.names() == 0);
  if (inode.kind == InodeKind::kSparseFile) {
    for (const Extent& run : inode.extents) freed.push_back(run.units);
    encoded_bytes_ -= EncodedBytesOf(inode);
    inode.extents.clear();
  }
  CutExtents(inode, 0, freed);
  encoded_bytes_ -= kEncodedInodeBytes;
  (inode.is_directory() ? directories_ : files_) -= 1;
  inodes_.erase(inode.number);
}

Inode* FileTable::Insert(uint64_t number, InodeKind kind) {
  const auto [at, added] = inodes_.try_emplace(number, number, kind);
  if (!added) return nullptr;
  if (kind == InodeKind::kDirectory) at->second.entries = std::make_unique<Directory>();
  (kind == InodeKind::kDirectory ? directories_ : files_) += 1;
  encoded_bytes_ += kEncodedInodeBytes;
  return &at->second;
}

bool FileTable::InsertName(Inode& inode, uint64_t parent_number, std::string_view name) {
  Inode* parent = FindDirectory(parent_number);
  if (parent == nullptr || Lookup(*parent, name) != nullptr) return false;
  AddName(inode, *parent, name);
  return true;
}

Status FileTable::Apply(const CreateRecord& record) {
  Inode* parent = FindDirectory(record.parent);
  if (parent == nullptr) return DoesNotFit("the parent is no directory");
  if (Lookup(*parent, record.name) != nullptr) return DoesNotFit("the name is taken");
  if (record.inode < next_inode_ || record.inode == UINT64_MAX) {
    return DoesNotFit("the inode number is not new");
  }
  Inode* inode = Insert(record.inode, record.kind);
  CHECK(inode != nullptr);
  next_inode_ = record.inode + 1;
  inode->modified_ns = record.modified_ns;
  AddName(*inode, *parent, record.name);
  return {};
}

Status FileTable::Apply(const LinkRecord& record) {
  Inode* parent = FindDirectory(record.parent);
  Inode* inode = Find(record.inode);
  if (parent == nullptr) return DoesNotFit("the parent is no directory");
  if (inode == nullptr || inode->is_directory() || inode->names() == 0) {
    return DoesNotFit("there is no such file");
  }
  if (Lookup(*parent, record.name) != nullptr) return DoesNotFit("the name is taken");
  if (inode->names() >= kMaxLinks) return DoesNotFit("the file has too many names");
  Touch(*inode);
  AddName(*inode, *parent, record.name);
  return {};
}

Status FileTable::Apply(const UnlinkRecord& record, std::vector<UnitRange>& freed) {
  Inode* parent = FindDirectory(record.parent);
  if (parent == nullptr) return DoesNotFit("the parent is no directory");
  const auto entry = parent->entries->find(record.name);
  if (entry == parent->entries->end() || entry->second->number != record.inode) {
    return DoesNotFit("the name is not that inode's");
  }
  Inode& inode = *entry->second;
  if (inode.entries && !inode.entries->empty()) return DoesNotFit("the directory is not empty");
  Touch(inode);
  RemoveName(inode, entry, *parent);
  EraseIfUnused(inode, freed);
  return {};
}

Status FileTable::Apply(const RenameRecord& record, std::vector<UnitRange>& freed) {
  Inode* from_parent = FindDirectory(record.from_parent);
  Inode* to_parent = FindDirectory(record.to_parent);
  if (from_parent == nullptr || to_parent == nullptr) {
    return DoesNotFit("a parent is no directory");
  }
  const auto from = from_parent->entries->find(record.from);
  if (from == from_parent->entries->end() || from->second->number != record.inode) {
    return DoesNotFit("the name is not that inode's");
  }
  Inode& inode = *from->second;
  Inode* replaced = Lookup(*to_parent, record.to);
  if ((replaced != nullptr ? replaced->number : 0) != record.replaced) {
    return DoesNotFit("the new name is not that inode's");
  }
  if (replaced == &inode) return DoesNotFit("both names are the same file's");
  if (replaced != nullptr && (replaced->is_directory() != inode.is_directory() ||
                              (replaced->entries && !replaced->entries->empty()))) {
    return DoesNotFit("what has the new name cannot be replaced");
  }
  if (inode.kind == InodeKind::kDirectory && IsWithin(*to_parent, inode)) {
    return DoesNotFit("a directory into itself");
  }
  if (replaced != nullptr) {
    Touch(*replaced);
    RemoveName(*replaced, to_parent->entries->find(record.to), *to_parent);
    EraseIfUnused(*replaced, freed);
  }
  Touch(inode);
  RemoveName(inode, from, *from_parent);
  AddName(inode, *to_parent, record.to);
  return {};
}

Status FileTable::Apply(const FileRecord& record) {
  Inode* inode = Find(record.inode);
  if (inode == nullptr || inode->kind != InodeKind::kFile) {
    return DoesNotFit("there is no such file");
  }
  if (record.from_unit > inode->units()) return DoesNotFit("a gap between extents");
  uint64_t units = record.from_unit;
  for (const UnitRange& extent : record.extents) {
    if (extent.count == 0 || extent.start > kMaxDeviceBytes) return DoesNotFit("an extent");
    units += extent.count;
  }
  if (units != UnitsFor(record.size_bytes, unit_bytes_)) {
    return DoesNotFit("extents that are not as long as the file");
  }
  std::vector<UnitRange> freed;
  CutExtents(*inode, record.from_unit, freed);
  for (const UnitRange& extent : record.extents) AppendExtent(*inode, extent);
  SetCommitted(*inode, record.size_bytes);
  inode->size_bytes = record.size_bytes;
  inode->modified_ns = record.modified_ns;
  return {};
}

Status FileTable::Apply(const MapRecord& record, std::vector<UnitRange>& freed) {
  Inode* inode = Find(record.inode);
  if (inode == nullptr || inode->kind != InodeKind::kSparseFile) {
    return DoesNotFit("there is no such sparse file");
  }
  const uint64_t max_units = kMaxFileBytes / unit_bytes_;
  for (const Extent& run : record.runs) {
    if (run.units.count == 0 || run.units.count > kMaxExtentUnits || run.file_unit > max_units ||
        run.file_end() > max_units || run.units.start > kMaxDeviceBytes) {
      return DoesNotFit("an extent");
    }
  }
  Touch(*inode);
  encoded_bytes_ -= EncodedBytesOf(*inode);
  std::vector<Extent> erased;
  for (const Extent& run : record.runs) {
    EraseRuns(inode->extents, run.file_unit, run.file_end(), erased);
    if (run.units.start != MapRecord::kHole) InsertRun(inode->extents, run);
  }
  for (const Extent& run : erased) freed.push_back(run.units);
  encoded_bytes_ += EncodedBytesOf(*inode);
  inode->committed_bytes = record.size_bytes;
  inode->size_bytes = record.size_bytes;
  inode->modified_ns = record.modified_ns;
  return {};
}

bool FileTable::AppendRun(Inode& inode, const Extent& run) {
  if (run.file_unit < inode.units() || run.file_end() > kMaxFileBytes / unit_bytes_) return false;
  encoded_bytes_ -= EncodedBytesOf(inode);
  InsertRun(inode.extents, run);
  encoded_bytes_ += EncodedBytesOf(inode);
  return true;
}

void FileTable::SetCommitted(Inode& inode, uint64_t bytes) {
  Touch(inode);
  inode.committed_bytes = bytes;
}

void FileTable::AppendExtent(Inode& inode, UnitRange units) {
  if (!inode.extents.empty()) {
    Extent& last = inode.extents.back();
    if (last.units.end() == units.start && last.units.count + units.count <= kMaxExtentUnits) {
      last.units.count += units.count;
      return;
    }
  }
  inode.extents.push_back({inode.units(), units});
  encoded_bytes_ += kEncodedExtentBytes;
}

void FileTable::CutExtents(Inode& inode, uint64_t units, std::vector<UnitRange>& freed) {
  if (UnitsFor(inode.committed_bytes, unit_bytes_) > units) Touch(inode);
  while (inode.units() > units) {
    Extent& last = inode.extents.back();
    const uint64_t keep = units > last.file_unit ? units - last.file_unit : 0;
    freed.push_back({last.units.start + keep, last.units.count - keep});
    if (keep != 0) {
      last.units.count = keep;
    } else {
      inode.extents.pop_back();
      encoded_bytes_ -= kEncodedExtentBytes;
    }
  }
}

Status FileTable::CheckTree() const {
  std::vector<const Inode*> open = {top_};
  uint64_t seen = 0;
  while (!open.empty()) {
    const Inode* directory = open.back();
    open.pop_back();
    for (const auto& [name, inode] : *directory->entries) {
      if (inode->kind != InodeKind::kDirectory) continue;
      ++seen;
      open.push_back(inode);
    }
  }
  if (seen != directories_) {
    return Error(ErrorCode::kCorrupt, "checkpoint", "directories without a way to the top");
  }
  return {};
}

}  // namespace tifs::volume
