#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/op_context.h"
#include "fs/types.h"
#include "sim/model_fs.h"
#include "tests/sim/target.h"

namespace tifs::sim {

// Operations on inodes, the face that the model and the product share below PathTarget. Contracts:
// fs/file_system.h. A handle is what Open, Create and OpenDirectory returned for that inode.
class InodeOps {
 public:
  virtual ~InodeOps() = default;

  using Context = fs::OpContext;
  using Inode = fs::InodeNumber;
  using Handle = fs::HandleId;
  struct Created {
    fs::Attributes attributes;
    Handle handle;
  };

  virtual Inode Root() = 0;
  virtual Result<fs::Attributes> Lookup(const Context& context, Inode parent,
                                        std::string_view name) = 0;
  virtual Result<fs::Attributes> Mknod(const Context& context, Inode parent, std::string_view name,
                                       uint32_t mode, uint32_t rdev) = 0;
  virtual Result<fs::Attributes> Mkdir(const Context& context, Inode parent, std::string_view name,
                                       uint32_t mode) = 0;
  virtual Result<fs::Attributes> Symlink(const Context& context, Inode parent,
                                         std::string_view name, std::string_view target) = 0;
  virtual Result<fs::Attributes> Link(const Context& context, Inode inode, Inode new_parent,
                                      std::string_view new_name) = 0;
  virtual Status Unlink(const Context& context, Inode parent, std::string_view name) = 0;
  virtual Status Rmdir(const Context& context, Inode parent, std::string_view name) = 0;
  virtual Status Rename(const Context& context, Inode parent, std::string_view name,
                        Inode new_parent, std::string_view new_name, uint32_t flags) = 0;
  virtual Result<std::string> Readlink(const Context& context, Inode inode) = 0;
  // Names, inodes and types, without "." and "..".
  struct Listed {
    Inode inode;
    uint32_t type_mode;
  };
  virtual Result<std::map<std::string, Listed>> List(const Context& context, Inode inode) = 0;

  virtual Result<fs::Attributes> GetAttributes(const Context& context, Inode inode) = 0;
  virtual Result<fs::Attributes> SetAttributes(const Context& context, Inode inode,
                                               const fs::AttributeChanges& changes,
                                               Handle handle) = 0;
  virtual Status Access(const Context& context, Inode inode, int mask) = 0;

  virtual Result<Created> Create(const Context& context, Inode parent, std::string_view name,
                                 uint32_t mode, fs::OpenFlags flags) = 0;
  virtual Result<Handle> Open(const Context& context, Inode inode, fs::OpenFlags flags) = 0;
  virtual Result<Handle> OpenDirectory(const Context& context, Inode inode) = 0;
  virtual void Release(Inode inode, Handle handle, bool is_directory) = 0;
  virtual Result<std::string> Read(const Context& context, Inode inode, Handle handle,
                                   uint64_t offset_bytes, uint64_t length_bytes) = 0;
  virtual Status Write(const Context& context, Inode inode, Handle handle, bool append,
                       uint64_t offset_bytes, std::string_view data) = 0;
  virtual Status Fsync(const Context& context, Inode inode) = 0;
  virtual Status Allocate(const Context& context, Inode inode, Handle handle, fs::AllocateMode mode,
                          uint64_t offset_bytes, uint64_t length_bytes) = 0;
  virtual Outcome Seek(const Context& context, Inode inode, Handle handle, uint64_t offset_bytes,
                       fs::SeekWhence whence) = 0;
  virtual Result<uint64_t> CopyRange(const Context& context, Inode source, Handle source_handle,
                                     uint64_t source_offset_bytes, Inode target,
                                     Handle target_handle, uint64_t target_offset_bytes,
                                     uint64_t length_bytes) = 0;

  virtual Result<std::string> GetXattr(const Context& context, Inode inode,
                                       std::string_view name) = 0;
  virtual Status SetXattr(const Context& context, Inode inode, std::string_view name,
                          std::string_view value, fs::XattrFlag flag) = 0;
  virtual Result<std::vector<std::string>> ListXattrs(const Context& context, Inode inode) = 0;
  virtual Status RemoveXattr(const Context& context, Inode inode, std::string_view name) = 0;

  virtual Status Sync() = 0;
  virtual Status Background(uint64_t steps) = 0;
  // Every handle is gone afterwards.
  virtual Status Remount() = 0;

  // The oracle's: what it leaves open about an inode.
  virtual void Annotate(Inode inode, NodeState& state) {
    (void)inode;
    (void)state;
  }
};

}  // namespace tifs::sim
