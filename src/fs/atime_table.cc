#include "fs/atime_table.h"

namespace tifs::fs {

void AtimeTable::Note(InodeNumber inode, Timespec atime) {
  MutexLock lock(mutex_);
  atimes_.insert_or_assign(inode.value, atime);
  Count();
}

std::optional<Timespec> AtimeTable::Find(InodeNumber inode) const {
  if (size() == 0) return std::nullopt;
  MutexLock lock(mutex_);
  for (const Atimes* atimes : {&atimes_, &taken_}) {
    const auto it = atimes->find(inode.value);
    if (it != atimes->end()) return it->second;
  }
  return std::nullopt;
}

void AtimeTable::Forget(InodeNumber inode) {
  if (size() == 0) return;
  MutexLock lock(mutex_);
  atimes_.erase(inode.value);
  taken_.erase(inode.value);
  Count();
}

std::vector<std::pair<InodeNumber, Timespec>> AtimeTable::Take(size_t limit) {
  std::vector<std::pair<InodeNumber, Timespec>> taken;
  MutexLock lock(mutex_);
  while (taken.size() < limit && !atimes_.empty()) {
    const auto it = atimes_.begin();
    taken.emplace_back(InodeNumber{it->first}, it->second);
    taken_.insert_or_assign(it->first, it->second);
    atimes_.erase(it);
  }
  Count();
  return taken;
}

bool AtimeTable::IsTaken(InodeNumber inode) const {
  MutexLock lock(mutex_);
  return taken_.contains(inode.value);
}

void AtimeTable::Stored() {
  MutexLock lock(mutex_);
  taken_.clear();
  Count();
}

}  // namespace tifs::fs
