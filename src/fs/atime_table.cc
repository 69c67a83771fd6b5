#include "fs/atime_table.h"

namespace tifs::fs {

void AtimeTable::Note(InodeNumber inode, Timespec atime) {
  MutexLock lock(mutex_);
  atimes_.insert_or_assign(inode.value, atime);
  size_ = atimes_.size();
}

std::optional<Timespec> AtimeTable::Find(InodeNumber inode) const {
  if (size() == 0) return std::nullopt;
  MutexLock lock(mutex_);
  const auto it = atimes_.find(inode.value);
  if (it == atimes_.end()) return std::nullopt;
  return it->second;
}

void AtimeTable::Forget(InodeNumber inode) {
  if (size() == 0) return;
  MutexLock lock(mutex_);
  atimes_.erase(inode.value);
  size_ = atimes_.size();
}

std::vector<std::pair<InodeNumber, Timespec>> AtimeTable::Take(size_t limit) {
  std::vector<std::pair<InodeNumber, Timespec>> taken;
  MutexLock lock(mutex_);
  while (taken.size() < limit && !atimes_.empty()) {
    const auto it = atimes_.begin();
    taken.emplace_back(InodeNumber{it->first}, it->second);
    atimes_.erase(it);
  }
  size_ = atimes_.size();
  return taken;
}

}  // namespace tifs::fs
