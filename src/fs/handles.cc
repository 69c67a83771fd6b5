#include "fs/handles.h"

namespace tifs::fs {

HandleId HandleTable::Add(InodeNumber inode, bool sync) {
  Shard& shard = ShardOf(inode);
  const HandleId id{next_handle_.fetch_add(1, std::memory_order_relaxed)};
  MutexLock lock(shard.mutex);
  for (auto it = shard.inodes.find(inode.value); it != shard.inodes.end() && it->second.deleting;
       it = shard.inodes.find(inode.value)) {
    shard.delete_ended.Wait(shard.mutex);
  }
  ++shard.inodes[inode.value].handles;
  shard.handles.emplace(id.value, Handle{inode, sync});
  open_handles_.fetch_add(1, std::memory_order_relaxed);
  return id;
}

std::optional<kv::Timestamp> HandleTable::Remove(InodeNumber inode, HandleId handle) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  if (shard.handles.erase(handle.value) == 0) return std::nullopt;
  open_handles_.fetch_sub(1, std::memory_order_relaxed);
  auto it = shard.inodes.find(inode.value);
  if (--it->second.handles > 0) return std::nullopt;
  const std::optional<kv::Timestamp> unlinked = it->second.unlinked;
  shard.inodes.erase(it);
  return unlinked;
}

HandleTable::Handle HandleTable::Find(InodeNumber inode, HandleId handle) const {
  if (handle.value == 0) return {};
  const Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.handles.find(handle.value);
  return it == shard.handles.end() ? Handle{} : it->second;
}

bool HandleTable::MarkUnlinked(InodeNumber inode, kv::Timestamp begun) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.inodes.find(inode.value);
  if (it == shard.inodes.end() || it->second.handles == 0) return false;
  it->second.unlinked = begun;
  return true;
}

bool HandleTable::KeepsUnlinked(InodeNumber inode) const {
  const Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.inodes.find(inode.value);
  return it != shard.inodes.end() && it->second.unlinked.has_value();
}

void HandleTable::Confirm(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.inodes.find(inode.value);
  if (it != shard.inodes.end()) it->second.confirmed = true;
}

bool HandleTable::IsConfirmed(InodeNumber inode) const {
  const Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.inodes.find(inode.value);
  return it != shard.inodes.end() && it->second.confirmed;
}

bool HandleTable::IsOpen(InodeNumber inode) const {
  const Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto it = shard.inodes.find(inode.value);
  return it != shard.inodes.end() && it->second.handles > 0;
}

bool HandleTable::BeginDelete(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  const auto [it, inserted] = shard.inodes.try_emplace(inode.value);
  if (!inserted) return false;
  it->second.deleting = true;
  return true;
}

void HandleTable::EndDelete(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  shard.inodes.erase(inode.value);
  shard.delete_ended.NotifyAll();
}

}  // namespace tifs::fs
