#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "fs/types.h"

namespace tifs::fs {

// Access times that reads have moved and that are not stored yet, so that no read waits for a
// write. stat overlays them; the background stores them in batches. Lost by a crash. Safe for
// several threads.
class AtimeTable {
 public:
  // At this many the owner should store them.
  static constexpr size_t kFlushAt = 4096;

  void Note(InodeNumber inode, Timespec atime);
  std::optional<Timespec> Find(InodeNumber inode) const;
  // The time is being set explicitly, or the inode is gone. Called before that commits, so that
  // what is being stored meanwhile conflicts with it and finds IsTaken false when it runs again.
  void Forget(InodeNumber inode);
  // Takes at most `limit` to be stored; Find still knows them until Stored, which ends this,
  // whether they were stored or not. One caller at a time.
  std::vector<std::pair<InodeNumber, Timespec>> Take(size_t limit);
  bool IsTaken(InodeNumber inode) const;
  void Stored();
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  using Atimes = std::unordered_map<uint64_t, Timespec>;

  void Count() REQUIRES(mutex_) { size_ = atimes_.size() + taken_.size(); }

  mutable Mutex mutex_;
  Atimes atimes_ GUARDED_BY(mutex_);
  Atimes taken_ GUARDED_BY(mutex_);  // being stored; older than those above
  std::atomic<size_t> size_{0};
};

}  // namespace tifs::fs
