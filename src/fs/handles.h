#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/sync.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// Which inodes are open here, how often, and the handles. Open enters an inode first and reads it
// second; an unlink that would delete an inode at once first reserves the deletion, so that between
// the two an open file's inode is never deleted. Safe for use by several threads; sharded by inode.
class HandleTable {
 public:
  // What stays with a handle.
  struct Handle {
    InodeNumber inode;
    bool sync = false;
  };

  // Counts the inode as open; waits while its deletion is reserved.
  HandleId Add(InodeNumber inode, bool sync);
  // If this was the last handle of an inode that has been unlinked meanwhile: what MarkUnlinked
  // said.
  std::optional<kv::Timestamp> Remove(InodeNumber inode, HandleId handle);
  // The handle, or one that says nothing if there is none.
  Handle Find(InodeNumber inode, HandleId handle) const;

  // Marks an inode as unlinked by the transaction that began at `begun`, so that its last Remove
  // says so. False if it is not open.
  bool MarkUnlinked(InodeNumber inode, kv::Timestamp begun);
  // Whether the inode is open and marked so: then it stays until its last Remove.
  bool KeepsUnlinked(InodeNumber inode) const;
  // The handle has been found to be right: its inode may be opened again, whatever comes.
  void Confirm(InodeNumber inode);
  // Whether a handle of the inode was confirmed and some handle has been open ever since.
  bool IsConfirmed(InodeNumber inode) const;
  bool IsOpen(InodeNumber inode) const;
  // False if the inode is open or being deleted; else no Add succeeds until EndDelete.
  bool BeginDelete(InodeNumber inode);
  void EndDelete(InodeNumber inode);

  uint64_t size() const { return open_handles_.load(std::memory_order_relaxed); }

 private:
  struct OpenInode {
    uint32_t handles = 0;
    std::optional<kv::Timestamp> unlinked;
    bool deleting = false;
    bool confirmed = false;
  };
  struct Shard {
    mutable Mutex mutex;
    CondVar delete_ended;
    std::unordered_map<uint64_t, OpenInode> inodes GUARDED_BY(mutex);
    std::unordered_map<uint64_t, Handle> handles GUARDED_BY(mutex);
  };
  static constexpr size_t kShards = 16;

  Shard& ShardOf(InodeNumber inode) { return shards_[inode.value % kShards]; }
  const Shard& ShardOf(InodeNumber inode) const { return shards_[inode.value % kShards]; }

  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> next_handle_{1};
  std::atomic<uint64_t> open_handles_{0};
};

}  // namespace tifs::fs
