#include "fs/removed_directories.h"

namespace tifs::fs {

void RemovedDirectories::Add(const Attributes& attributes) {
  MutexLock lock(mutex_);
  directories_.insert_or_assign(attributes.inode.value, attributes);
  size_ = directories_.size();
}

std::optional<Attributes> RemovedDirectories::Find(InodeNumber inode) const {
  if (size_.load(std::memory_order_relaxed) == 0) return std::nullopt;
  MutexLock lock(mutex_);
  const auto it = directories_.find(inode.value);
  if (it == directories_.end()) return std::nullopt;
  return it->second;
}

void RemovedDirectories::Forget(InodeNumber inode) {
  if (size_.load(std::memory_order_relaxed) == 0) return;
  MutexLock lock(mutex_);
  directories_.erase(inode.value);
  size_ = directories_.size();
}

}  // namespace tifs::fs
