#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "tests/sim/inode_ops.h"

namespace tifs::sim {

// fs::FileSystem behind the common face: one of its own, made anew at each Remount, or another's.
class FileSystemOps : public InodeOps {
 public:
  using Opener = std::function<Result<std::unique_ptr<fs::FileSystem>>()>;

  // Opens at once; the test fails if that does.
  explicit FileSystemOps(Opener opener);
  // Outlives it, and is never closed by it.
  explicit FileSystemOps(fs::FileSystem& file_system) : file_system_(&file_system) {}
  ~FileSystemOps() override;

  fs::FileSystem& file_system() { return *file_system_; }
  // Closes it, for a check of the store alone.
  Status Close();
  Status Reopen();

  Inode Root() override { return file_system_->root(); }
  Result<fs::Attributes> Lookup(const Context& context, Inode parent,
                                std::string_view name) override;
  Result<fs::Attributes> Mknod(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode, uint32_t rdev) override;
  Result<fs::Attributes> Mkdir(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode) override;
  Result<fs::Attributes> Symlink(const Context& context, Inode parent, std::string_view name,
                                 std::string_view target) override;
  Result<fs::Attributes> Link(const Context& context, Inode inode, Inode new_parent,
                              std::string_view new_name) override;
  Status Unlink(const Context& context, Inode parent, std::string_view name) override;
  Status Rmdir(const Context& context, Inode parent, std::string_view name) override;
  Status Rename(const Context& context, Inode parent, std::string_view name, Inode new_parent,
                std::string_view new_name, uint32_t flags) override;
  Result<std::string> Readlink(const Context& context, Inode inode) override;
  Result<std::map<std::string, Listed>> List(const Context& context, Inode inode) override;
  Result<fs::Attributes> GetAttributes(const Context& context, Inode inode) override;
  Result<fs::Attributes> SetAttributes(const Context& context, Inode inode,
                                       const fs::AttributeChanges& changes, Handle handle) override;
  Status Access(const Context& context, Inode inode, int mask) override;
  Result<Created> Create(const Context& context, Inode parent, std::string_view name, uint32_t mode,
                         fs::OpenFlags flags) override;
  Result<Handle> Open(const Context& context, Inode inode, fs::OpenFlags flags) override;
  Result<Handle> OpenDirectory(const Context& context, Inode inode) override;
  void Release(Inode inode, Handle handle, bool is_directory) override;
  Result<std::string> Read(const Context& context, Inode inode, Handle handle,
                           uint64_t offset_bytes, uint64_t length_bytes) override;
  Status Write(const Context& context, Inode inode, Handle handle, bool append,
               uint64_t offset_bytes, std::string_view data) override;
  Status Fsync(const Context& context, Inode inode) override;
  Status Allocate(const Context& context, Inode inode, Handle handle, fs::AllocateMode mode,
                  uint64_t offset_bytes, uint64_t length_bytes) override;
  Outcome Seek(const Context& context, Inode inode, Handle handle, uint64_t offset_bytes,
               fs::SeekWhence whence) override;
  Result<uint64_t> CopyRange(const Context& context, Inode source, Handle source_handle,
                             uint64_t source_offset_bytes, Inode target, Handle target_handle,
                             uint64_t target_offset_bytes, uint64_t length_bytes) override;
  Result<std::string> GetXattr(const Context& context, Inode inode, std::string_view name) override;
  Status SetXattr(const Context& context, Inode inode, std::string_view name,
                  std::string_view value, fs::XattrFlag flag) override;
  Result<std::vector<std::string>> ListXattrs(const Context& context, Inode inode) override;
  Status RemoveXattr(const Context& context, Inode inode, std::string_view name) override;
  Status Sync() override;
  Status Background(uint64_t steps) override;
  Status Remount() override;

 private:
  // As the kernel does before a change that its own request does not say it for.
  Status KillPrivileges(const Context& context, Inode inode, Handle handle);

  const Opener opener_;
  std::unique_ptr<fs::FileSystem> own_;
  fs::FileSystem* file_system_ = nullptr;
};

}  // namespace tifs::sim
