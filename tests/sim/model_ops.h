#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/model_fs.h"
#include "tests/sim/inode_ops.h"

namespace tifs::sim {

// The model behind the common face.
class ModelOps : public InodeOps {
 public:
  explicit ModelOps(ModelFs model) : model_(std::move(model)) {}
  ModelOps(const ModelOps&) = default;

  const ModelFs& model() const { return model_; }
  ModelFs& model() { return model_; }

  Inode Root() override { return model_.root(); }
  Result<fs::Attributes> Lookup(const Context& context, Inode parent,
                                std::string_view name) override {
    return model_.Lookup(context, parent, name);
  }
  Result<fs::Attributes> Mknod(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode, uint32_t rdev) override {
    return model_.Mknod(context, parent, name, mode, rdev);
  }
  Result<fs::Attributes> Mkdir(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode) override {
    return model_.Mkdir(context, parent, name, mode);
  }
  Result<fs::Attributes> Symlink(const Context& context, Inode parent, std::string_view name,
                                 std::string_view target) override {
    return model_.Symlink(context, parent, name, target);
  }
  Result<fs::Attributes> Link(const Context& context, Inode inode, Inode new_parent,
                              std::string_view new_name) override {
    return model_.Link(context, inode, new_parent, new_name);
  }
  Status Unlink(const Context& context, Inode parent, std::string_view name) override {
    return model_.Unlink(context, parent, name);
  }
  Status Rmdir(const Context& context, Inode parent, std::string_view name) override {
    return model_.Rmdir(context, parent, name);
  }
  Status Rename(const Context& context, Inode parent, std::string_view name, Inode new_parent,
                std::string_view new_name, uint32_t flags) override {
    return model_.Rename(context, parent, name, new_parent, new_name, flags);
  }
  Result<std::string> Readlink(const Context&, Inode inode) override {
    return model_.Readlink(inode);
  }
  Result<std::map<std::string, Listed>> List(const Context& context, Inode inode) override;
  Result<fs::Attributes> GetAttributes(const Context&, Inode inode) override {
    return model_.GetAttributes(inode);
  }
  Result<fs::Attributes> SetAttributes(const Context& context, Inode inode,
                                       const fs::AttributeChanges& changes,
                                       Handle handle) override {
    return model_.SetAttributes(context, inode, changes, handle != Handle{});
  }
  Status Access(const Context& context, Inode inode, int mask) override {
    return model_.Access(context, inode, mask);
  }
  Result<Created> Create(const Context& context, Inode parent, std::string_view name, uint32_t mode,
                         fs::OpenFlags) override {
    return Created{TRY(model_.Create(context, parent, name, mode)), Handle{1}};
  }
  Result<Handle> Open(const Context& context, Inode inode, fs::OpenFlags flags) override {
    TRY(model_.Open(context, inode, flags.read, flags.write, flags.truncate));
    return Handle{1};
  }
  Result<Handle> OpenDirectory(const Context& context, Inode inode) override {
    TRY(model_.Open(context, inode, true, false, false));
    return Handle{1};
  }
  void Release(Inode inode, Handle, bool) override { model_.Release(inode); }
  Result<std::string> Read(const Context&, Inode inode, Handle, uint64_t offset_bytes,
                           uint64_t length_bytes) override {
    return model_.Read(inode, offset_bytes, length_bytes);
  }
  Status Write(const Context& context, Inode inode, Handle, bool append, uint64_t offset_bytes,
               std::string_view data) override {
    std::optional<uint64_t> offset;
    if (!append) offset = offset_bytes;
    TRY(model_.Write(context, inode, offset, data));
    return {};
  }
  Status Fsync(const Context&, Inode) override { return {}; }
  Status Allocate(const Context& context, Inode inode, Handle, fs::AllocateMode mode,
                  uint64_t offset_bytes, uint64_t length_bytes) override {
    return model_.Allocate(context, inode, mode, offset_bytes, length_bytes);
  }
  Outcome Seek(const Context& context, Inode inode, Handle handle, uint64_t offset_bytes,
               fs::SeekWhence whence) override;
  Result<uint64_t> CopyRange(const Context& context, Inode source, Handle,
                             uint64_t source_offset_bytes, Inode target, Handle,
                             uint64_t target_offset_bytes, uint64_t length_bytes) override {
    return model_.CopyRange(context, source, source_offset_bytes, target, target_offset_bytes,
                            length_bytes);
  }
  Result<std::string> GetXattr(const Context& context, Inode inode,
                               std::string_view name) override {
    return model_.GetXattr(context, inode, name);
  }
  Status SetXattr(const Context& context, Inode inode, std::string_view name,
                  std::string_view value, fs::XattrFlag flag) override {
    return model_.SetXattr(context, inode, name, value, flag);
  }
  Result<std::vector<std::string>> ListXattrs(const Context& context, Inode inode) override {
    return model_.ListXattrs(context, inode);
  }
  Status RemoveXattr(const Context& context, Inode inode, std::string_view name) override {
    return model_.RemoveXattr(context, inode, name);
  }
  Status Sync() override { return {}; }
  Status Background(uint64_t) override { return {}; }
  Status Remount() override {
    model_.ReleaseAll();
    return {};
  }
  void Annotate(Inode inode, NodeState& state) override;

  // Ranges of regular files that ever held a written byte, by path: what a walk should read.
  Interest TouchedRanges();
  // 0 if there is nothing at the path; no symbolic links are followed.
  Inode InodeAt(const std::string& path) const;

 private:
  void AddTouchedRanges(Inode directory, const std::string& path, Interest& interest);

  ModelFs model_;
};

}  // namespace tifs::sim
