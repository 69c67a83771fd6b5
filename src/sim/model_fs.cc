#include "sim/model_fs.h"

#include <algorithm>

namespace tifs::sim {

using fs::OpContext;

namespace {

constexpr uint32_t kWrite = 2, kExecute = 1;

Error Fail(ErrorCode code) { return Error(code, "model"); }

}  // namespace

ModelFs::ModelFs(Clock& clock, ModelOptions options) : clock_(clock), options_(options) {
  Inode root(options_.block_size_bytes);
  root.attributes.inode = fs::kRootInode;
  root.attributes.mode = S_IFDIR | 0755;
  root.attributes.nlink = 2;
  root.parent = fs::kRootInode;
  root.open_times = {true, true, true};
  inodes_.emplace(fs::kRootInode, std::move(root));
}

// --- finding ---

Result<ModelFs::Inode*> ModelFs::Find(InodeNumber inode) {
  const auto found = inodes_.find(inode);
  if (found == inodes_.end()) return Fail(ErrorCode::kStale);
  return &found->second;
}

Result<const ModelFs::Inode*> ModelFs::Find(InodeNumber inode) const {
  const auto found = inodes_.find(inode);
  if (found == inodes_.end()) return Fail(ErrorCode::kStale);
  return &found->second;
}

Result<ModelFs::Place> ModelFs::FindPlace(const OpContext& context, InodeNumber parent,
                                          std::string_view name) {
  Inode* const directory = TRY(Find(parent));
  if (!directory->IsDirectory()) return Fail(ErrorCode::kNotDirectory);
  TRY(MayAccess(context, *directory, kExecute));
  if (name.size() > fs::kMaxNameBytes) return Fail(ErrorCode::kNameTooLong);
  const auto entry = directory->entries.find(std::string(name));
  Inode* const found = entry == directory->entries.end() ? nullptr : &inodes_.at(entry->second);
  return Place{directory, std::string(name), found};
}

fs::Attributes ModelFs::Show(const Inode& inode) const {
  fs::Attributes attributes = inode.attributes;
  attributes.block_size_bytes = options_.block_size_bytes;
  if (inode.IsRegular()) attributes.size_bytes = inode.file.size_bytes();
  if (S_ISLNK(attributes.mode)) attributes.size_bytes = inode.target.size();
  return attributes;
}

Result<fs::Attributes> ModelFs::Lookup(const OpContext& context, InodeNumber parent,
                                       std::string_view name) {
  const Place place = TRY(FindPlace(context, parent, name));
  if (name == ".") return Show(*place.directory);
  if (name == "..") return Show(inodes_.at(place.directory->parent));
  if (place.found == nullptr) return Fail(ErrorCode::kNotFound);
  return Show(*place.found);
}

Result<std::map<std::string, fs::InodeNumber>> ModelFs::ReadDirectory(InodeNumber inode) {
  Inode* const directory = TRY(Find(inode));
  if (!directory->IsDirectory()) return Fail(ErrorCode::kNotDirectory);
  directory->open_times.atime = true;
  return directory->entries;
}

Result<std::string> ModelFs::Readlink(InodeNumber inode) {
  Inode* const link = TRY(Find(inode));
  if (!S_ISLNK(link->attributes.mode)) return Fail(ErrorCode::kInvalid);
  link->open_times.atime = true;
  return link->target;
}

Result<fs::Attributes> ModelFs::GetAttributes(InodeNumber inode) const {
  return Show(*TRY(Find(inode)));
}

// --- permissions ---

bool ModelFs::IsPrivileged(const OpContext& context) const {
  return context.IsRoot() || !options_.check_permissions;
}

bool ModelFs::IsOwner(const OpContext& context, const Inode& inode) const {
  return IsPrivileged(context) || context.uid == inode.attributes.uid;
}

std::vector<uint32_t> ModelFs::Groups(const OpContext& context) {
  std::vector<uint32_t> groups;
  if (context.supplementary_groups) groups = context.supplementary_groups();
  groups.push_back(context.gid);
  return groups;
}

Status ModelFs::MayAccess(const OpContext& context, const Inode& inode, uint32_t wanted) const {
  if (!options_.check_permissions) return {};
  return EvaluateAccess(context, inode, wanted);
}

Status ModelFs::EvaluateAccess(const OpContext& context, const Inode& inode,
                               uint32_t wanted) const {
  const uint32_t mode = inode.attributes.mode;
  if (context.IsRoot()) {
    const bool may_execute = S_ISDIR(mode) || (mode & 0111) != 0;
    if ((wanted & kExecute) != 0 && !may_execute) return Fail(ErrorCode::kAccessDenied);
    return {};
  }
  const bool is_owner = context.uid == inode.attributes.uid;
  const std::vector<uint32_t> groups = Groups(context);
  bool granted;
  if (inode.access_acl) {
    granted = inode.access_acl->Grants(wanted, is_owner, context.uid, inode.attributes.gid, groups);
  } else {
    const bool in_group = std::ranges::count(groups, inode.attributes.gid) > 0;
    const uint32_t bits = is_owner ? mode >> 6 : in_group ? mode >> 3 : mode;
    granted = (bits & wanted) == wanted;
  }
  if (!granted) return Fail(ErrorCode::kAccessDenied);
  return {};
}

Status ModelFs::MayDelete(const OpContext& context, const Inode& directory, const Inode& victim,
                          bool as_directory) const {
  TRY(MayAccess(context, directory, kWrite | kExecute));
  const bool is_sticky = (directory.attributes.mode & S_ISVTX) != 0;
  if (is_sticky && !IsOwner(context, victim) && !IsOwner(context, directory)) {
    return Fail(ErrorCode::kNotPermitted);
  }
  if (as_directory && !victim.IsDirectory()) return Fail(ErrorCode::kNotDirectory);
  if (!as_directory && victim.IsDirectory()) return Fail(ErrorCode::kIsDirectory);
  return {};
}

Status ModelFs::Access(const OpContext& context, InodeNumber inode, int mask) {
  return EvaluateAccess(context, *TRY(Find(inode)), static_cast<uint32_t>(mask));
}

// --- making ---

void ModelFs::TouchChanged(Inode& inode) {
  inode.attributes.ctime = clock_.RealTime();
  inode.open_times.ctime = false;
  ++inode.attributes.change;
}

void ModelFs::TouchModified(Inode& inode) {
  inode.attributes.mtime = clock_.RealTime();
  inode.open_times.mtime = false;
  TouchChanged(inode);
}

// umask, or what the directory's default ACL says instead.
void ModelFs::InheritAccess(const OpContext& context, const Inode& directory, Inode& inode) {
  uint32_t& mode = inode.attributes.mode;
  if (S_ISLNK(mode)) return;
  if (!directory.default_acl) {
    mode &= ~(context.umask & 0777);
    return;
  }
  ModelAcl acl = directory.default_acl->Inherit(mode);
  if (!acl.IsMinimal()) inode.access_acl = std::move(acl);
  if (S_ISDIR(mode)) inode.default_acl = directory.default_acl;
}

// A new inode under a free name. `mode` with its type.
Result<ModelFs::Inode*> ModelFs::NewInode(const OpContext& context, Place& place, uint32_t mode) {
  if (place.found != nullptr) return Fail(ErrorCode::kExists);
  TRY(MayAccess(context, *place.directory, kWrite | kExecute));
  const InodeNumber number{++last_inode_};
  Inode& inode = inodes_.emplace(number, Inode(options_.block_size_bytes)).first->second;
  fs::Attributes& attributes = inode.attributes;
  attributes.inode = number;
  attributes.mode = mode;
  attributes.nlink = 1;
  attributes.uid = context.uid;
  attributes.gid = context.gid;
  if ((place.directory->attributes.mode & S_ISGID) != 0) {
    attributes.gid = place.directory->attributes.gid;
    if (S_ISDIR(mode)) attributes.mode |= S_ISGID;
    // Nobody gets a program that runs as a group that is not theirs.
    const bool in_group = std::ranges::count(Groups(context), attributes.gid) > 0;
    const bool runs_as_group = (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    if (!S_ISDIR(mode) && runs_as_group && !in_group && !IsPrivileged(context)) {
      attributes.mode &= ~S_ISGID;
    }
  }
  InheritAccess(context, *place.directory, inode);
  inode.parent = place.directory->attributes.inode;
  place.directory->entries.emplace(place.name, number);
  const Timespec now = clock_.RealTime();
  attributes.atime = attributes.mtime = attributes.ctime = attributes.btime = now;
  attributes.change = 1;
  TouchModified(*place.directory);
  place.found = &inode;
  return &inode;
}

Result<fs::Attributes> ModelFs::Mknod(const OpContext& context, InodeNumber parent,
                                      std::string_view name, uint32_t mode, uint32_t rdev) {
  Place place = TRY(FindPlace(context, parent, name));
  Inode* const inode = TRY(NewInode(context, place, mode));
  if (S_ISCHR(mode) || S_ISBLK(mode)) inode->attributes.rdev = rdev;
  return Show(*inode);
}

Result<fs::Attributes> ModelFs::Create(const OpContext& context, InodeNumber parent,
                                       std::string_view name, uint32_t mode) {
  const fs::Attributes attributes = TRY(Mknod(context, parent, name, S_IFREG | (mode & 07777), 0));
  ++inodes_.at(attributes.inode).open_count;
  return attributes;
}

Result<fs::Attributes> ModelFs::Mkdir(const OpContext& context, InodeNumber parent,
                                      std::string_view name, uint32_t mode) {
  Place place = TRY(FindPlace(context, parent, name));
  Inode* const inode = TRY(NewInode(context, place, S_IFDIR | (mode & 07777)));
  inode->attributes.nlink = 2;
  ++place.directory->attributes.nlink;
  return Show(*inode);
}

Result<fs::Attributes> ModelFs::Symlink(const OpContext& context, InodeNumber parent,
                                        std::string_view name, std::string_view target) {
  Place place = TRY(FindPlace(context, parent, name));
  if (target.size() > fs::kMaxSymlinkBytes) return Fail(ErrorCode::kNameTooLong);
  Inode* const inode = TRY(NewInode(context, place, S_IFLNK | 0777));
  inode->target = target;
  return Show(*inode);
}

Result<fs::Attributes> ModelFs::Link(const OpContext& context, InodeNumber inode,
                                     InodeNumber new_parent, std::string_view new_name) {
  Inode* const source = TRY(Find(inode));
  const Place place = TRY(FindPlace(context, new_parent, new_name));
  if (place.found != nullptr) return Fail(ErrorCode::kExists);
  TRY(MayAccess(context, *place.directory, kWrite | kExecute));
  if (source->IsDirectory()) return Fail(ErrorCode::kNotPermitted);
  if (source->attributes.nlink == 0) return Fail(ErrorCode::kNotFound);
  ++source->attributes.nlink;
  place.directory->entries.emplace(place.name, inode);
  TouchChanged(*source);
  TouchModified(*place.directory);
  return Show(*source);
}

// --- removing ---

void ModelFs::ForgetIfGone(InodeNumber inode) {
  const Inode& candidate = inodes_.at(inode);
  if (candidate.attributes.nlink == 0 && candidate.open_count == 0) inodes_.erase(inode);
}

// One name of it is gone; a directory has no other.
void ModelFs::Unreference(Inode& inode) {
  inode.attributes.nlink = inode.IsDirectory() ? 0 : inode.attributes.nlink - 1;
  TouchChanged(inode);
  ForgetIfGone(inode.attributes.inode);
}

Status ModelFs::Unlink(const OpContext& context, InodeNumber parent, std::string_view name) {
  const Place place = TRY(FindPlace(context, parent, name));
  if (place.found == nullptr) return Fail(ErrorCode::kNotFound);
  TRY(MayDelete(context, *place.directory, *place.found, false));
  place.directory->entries.erase(place.name);
  TouchModified(*place.directory);
  Unreference(*place.found);
  return {};
}

Status ModelFs::Rmdir(const OpContext& context, InodeNumber parent, std::string_view name) {
  const Place place = TRY(FindPlace(context, parent, name));
  if (place.found == nullptr) return Fail(ErrorCode::kNotFound);
  TRY(MayDelete(context, *place.directory, *place.found, true));
  if (!place.found->entries.empty()) return Fail(ErrorCode::kNotEmpty);
  place.directory->entries.erase(place.name);
  --place.directory->attributes.nlink;
  TouchModified(*place.directory);
  Unreference(*place.found);
  return {};
}

// --- rename ---

bool ModelFs::IsInside(InodeNumber inode, InodeNumber ancestor) const {
  while (inode != ancestor) {
    if (inode == fs::kRootInode) return false;
    inode = inodes_.at(inode).parent;
  }
  return true;
}

// The entry of `ancestor` through which the way leads down to `descendant`, which lies below it.
fs::InodeNumber ModelFs::ChildTowards(InodeNumber ancestor, InodeNumber descendant) const {
  while (inodes_.at(descendant).parent != ancestor) descendant = inodes_.at(descendant).parent;
  return descendant;
}

// rename(2)'s errors, in the order in which Linux finds them.
Status ModelFs::CheckRename(const OpContext& context, const Place& from, const Place& to,
                            uint32_t flags) const {
  const bool is_exchange = (flags & static_cast<uint32_t>(fs::RenameFlag::kExchange)) != 0;
  const bool no_replace = (flags & static_cast<uint32_t>(fs::RenameFlag::kNoReplace)) != 0;
  if (from.found == nullptr) return Fail(ErrorCode::kNotFound);
  if (no_replace && to.found != nullptr) return Fail(ErrorCode::kExists);
  if (is_exchange && to.found == nullptr) return Fail(ErrorCode::kNotFound);

  const InodeNumber old_directory = from.directory->attributes.inode;
  const InodeNumber new_directory = to.directory->attributes.inode;
  const bool same_directory = old_directory == new_directory;
  if (!same_directory && IsInside(new_directory, old_directory) &&
      ChildTowards(old_directory, new_directory) == from.found->attributes.inode) {
    return Fail(ErrorCode::kInvalid);  // into itself
  }
  if (!same_directory && to.found != nullptr && IsInside(old_directory, new_directory) &&
      ChildTowards(new_directory, old_directory) == to.found->attributes.inode) {
    return Fail(is_exchange ? ErrorCode::kInvalid : ErrorCode::kNotEmpty);  // onto its ancestor
  }

  if (from.found == to.found) return {};  // two names of one file: nothing to do
  const bool is_directory = from.found->IsDirectory();
  TRY(MayDelete(context, *from.directory, *from.found, is_directory));
  if (to.found == nullptr) {
    TRY(MayAccess(context, *to.directory, kWrite | kExecute));
  } else {
    TRY(MayDelete(context, *to.directory, *to.found,
                  is_exchange ? to.found->IsDirectory() : is_directory));
  }
  // A directory that moves gets another "..".
  if (!same_directory && is_directory) TRY(MayAccess(context, *from.found, kWrite));
  if (!same_directory && is_exchange && to.found->IsDirectory()) {
    TRY(MayAccess(context, *to.found, kWrite));
  }
  if (!is_exchange && to.found != nullptr && !to.found->entries.empty()) {
    return Fail(ErrorCode::kNotEmpty);
  }
  return {};
}

void ModelFs::Exchange(Place& from, Place& to) {
  std::swap(from.directory->entries[from.name], to.directory->entries[to.name]);
  if (from.found->IsDirectory()) {
    --from.directory->attributes.nlink;
    ++to.directory->attributes.nlink;
    from.found->parent = to.directory->attributes.inode;
  }
  if (to.found->IsDirectory()) {
    --to.directory->attributes.nlink;
    ++from.directory->attributes.nlink;
    to.found->parent = from.directory->attributes.inode;
  }
  TouchChanged(*from.found);
  TouchChanged(*to.found);
}

Status ModelFs::Rename(const OpContext& context, InodeNumber parent, std::string_view name,
                       InodeNumber new_parent, std::string_view new_name, uint32_t flags) {
  constexpr auto kNoReplace = static_cast<uint32_t>(fs::RenameFlag::kNoReplace);
  constexpr auto kExchange = static_cast<uint32_t>(fs::RenameFlag::kExchange);
  constexpr auto kWhiteout = static_cast<uint32_t>(fs::RenameFlag::kWhiteout);
  const bool is_exchange = (flags & kExchange) != 0;
  if ((flags & ~(kNoReplace | kExchange | kWhiteout)) != 0) return Fail(ErrorCode::kInvalid);
  if (is_exchange && (flags & (kNoReplace | kWhiteout)) != 0) return Fail(ErrorCode::kInvalid);
  Place from = TRY(FindPlace(context, parent, name));
  Place to = TRY(FindPlace(context, new_parent, new_name));
  TRY(CheckRename(context, from, to, flags));
  if (from.found == to.found) return {};

  if (is_exchange) {
    Exchange(from, to);
  } else {
    from.directory->entries.erase(from.name);
    to.directory->entries[to.name] = from.found->attributes.inode;
    if (from.found->IsDirectory()) {
      --from.directory->attributes.nlink;
      ++to.directory->attributes.nlink;
      from.found->parent = to.directory->attributes.inode;
    }
    TouchChanged(*from.found);
    if (to.found != nullptr) {
      if (to.found->IsDirectory()) --to.directory->attributes.nlink;
      Unreference(*to.found);
    }
    if ((flags & kWhiteout) != 0) {
      from.found = nullptr;
      TRY(NewInode(context, from, S_IFCHR));
    }
  }
  TouchModified(*from.directory);
  TouchModified(*to.directory);
  return {};
}

// --- for those who judge ---

const ModelFile* ModelFs::Contents(InodeNumber inode) const {
  const auto found = inodes_.find(inode);
  if (found == inodes_.end() || !found->second.IsRegular()) return nullptr;
  return &found->second.file;
}

uint64_t ModelFs::MaxAllocatedBytes(InodeNumber inode) const {
  const Inode& candidate = inodes_.at(inode);
  return candidate.file.max_allocated_bytes() + candidate.preallocated_bytes;
}

ModelFs::OpenTimes ModelFs::TimesMayDiffer(InodeNumber inode) const {
  return inodes_.at(inode).open_times;
}

void ModelFs::AdoptBytes(InodeNumber inode, uint64_t offset_bytes, std::string_view bytes) {
  inodes_.at(inode).file.Write(offset_bytes, bytes);
}

void ModelFs::ReleaseAll() {
  for (auto& [number, inode] : inodes_) inode.open_count = 0;
  std::erase_if(inodes_, [](const auto& item) { return item.second.attributes.nlink == 0; });
}

}  // namespace tifs::sim
