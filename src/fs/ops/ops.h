#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/operation.h"
#include "fs/types.h"

// The bodies of the operations, each run by FileSystem as one attempt of one transaction.
// Contracts: fs/file_system.h. One family a file.
namespace tifs::fs::ops {

// lookup.cc
Result<Entry> Lookup(Operation& op, InodeNumber parent, std::string_view name);
Result<std::string> Readlink(Operation& op, InodeNumber inode);

// attr.cc
Result<Entry> GetAttributes(Operation& op, InodeNumber inode);
struct ChangedAttributes {
  Entry entry;
  // The file was cut (or keeps its size) and has preallocation, which may lie beyond its end: to be
  // given up.
  bool reserved_beyond = false;
};
Result<ChangedAttributes> SetAttributes(Operation& op, InodeNumber inode,
                                        const AttributeChanges& changes, bool through_handle);
Status Access(Operation& op, InodeNumber inode, int mask);
// Stores access times that reads have moved and AtimeTable::Take took; an inode that is gone is
// passed over.
Status StoreAtimes(Operation& op, std::span<const std::pair<InodeNumber, Timespec>> atimes);

// create.cc
struct NewInode {
  InodeNumber number;  // from the allocator
  uint32_t mode = 0;   // with type bits
  uint32_t rdev = 0;
  std::string_view symlink_target;
};
Result<Entry> Create(Operation& op, InodeNumber parent, std::string_view name,
                     const NewInode& new_inode);
Status CheckName(std::string_view name);
// Sets a new inode's group, and narrows its mode by its parent's default ACL or the caller's umask.
Status InheritAccess(Operation& op, const InodeRecord& parent, InodeRecord& inode);

// link.cc
Result<Entry> Link(Operation& op, InodeNumber inode, InodeNumber new_parent,
                   std::string_view new_name);

// unlink.cc
Status Unlink(Operation& op, InodeNumber parent, std::string_view name);
Status Rmdir(Operation& op, InodeNumber parent, std::string_view name);

// rename.cc; `whiteout_number`: for kWhiteOut, from the allocator.
struct RenameRequest {
  InodeNumber parent;
  std::string_view name;
  InodeNumber new_parent;
  std::string_view new_name;
  uint32_t flags = 0;
  InodeNumber whiteout_number;
};
Status Rename(Operation& op, const RenameRequest& request);

// open.cc
// Whether the inode may be opened so; truncates nothing.
Status OpenFile(Operation& op, InodeNumber inode, OpenFlags flags);
Status OpenDirectory(Operation& op, InodeNumber inode);

// content.cc
Result<size_t> Read(Operation& op, InodeNumber inode, uint64_t offset_bytes, std::span<char> out);
Status Write(Operation& op, InodeNumber inode, uint64_t offset_bytes, std::string_view data,
             bool at_end, bool kill_privileges);
// The parts of fallocate. Punch and Truncate (in SetAttributes) answer kTooLarge when too many
// clears wait: ClearStep makes room, in a transaction of its own.
Status Punch(Operation& op, InodeNumber inode, uint64_t begin_bytes, uint64_t end_bytes);
// Reserves some blocks of a range; returns the offset at which to go on, `end_bytes` when done.
Result<uint64_t> Preallocate(Operation& op, InodeNumber inode, uint64_t begin_bytes,
                             uint64_t end_bytes);
// Gives up some preallocation in a range; true when none is left there.
Result<bool> GiveUpPreallocation(Operation& op, InodeNumber inode, uint64_t begin_bytes,
                                 uint64_t end_bytes);
// Raises the size to at least `size_bytes`.
Status Grow(Operation& op, InodeNumber inode, uint64_t size_bytes);
Status ClearStep(Operation& op, InodeNumber inode);
Result<uint64_t> Seek(Operation& op, InodeNumber inode, uint64_t offset_bytes, SeekWhence whence);
struct CopyRequest {
  InodeNumber source;
  uint64_t source_offset_bytes = 0;
  InodeNumber target;
  uint64_t target_offset_bytes = 0;
  uint64_t length_bytes = 0;  // at most what one transaction takes
};
Result<size_t> CopyRange(Operation& op, const CopyRequest& request);

// readdir.cc
Status ReadDirectory(Operation& op, InodeNumber inode, uint64_t cookie, size_t limit,
                     bool with_attributes, const DirectoryVisitor& visitor);

// xattr.cc
Result<std::string> GetXattr(Operation& op, InodeNumber inode, std::string_view name);
Status SetXattr(Operation& op, InodeNumber inode, std::string_view name, std::string_view value,
                XattrFlag flag);
Result<std::string> ListXattrs(Operation& op, InodeNumber inode);
Status RemoveXattr(Operation& op, InodeNumber inode, std::string_view name);

// reclaim.cc
// One step of work on a leftover. With sessions, that of an orphan presumes that all have seen it
// (Session::AllHaveSeen).
enum class Reclaimed : uint8_t {
  kMore,
  kDone,
  kHeld,  // somebody has it open; whose last close takes it up again
};
Result<Reclaimed> ReclaimStep(Operation& op, const Leftover& leftover);

}  // namespace tifs::fs::ops
