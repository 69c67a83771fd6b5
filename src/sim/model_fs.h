#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/op_context.h"
#include "fs/types.h"
#include "sim/model_acl.h"
#include "sim/model_file.h"

namespace tifs::sim {

struct ModelOptions {
  // Only what may be a hole and what st_blocks may say depend on it.
  uint32_t block_size_bytes = 64 << 10;
  // As FileSystemOptions::check_permissions; without it everybody may do everything.
  bool check_permissions = false;
};

// The oracle: a POSIX file system in memory, written to be read and compared with the manual pages.
// It answers as ext4 under Linux does: results, errnos and their precedence, link counts, which
// times move. The operations are those of fs::FileSystem. Copying it copies the whole tree.
//
// Where POSIX leaves an answer open (what reads do to atime, where a hole begins, whether
// truncating to the same size moves times), it says so: see TimesMayDiffer and Contents. Used by
// one thread at a time. `clock` outlives it and its copies.
class ModelFs {
 public:
  using InodeNumber = fs::InodeNumber;

  ModelFs(Clock& clock, ModelOptions options);

  InodeNumber root() const { return fs::kRootInode; }

  // --- names ---
  Result<fs::Attributes> Lookup(const fs::OpContext& context, InodeNumber parent,
                                std::string_view name);
  // Regular files, fifos, sockets and devices; `mode` with its type bits.
  Result<fs::Attributes> Mknod(const fs::OpContext& context, InodeNumber parent,
                               std::string_view name, uint32_t mode, uint32_t rdev);
  Result<fs::Attributes> Mkdir(const fs::OpContext& context, InodeNumber parent,
                               std::string_view name, uint32_t mode);
  Result<fs::Attributes> Symlink(const fs::OpContext& context, InodeNumber parent,
                                 std::string_view name, std::string_view target);
  Result<fs::Attributes> Link(const fs::OpContext& context, InodeNumber inode,
                              InodeNumber new_parent, std::string_view new_name);
  Status Unlink(const fs::OpContext& context, InodeNumber parent, std::string_view name);
  Status Rmdir(const fs::OpContext& context, InodeNumber parent, std::string_view name);
  Status Rename(const fs::OpContext& context, InodeNumber parent, std::string_view name,
                InodeNumber new_parent, std::string_view new_name, uint32_t flags);
  Result<std::string> Readlink(InodeNumber inode);
  // Names and inodes, without "." and "..", in the order of their bytes.
  Result<std::map<std::string, InodeNumber>> ReadDirectory(InodeNumber inode);

  // --- attributes ---
  Result<fs::Attributes> GetAttributes(InodeNumber inode) const;
  // `is_open`: through a file open for writing, so that a change of size needs no permission.
  Result<fs::Attributes> SetAttributes(const fs::OpContext& context, InodeNumber inode,
                                       const fs::AttributeChanges& changes, bool is_open);
  // As access(2), whether permissions are checked elsewhere or not.
  Status Access(const fs::OpContext& context, InodeNumber inode, int mask);

  // --- files ---
  // Pins the inode until Release. Errors as open(2), for the access asked for.
  Status Open(const fs::OpContext& context, InodeNumber inode, bool read, bool write,
              bool truncate);
  // Mknod of a regular file and Open of it in one step, whatever its mode.
  Result<fs::Attributes> Create(const fs::OpContext& context, InodeNumber parent,
                                std::string_view name, uint32_t mode);
  void Release(InodeNumber inode);
  Result<std::string> Read(InodeNumber inode, uint64_t offset_bytes, uint64_t length_bytes);
  // Without an offset: at the end. Returns the offset at which it wrote.
  Result<uint64_t> Write(const fs::OpContext& context, InodeNumber inode,
                         std::optional<uint64_t> offset_bytes, std::string_view data);
  Status Allocate(const fs::OpContext& context, InodeNumber inode, fs::AllocateMode mode,
                  uint64_t offset_bytes, uint64_t length_bytes);
  // Copies to the end of the source at most; returns how many.
  Result<uint64_t> CopyRange(const fs::OpContext& context, InodeNumber source,
                             uint64_t source_offset_bytes, InodeNumber target,
                             uint64_t target_offset_bytes, uint64_t length_bytes);

  // --- extended attributes ---
  Result<std::string> GetXattr(const fs::OpContext& context, InodeNumber inode,
                               std::string_view name);
  Status SetXattr(const fs::OpContext& context, InodeNumber inode, std::string_view name,
                  std::string_view value, fs::XattrFlag flag);
  Result<std::vector<std::string>> ListXattrs(const fs::OpContext& context, InodeNumber inode);
  Status RemoveXattr(const fs::OpContext& context, InodeNumber inode, std::string_view name);

  // --- for those who judge ---
  // The file's contents; nullptr if it is no regular file.
  const ModelFile* Contents(InodeNumber inode) const;
  // Space set aside beyond what was written, at most.
  uint64_t MaxAllocatedBytes(InodeNumber inode) const;
  // Times that POSIX lets an implementation choose since the last operation that fixed them.
  struct OpenTimes {
    bool atime = false;
    bool mtime = false;
    bool ctime = false;
  };
  OpenTimes TimesMayDiffer(InodeNumber inode) const;
  // Inodes that exist, unlinked and open ones included.
  size_t inode_count() const { return inodes_.size(); }
  // Makes a file hold these bytes, as if they always had been there; the range lies inside it.
  void AdoptBytes(InodeNumber inode, uint64_t offset_bytes, std::string_view bytes);
  // Every handle is gone, as after a crash or a remount.
  void ReleaseAll();

 private:
  struct Inode {
    Inode(uint64_t block_size_bytes) : file(block_size_bytes) {}
    fs::Attributes attributes;
    OpenTimes open_times;
    uint64_t open_count = 0;
    // Of directories: itself for the root.
    InodeNumber parent;
    std::map<std::string, InodeNumber> entries;
    std::string target;  // of symbolic links
    ModelFile file;      // of regular files
    uint64_t preallocated_bytes = 0;
    std::map<std::string, std::string> xattrs;
    std::optional<ModelAcl> access_acl;
    std::optional<ModelAcl> default_acl;

    bool IsDirectory() const { return attributes.IsDirectory(); }
    bool IsRegular() const { return attributes.IsRegular(); }
  };

  // A name in a directory on which the caller may search, and what is there.
  struct Place {
    Inode* directory;
    std::string name;
    Inode* found;  // nullptr: nothing
  };

  Result<Inode*> Find(InodeNumber inode);
  Result<const Inode*> Find(InodeNumber inode) const;
  Result<Place> FindPlace(const fs::OpContext& context, InodeNumber parent, std::string_view name);
  fs::Attributes Show(const Inode& inode) const;

  // --- permissions ---
  bool IsOwner(const fs::OpContext& context, const Inode& inode) const;
  bool IsPrivileged(const fs::OpContext& context) const;
  static std::vector<uint32_t> Groups(const fs::OpContext& context);
  Status MayAccess(const fs::OpContext& context, const Inode& inode, uint32_t wanted) const;
  Status EvaluateAccess(const fs::OpContext& context, const Inode& inode, uint32_t wanted) const;
  Status MayDelete(const fs::OpContext& context, const Inode& directory, const Inode& victim,
                   bool as_directory) const;

  // --- changes ---
  void TouchModified(Inode& inode);  // mtime and ctime
  void TouchChanged(Inode& inode);   // ctime
  void DropPrivileges(const fs::OpContext& context, Inode& inode);
  Result<Inode*> NewInode(const fs::OpContext& context, Place& place, uint32_t mode);
  void InheritAccess(const fs::OpContext& context, const Inode& directory, Inode& inode);
  void Unreference(Inode& inode);
  void ForgetIfGone(InodeNumber inode);
  bool IsInside(InodeNumber inode, InodeNumber ancestor) const;
  InodeNumber ChildTowards(InodeNumber ancestor, InodeNumber descendant) const;
  Status CheckRename(const fs::OpContext& context, const Place& from, const Place& to,
                     uint32_t flags) const;
  void Exchange(Place& from, Place& to);
  Status CheckAttributeChanges(const fs::OpContext& context, const Inode& inode,
                               const fs::AttributeChanges& changes, bool is_open) const;
  void ChangeOwner(const fs::OpContext& context, Inode& inode, const fs::AttributeChanges& changes);
  void ChangeMode(const fs::OpContext& context, Inode& inode, uint32_t mode);
  void ChangeSize(const fs::OpContext& context, Inode& inode, uint64_t size_bytes, bool is_open);
  void ChangeTimes(Inode& inode, const fs::AttributeChanges& changes);
  Status MayUseXattr(const fs::OpContext& context, const Inode& inode, std::string_view name,
                     bool write) const;
  Status SetAcl(const fs::OpContext& context, Inode& inode, bool is_default,
                std::string_view value);

  Clock& clock_;
  ModelOptions options_;
  uint64_t last_inode_ = fs::kRootInode.value;
  std::map<InodeNumber, Inode> inodes_;
};

}  // namespace tifs::sim
