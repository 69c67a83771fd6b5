#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/sync.h"
#include "fs/types.h"

namespace tifs::fs {

// What stat tells of directories that were removed and that the caller still knows: as somebody's
// working directory, or open without a handle of ours. They have no record any more, and hold
// nothing. Safe for several threads.
class RemovedDirectories {
 public:
  void Add(const Attributes& attributes);
  std::optional<Attributes> Find(InodeNumber inode) const;
  void Forget(InodeNumber inode);

 private:
  mutable Mutex mutex_;
  std::unordered_map<uint64_t, Attributes> directories_ GUARDED_BY(mutex_);
  std::atomic<size_t> size_{0};  // mostly none: no lock then
};

}  // namespace tifs::fs
