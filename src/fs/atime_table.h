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

// Access times that reads have moved and that are not stored yet, so that no read waits for a write.
// stat overlays them; the background stores them in batches. Lost by a crash. Safe for several
// threads.
class AtimeTable {
 public:
  // At this many the owner should store them.
  static constexpr size_t kFlushAt = 4096;

  void Note(InodeNumber inode, Timespec atime);
  std::optional<Timespec> Find(InodeNumber inode) const;
  // The time was set explicitly, or the inode is gone.
  void Forget(InodeNumber inode);
  // Takes at most `limit`; they are forgotten here.
  std::vector<std::pair<InodeNumber, Timespec>> Take(size_t limit);
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  mutable Mutex mutex_;
  std::unordered_map<uint64_t, Timespec> atimes_ GUARDED_BY(mutex_);
  std::atomic<size_t> size_{0};
};

}  // namespace tifs::fs
