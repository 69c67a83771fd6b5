// The attributes, contents and extended attributes of ModelFs.

#include <algorithm>
#include <cstring>

#include "sim/model_fs.h"

namespace tifs::sim {

using fs::AttributeChanges;
using fs::OpContext;

namespace {

constexpr uint32_t kRead = 4, kWrite = 2;

Error Fail(ErrorCode code) { return Error(code, "model"); }

}  // namespace

// --- attributes ---

// setattr's permissions, as Linux asks for them: owner, group, mode, times, each with its own rule.
Status ModelFs::CheckAttributeChanges(const OpContext& context, const Inode& inode,
                                      const AttributeChanges& changes, bool is_open) const {
  const fs::Attributes& attributes = inode.attributes;
  if (changes.size_bytes) {
    if (inode.IsDirectory()) return Fail(ErrorCode::kIsDirectory);
    if (!inode.IsRegular()) return Fail(ErrorCode::kInvalid);
    if (!is_open) TRY(MayAccess(context, inode, kWrite));
    if (*changes.size_bytes > fs::kMaxFileBytes) return Fail(ErrorCode::kFileTooBig);
  }
  const bool is_owner = IsOwner(context, inode);
  const bool is_privileged = IsPrivileged(context);
  if (changes.uid && !is_privileged && (!is_owner || *changes.uid != attributes.uid)) {
    return Fail(ErrorCode::kNotPermitted);
  }
  if (changes.gid && !is_privileged) {
    const bool may_have =
        *changes.gid == attributes.gid || std::ranges::count(Groups(context), *changes.gid) > 0;
    if (!is_owner || !may_have) return Fail(ErrorCode::kNotPermitted);
  }
  if (changes.mode && !is_owner) return Fail(ErrorCode::kNotPermitted);
  if ((changes.atime || changes.mtime) && !changes.size_bytes && !is_owner) {
    const bool both_now =
        changes.atime && changes.atime->now && changes.mtime && changes.mtime->now;
    if (!both_now) return Fail(ErrorCode::kNotPermitted);
    TRY(MayAccess(context, inode, kWrite));
  }
  return {};
}

// Who writes to a file or gives it away must not leave a set-user-ID program.
void ModelFs::DropPrivileges(const OpContext& context, Inode& inode) {
  uint32_t& mode = inode.attributes.mode;
  if (!inode.IsRegular() || context.IsRoot()) return;
  const uint32_t before = mode;
  mode &= ~S_ISUID;
  const bool in_group = std::ranges::count(Groups(context), inode.attributes.gid) > 0;
  if ((mode & S_IXGRP) != 0 || !in_group) mode &= ~S_ISGID;
  if (mode != before) TouchChanged(inode);
}

void ModelFs::ChangeOwner(const OpContext& context, Inode& inode, const AttributeChanges& changes) {
  fs::Attributes& attributes = inode.attributes;
  if (!inode.IsDirectory()) {
    attributes.mode &= ~S_ISUID;
    const bool in_group = std::ranges::count(Groups(context), attributes.gid) > 0;
    if ((attributes.mode & S_IXGRP) != 0 || (!in_group && !IsPrivileged(context))) {
      attributes.mode &= ~S_ISGID;
    }
  }
  if (changes.uid) attributes.uid = *changes.uid;
  if (changes.gid) attributes.gid = *changes.gid;
}

void ModelFs::ChangeMode(const OpContext& context, Inode& inode, uint32_t mode) {
  fs::Attributes& attributes = inode.attributes;
  const bool in_group = std::ranges::count(Groups(context), attributes.gid) > 0;
  if (!in_group && !IsPrivileged(context)) mode &= ~S_ISGID;
  attributes.mode = (attributes.mode & S_IFMT) | (mode & 07777);
  if (inode.access_acl) inode.access_acl->SetMode(mode);
}

void ModelFs::ChangeSize(const OpContext& context, Inode& inode, uint64_t size_bytes,
                         bool is_open) {
  if (size_bytes == inode.file.size_bytes()) {
    // truncate(2) may or may not mark times here.
    inode.open_times.mtime = inode.open_times.ctime = true;
    if (is_open) TouchModified(inode);
  } else {
    TouchModified(inode);
  }
  DropPrivileges(context, inode);
  inode.file.Resize(size_bytes);
}

void ModelFs::ChangeTimes(Inode& inode, const AttributeChanges& changes) {
  const Timespec now = clock_.RealTime();
  if (changes.atime) {
    inode.attributes.atime = changes.atime->now ? now : changes.atime->time;
    inode.open_times.atime = false;
  }
  if (changes.mtime) {
    inode.attributes.mtime = changes.mtime->now ? now : changes.mtime->time;
    inode.open_times.mtime = false;
  }
}

Result<fs::Attributes> ModelFs::SetAttributes(const OpContext& context, InodeNumber number,
                                              const AttributeChanges& changes, bool is_open) {
  Inode* const inode = TRY(Find(number));
  TRY(CheckAttributeChanges(context, *inode, changes, is_open));
  if (changes.size_bytes) ChangeSize(context, *inode, *changes.size_bytes, is_open);
  if (changes.uid || changes.gid) ChangeOwner(context, *inode, changes);
  if (changes.mode) ChangeMode(context, *inode, *changes.mode);
  ChangeTimes(*inode, changes);
  const bool only_size = changes.size_bytes && !changes.uid && !changes.gid && !changes.mode;
  if (!only_size) TouchChanged(*inode);
  return Show(*inode);
}

// --- files ---

Status ModelFs::Open(const OpContext& context, InodeNumber number, bool read, bool write,
                     bool truncate) {
  Inode* const inode = TRY(Find(number));
  if (S_ISLNK(inode->attributes.mode)) return Fail(ErrorCode::kTooManyLinks);
  if (inode->IsDirectory() && (write || truncate)) return Fail(ErrorCode::kIsDirectory);
  const uint32_t wanted = (read ? kRead : 0) | (write || truncate ? kWrite : 0);
  TRY(MayAccess(context, *inode, wanted));
  if (truncate && inode->IsRegular()) {
    TouchModified(*inode);
    DropPrivileges(context, *inode);
    inode->file.Resize(0);
  }
  ++inode->open_count;
  return {};
}

void ModelFs::Release(InodeNumber inode) {
  const auto found = inodes_.find(inode);
  if (found == inodes_.end()) return;
  --found->second.open_count;
  ForgetIfGone(inode);
}

Result<std::string> ModelFs::Read(InodeNumber number, uint64_t offset_bytes,
                                  uint64_t length_bytes) {
  Inode* const inode = TRY(Find(number));
  if (inode->IsDirectory()) return Fail(ErrorCode::kIsDirectory);
  inode->open_times.atime = true;
  return inode->file.Read(offset_bytes, length_bytes);
}

Result<uint64_t> ModelFs::Write(const OpContext& context, InodeNumber number,
                                std::optional<uint64_t> offset_bytes, std::string_view data) {
  Inode* const inode = TRY(Find(number));
  const uint64_t offset = offset_bytes.value_or(inode->file.size_bytes());
  if (data.empty()) return offset;
  if (offset > fs::kMaxFileBytes || data.size() > fs::kMaxFileBytes - offset) {
    return Fail(ErrorCode::kFileTooBig);
  }
  TouchModified(*inode);
  DropPrivileges(context, *inode);
  inode->file.Write(offset, data);
  return offset;
}

Status ModelFs::Allocate(const OpContext& context, InodeNumber number, fs::AllocateMode mode,
                         uint64_t offset_bytes, uint64_t length_bytes) {
  Inode* const inode = TRY(Find(number));
  if (length_bytes == 0) return Fail(ErrorCode::kInvalid);
  if (!inode->IsRegular()) return Fail(ErrorCode::kNotSupported);
  if (offset_bytes > fs::kMaxFileBytes || length_bytes > fs::kMaxFileBytes - offset_bytes) {
    return Fail(ErrorCode::kFileTooBig);
  }
  DropPrivileges(context, *inode);
  const uint64_t end = offset_bytes + length_bytes;
  const uint64_t old_size = inode->file.size_bytes();
  if (mode.punch_hole) {
    inode->file.Zero(offset_bytes, length_bytes, true);
  } else {
    if (mode.zero_range) inode->file.Zero(offset_bytes, length_bytes, false);
    if (!mode.keep_size && end > old_size) inode->file.Resize(end);
    inode->preallocated_bytes += length_bytes + 2 * options_.block_size_bytes;
  }
  const bool changes_bytes = mode.punch_hole || mode.zero_range;
  if (changes_bytes || inode->file.size_bytes() != old_size) {
    TouchModified(*inode);
  } else {
    inode->open_times.mtime = inode->open_times.ctime = true;
  }
  return {};
}

Result<uint64_t> ModelFs::CopyRange(const OpContext& context, InodeNumber source_number,
                                    uint64_t source_offset_bytes, InodeNumber target_number,
                                    uint64_t target_offset_bytes, uint64_t length_bytes) {
  Inode* const source = TRY(Find(source_number));
  TRY(Find(target_number));
  if (source_number == target_number) {
    const uint64_t first = std::min(source_offset_bytes, target_offset_bytes);
    const uint64_t second = std::max(source_offset_bytes, target_offset_bytes);
    const uint64_t size = source->file.size_bytes();
    const uint64_t count =
        source_offset_bytes >= size ? 0 : std::min(length_bytes, size - source_offset_bytes);
    if (count > 0 && second - first < count) return Fail(ErrorCode::kInvalid);
  }
  const std::string data = TRY(Read(source_number, source_offset_bytes, length_bytes));
  if (data.empty()) return uint64_t{0};
  TRY(Write(context, target_number, target_offset_bytes, data));
  return data.size();
}

// --- extended attributes ---

namespace {

constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

bool IsAcl(std::string_view name) { return name == kAccessAcl || name == kDefaultAcl; }

}  // namespace

// Which name spaces there are and who may use them: xattr(7).
Status ModelFs::MayUseXattr(const OpContext& context, const Inode& inode, std::string_view name,
                            bool write) const {
  if (name.empty() || name.size() > fs::kMaxXattrNameBytes) return Fail(ErrorCode::kRange);
  const size_t dot = name.find('.');
  const std::string_view space = name.substr(0, dot);
  const bool is_known = space == "user" || space == "trusted" || space == "security";
  if (dot == std::string_view::npos || !is_known) return Fail(ErrorCode::kNotSupported);
  const ErrorCode refusal = write ? ErrorCode::kNotPermitted : ErrorCode::kNoAttribute;
  if (space == "user") {
    if (!inode.IsRegular() && !inode.IsDirectory()) return Fail(refusal);
    const bool is_sticky = inode.IsDirectory() && (inode.attributes.mode & S_ISVTX) != 0;
    if (is_sticky && write && !IsOwner(context, inode)) return Fail(ErrorCode::kNotPermitted);
    TRY(MayAccess(context, inode, write ? kWrite : kRead));
  }
  if (space == "trusted" && !IsPrivileged(context)) return Fail(refusal);
  if (space == "security" && write && !IsPrivileged(context)) {
    return Fail(ErrorCode::kNotPermitted);
  }
  if (name.size() == dot + 1) return Fail(ErrorCode::kInvalid);
  return {};
}

Result<std::string> ModelFs::GetXattr(const OpContext& context, InodeNumber number,
                                      std::string_view name) {
  const Inode* const inode = TRY(Find(number));
  if (IsAcl(name)) {
    if (S_ISLNK(inode->attributes.mode)) return Fail(ErrorCode::kNotSupported);
    const auto& acl = name == kAccessAcl ? inode->access_acl : inode->default_acl;
    if (!acl) return Fail(ErrorCode::kNoAttribute);
    return acl->Format();
  }
  TRY(MayUseXattr(context, *inode, name, false));
  const auto found = inode->xattrs.find(std::string(name));
  if (found == inode->xattrs.end()) return Fail(ErrorCode::kNoAttribute);
  return found->second;
}

Status ModelFs::SetAcl(const OpContext& context, Inode& inode, bool is_default,
                       std::string_view value) {
  std::optional<ModelAcl> acl = TRY(ModelAcl::Parse(value));
  if (S_ISLNK(inode.attributes.mode)) return Fail(ErrorCode::kNotSupported);
  if (is_default && !inode.IsDirectory()) {
    if (acl) return Fail(ErrorCode::kAccessDenied);
    return {};
  }
  if (!IsOwner(context, inode)) return Fail(ErrorCode::kNotPermitted);
  if (acl && !acl->IsValid()) return Fail(ErrorCode::kInvalid);
  // Taking away what is not there need not mark anything.
  const bool was_absent = !(is_default ? inode.default_acl : inode.access_acl);
  if (is_default) {
    inode.default_acl = std::move(acl);
  } else {
    if (acl) ChangeMode(context, inode, (inode.attributes.mode & 07000) | acl->ModeBits());
    if (acl && acl->IsMinimal()) acl.reset();
    inode.access_acl = std::move(acl);
  }
  TouchChanged(inode);
  if (value.size() <= 4 && was_absent) inode.open_times.ctime = true;
  return {};
}

Status ModelFs::SetXattr(const OpContext& context, InodeNumber number, std::string_view name,
                         std::string_view value, fs::XattrFlag flag) {
  Inode* const inode = TRY(Find(number));
  if (IsAcl(name)) return SetAcl(context, *inode, name == kDefaultAcl, value);
  if (value.size() > fs::kMaxXattrValueBytes) return Fail(ErrorCode::kArgumentTooBig);
  TRY(MayUseXattr(context, *inode, name, true));
  const auto found = inode->xattrs.find(std::string(name));
  const bool exists = found != inode->xattrs.end();
  if (flag == fs::XattrFlag::kCreate && exists) return Fail(ErrorCode::kExists);
  if (flag == fs::XattrFlag::kReplace && !exists) return Fail(ErrorCode::kNoAttribute);
  const bool is_same = exists && found->second == value;
  inode->xattrs[std::string(name)] = value;
  TouchChanged(*inode);
  if (is_same) inode->open_times.ctime = true;
  return {};
}

Result<std::vector<std::string>> ModelFs::ListXattrs(const OpContext& context, InodeNumber number) {
  const Inode* const inode = TRY(Find(number));
  std::vector<std::string> names;
  for (const auto& [name, value] : inode->xattrs) {
    if (name.starts_with("trusted.") && !IsPrivileged(context)) continue;
    names.push_back(name);
  }
  if (inode->access_acl) names.emplace_back(kAccessAcl);
  if (inode->default_acl) names.emplace_back(kDefaultAcl);
  std::ranges::sort(names);
  return names;
}

Status ModelFs::RemoveXattr(const OpContext& context, InodeNumber number, std::string_view name) {
  Inode* const inode = TRY(Find(number));
  if (IsAcl(name)) return SetAcl(context, *inode, name == kDefaultAcl, "");
  TRY(MayUseXattr(context, *inode, name, true));
  if (inode->xattrs.erase(std::string(name)) == 0) return Fail(ErrorCode::kNoAttribute);
  TouchChanged(*inode);
  return {};
}

}  // namespace tifs::sim
