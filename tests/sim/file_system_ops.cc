#include "tests/sim/file_system_ops.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace tifs::sim {

FileSystemOps::FileSystemOps(Opener opener) : opener_(std::move(opener)) {
  Result<std::unique_ptr<fs::FileSystem>> opened = opener_();
  if (!opened) {
    std::fprintf(stderr, "open: %s\n", opened.error().ToString().c_str());
    std::abort();
  }
  own_ = *std::move(opened);
  file_system_ = own_.get();
}

FileSystemOps::~FileSystemOps() = default;

Status FileSystemOps::Close() {
  Status closed = file_system_->Close();
  own_.reset();
  return closed;
}

Status FileSystemOps::Reopen() {
  own_ = TRY(opener_());
  file_system_ = own_.get();
  return {};
}

Status FileSystemOps::Remount() {
  // A close that failed has closed all the same.
  Status closed = Close();
  TRY(Reopen());
  return closed;
}

Status FileSystemOps::Sync() { return file_system_->Sync(); }

Status FileSystemOps::Background(uint64_t steps) {
  for (uint64_t i = 0; i < steps; ++i) {
    if (!TRY(file_system_->RunBackgroundStep())) break;
  }
  return {};
}

// --- names ---

Result<fs::Attributes> FileSystemOps::Lookup(const Context& context, Inode parent,
                                             std::string_view name) {
  return TRY(file_system_->Lookup(context, parent, name)).attributes;
}

Result<fs::Attributes> FileSystemOps::Mknod(const Context& context, Inode parent,
                                            std::string_view name, uint32_t mode, uint32_t rdev) {
  return TRY(file_system_->Mknod(context, parent, name, mode, rdev)).attributes;
}

Result<fs::Attributes> FileSystemOps::Mkdir(const Context& context, Inode parent,
                                            std::string_view name, uint32_t mode) {
  return TRY(file_system_->Mkdir(context, parent, name, mode)).attributes;
}

Result<fs::Attributes> FileSystemOps::Symlink(const Context& context, Inode parent,
                                              std::string_view name, std::string_view target) {
  return TRY(file_system_->Symlink(context, parent, name, target)).attributes;
}

Result<fs::Attributes> FileSystemOps::Link(const Context& context, Inode inode, Inode new_parent,
                                           std::string_view new_name) {
  return TRY(file_system_->Link(context, inode, new_parent, new_name)).attributes;
}

Status FileSystemOps::Unlink(const Context& context, Inode parent, std::string_view name) {
  return file_system_->Unlink(context, parent, name);
}

Status FileSystemOps::Rmdir(const Context& context, Inode parent, std::string_view name) {
  return file_system_->Rmdir(context, parent, name);
}

Status FileSystemOps::Rename(const Context& context, Inode parent, std::string_view name,
                             Inode new_parent, std::string_view new_name, uint32_t flags) {
  return file_system_->Rename(context, parent, name, new_parent, new_name, flags);
}

Result<std::string> FileSystemOps::Readlink(const Context& context, Inode inode) {
  return file_system_->Readlink(context, inode);
}

// In several calls, so that going on from a cookie is exercised.
Result<std::map<std::string, InodeOps::Listed>> FileSystemOps::List(const Context& context,
                                                                    Inode inode) {
  constexpr size_t kAtOnce = 3;
  const Handle handle = TRY(file_system_->OpenDirectory(context, inode));
  std::map<std::string, Listed> listed;
  uint64_t cookie = 0;
  Status status;
  for (bool more = true; more && status;) {
    more = false;
    const auto visit = [&](const fs::DirectoryEntry& entry) {
      more = true;
      cookie = entry.cookie;
      if (entry.name == "." || entry.name == "..") return true;
      const bool is_new =
          listed.emplace(std::string(entry.name), Listed{entry.inode, entry.type_mode}).second;
      if (!is_new) listed[std::string(entry.name) + " (twice)"] = {};
      return true;
    };
    status = file_system_->ReadDirectory(context, inode, cookie, kAtOnce, false, visit);
  }
  TRY(file_system_->ReleaseDirectory(inode, handle));
  TRY(std::move(status));
  return listed;
}

// --- attributes ---

Result<fs::Attributes> FileSystemOps::GetAttributes(const Context& context, Inode inode) {
  return TRY(file_system_->GetAttributes(context, inode)).attributes;
}

Result<fs::Attributes> FileSystemOps::SetAttributes(const Context& context, Inode inode,
                                                    const fs::AttributeChanges& changes,
                                                    Handle handle) {
  fs::AttributeChanges told = changes;
  told.kill_privileges = changes.size_bytes.has_value() && !context.IsRoot();
  return TRY(file_system_->SetAttributes(context, inode, told, handle)).attributes;
}

Status FileSystemOps::Access(const Context& context, Inode inode, int mask) {
  return file_system_->Access(context, inode, mask);
}

// --- files ---

Result<InodeOps::Created> FileSystemOps::Create(const Context& context, Inode parent,
                                                std::string_view name, uint32_t mode,
                                                fs::OpenFlags flags) {
  const fs::CreatedFile created = TRY(file_system_->Create(context, parent, name, mode, flags));
  return Created{created.entry.attributes, created.file.handle};
}

Result<fs::HandleId> FileSystemOps::Open(const Context& context, Inode inode, fs::OpenFlags flags) {
  return TRY(file_system_->Open(context, inode, flags)).handle;
}

Result<fs::HandleId> FileSystemOps::OpenDirectory(const Context& context, Inode inode) {
  return file_system_->OpenDirectory(context, inode);
}

void FileSystemOps::Release(Inode inode, Handle handle, bool is_directory) {
  const Status released = is_directory ? file_system_->ReleaseDirectory(inode, handle)
                                       : file_system_->Release(inode, handle);
  CHECK(released.ok());
}

Result<std::string> FileSystemOps::Read(const Context& context, Inode inode, Handle handle,
                                        uint64_t offset_bytes, uint64_t length_bytes) {
  std::string bytes(length_bytes, '?');
  bytes.resize(TRY(file_system_->Read(context, inode, handle, offset_bytes, bytes)));
  return bytes;
}

Status FileSystemOps::Write(const Context& context, Inode inode, Handle handle, bool append,
                            uint64_t offset_bytes, std::string_view data) {
  if (data.empty()) return {};  // does not reach a file system
  fs::FileSystem::WriteOptions options;
  options.at_end = append;
  options.kill_privileges = !context.IsRoot();
  const size_t count =
      TRY(file_system_->Write(context, inode, handle, offset_bytes, data, options));
  CHECK(count == data.size());
  return {};
}

Status FileSystemOps::Fsync(const Context& context, Inode inode) {
  return file_system_->Fsync(context, inode, false);
}

Status FileSystemOps::KillPrivileges(const Context& context, Inode inode, Handle handle) {
  if (context.IsRoot()) return {};
  const fs::Attributes attributes = TRY(GetAttributes(context, inode));
  const uint32_t mode = attributes.mode;
  uint32_t kept = mode & ~uint32_t{S_ISUID};
  const auto groups = context.supplementary_groups();
  const bool in_group =
      context.gid == attributes.gid || std::ranges::count(groups, attributes.gid) > 0;
  if ((kept & S_IXGRP) != 0 || !in_group) kept &= ~uint32_t{S_ISGID};
  if (kept == mode) return {};
  fs::AttributeChanges changes;
  changes.mode = kept & 07777;
  TRY(file_system_->SetAttributes(Context{}, inode, changes, handle));
  return {};
}

Status FileSystemOps::Allocate(const Context& context, Inode inode, Handle handle,
                               fs::AllocateMode mode, uint64_t offset_bytes,
                               uint64_t length_bytes) {
  TRY(KillPrivileges(context, inode, handle));
  return file_system_->Allocate(context, inode, handle, mode, offset_bytes, length_bytes);
}

Outcome FileSystemOps::Seek(const Context& context, Inode inode, Handle handle,
                            uint64_t offset_bytes, fs::SeekWhence whence) {
  Outcome outcome;
  const Result<uint64_t> offset = file_system_->Seek(context, inode, handle, offset_bytes, whence);
  if (offset) {
    outcome.value = static_cast<int64_t>(*offset);
  } else {
    outcome.error = offset.error().ToErrno();
  }
  return outcome;
}

Result<uint64_t> FileSystemOps::CopyRange(const Context& context, Inode source,
                                          Handle source_handle, uint64_t source_offset_bytes,
                                          Inode target, Handle target_handle,
                                          uint64_t target_offset_bytes, uint64_t length_bytes) {
  const uint64_t size = TRY(GetAttributes(context, source)).size_bytes;
  if (source_offset_bytes >= size) return uint64_t{0};
  // As the kernel does: what lies beyond the end when it begins is not copied, nor are ranges that
  // overlap.
  length_bytes = std::min(length_bytes, size - source_offset_bytes);
  if (source == target) {
    const uint64_t first = std::min(source_offset_bytes, target_offset_bytes);
    const uint64_t second = std::max(source_offset_bytes, target_offset_bytes);
    if (second - first < length_bytes) return Error(ErrorCode::kInvalid, "overlap");
  }
  TRY(KillPrivileges(context, target, target_handle));
  uint64_t copied = 0;
  while (copied < length_bytes) {
    const Result<size_t> step = file_system_->CopyRange(
        context, source, source_handle, source_offset_bytes + copied, target, target_handle,
        target_offset_bytes + copied, length_bytes - copied);
    if (!step && copied > 0) break;
    if (!step) return step.error().Clone();
    if (*step == 0) break;
    copied += *step;
  }
  return copied;
}

// --- extended attributes ---

Result<std::string> FileSystemOps::GetXattr(const Context& context, Inode inode,
                                            std::string_view name) {
  return file_system_->GetXattr(context, inode, name);
}

Status FileSystemOps::SetXattr(const Context& context, Inode inode, std::string_view name,
                               std::string_view value, fs::XattrFlag flag) {
  return file_system_->SetXattr(context, inode, name, value, flag);
}

Result<std::vector<std::string>> FileSystemOps::ListXattrs(const Context& context, Inode inode) {
  const std::string listed = TRY(file_system_->ListXattrs(context, inode));
  std::vector<std::string> names;
  for (size_t begin = 0; begin < listed.size();) {
    const size_t end = listed.find('\0', begin);
    CHECK(end != std::string::npos);
    names.push_back(listed.substr(begin, end - begin));
    begin = end + 1;
  }
  std::ranges::sort(names);
  return names;
}

Status FileSystemOps::RemoveXattr(const Context& context, Inode inode, std::string_view name) {
  return file_system_->RemoveXattr(context, inode, name);
}

}  // namespace tifs::sim
