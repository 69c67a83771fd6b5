#include "fs/operation.h"

#include <algorithm>

namespace tifs::fs {
namespace {

// Files of at most this many blocks are deleted by the very unlink.
constexpr uint64_t kDeleteAtOnceBlocks = 16;

constexpr double kForAnHour = 3600;

bool IsSmall(const InodeRecord& inode, uint32_t block_size_bytes) {
  if (inode.Has(InodeRecord::kHasXattrs) || !inode.pending_clears.empty()) return false;
  return !inode.Has(InodeRecord::kHasBlocks) ||
         inode.size_bytes <= kDeleteAtOnceBlocks * block_size_bytes;
}

}  // namespace

CacheFor MountState::cache() const {
  if (options.cache_mode == CacheMode::kStrict) return {};
  return {kForAnHour, kForAnHour};
}

Operation::~Operation() {
  if (!committed_) {
    mount.blocks->Abandoned(blocks);
    if (!blocks.taken.empty()) mount.leftovers.WakeIdle();
  }
  for (InodeNumber inode : deleting_) mount.handles.EndDelete(inode);
}

void Operation::WasRead(const InodeRecord& inode) {
  const AtimeMode mode = mount.options.atime_mode;
  if (mode == AtimeMode::kNoatime || mount.read_only.load(std::memory_order_relaxed)) return;
  if (mode == AtimeMode::kRelatime) {
    constexpr int64_t kDaySeconds = 24 * 3600;
    const Timespec atime = mount.atimes.Find(inode.number).value_or(inode.atime);
    const bool due =
        atime <= inode.mtime || atime <= inode.ctime || now.seconds - atime.seconds >= kDaySeconds;
    if (!due) return;
  }
  mount.atimes.Note(inode.number, now);
  if (const size_t size = mount.atimes.size(); size >= AtimeTable::kFlushAt) {
    mount.leftovers.Wake();
  } else if (size == 1) {
    mount.leftovers.WakeIdle();
  }
}

Status Operation::Unlinked(InodeRecord& inode) {
  // Where others may have it open, an orphan is all that it can become.
  if (mount.session == nullptr && IsSmall(inode, mount.meta.block_size_bytes) &&
      mount.handles.BeginDelete(inode.number)) {
    deleting_.push_back(inode.number);
    if (inode.Has(InodeRecord::kHasBlocks)) {
      TRY(mount.blocks->Zero(blocks, inode, 0, kDeleteAtOnceBlocks * mount.meta.block_size_bytes));
    }
    TRY(records.DeleteInode(inode.number));
    if (inode.IsDirectory()) {
      if (mount.options.caller_forgets) {
        removed_ = AttributesOf(mount, inode, TRY(records.LoadStripes(inode.number)));
      }
      TRY(records.DeleteStripes(inode.number));
    }
    space.bytes -= static_cast<int64_t>(inode.charged_bytes);
    space.inodes -= 1;
    return {};
  }
  TRY(records.StoreInode(inode));
  return Leave(inode.number, LeftoverKind::kOrphan);
}

Status Operation::Leave(InodeNumber inode, LeftoverKind kind) {
  left_.push_back({TRY(records.AddLeftover(inode, kind)), inode, kind});
  return {};
}

void Operation::Committed() {
  committed_ = true;
  mount.blocks->Committed(blocks);
  if (!blocks.released.empty() || !mount.unsynced.load(std::memory_order_relaxed)) {
    mount.unsynced.store(true, std::memory_order_relaxed);
    mount.leftovers.WakeIdle();
  }
  for (const Leftover& leftover : left_) {
    if (leftover.kind == LeftoverKind::kOrphan &&
        mount.handles.MarkUnlinked(leftover.inode, leftover.begun)) {
      continue;  // its last release queues it
    }
    mount.leftovers.Push(leftover);
  }
  for (InodeNumber inode : deleting_) mount.atimes.Forget(inode);
  if (removed_) mount.removed_directories.Add(*removed_);
}

void Touch(InodeRecord& inode, Timespec now, bool contents) {
  const auto moved = [](Timespec now_time, Timespec old) {
    if (now_time != old) return now_time;
    // The clock's tick is coarser than our operations: a change moves the time all the same.
    if (++now_time.nanoseconds == 1'000'000'000) now_time = {now_time.seconds + 1, 0};
    return now_time;
  };
  inode.ctime = moved(now, inode.ctime);
  if (contents) inode.mtime = moved(now, inode.mtime);
  ++inode.change;
}

Attributes AttributesOf(const MountState& mount, const InodeRecord& inode,
                        const StripeRecord& stripes) {
  Attributes attributes;
  attributes.inode = inode.number;
  attributes.mode = inode.mode;
  attributes.nlink = inode.nlink;
  attributes.uid = inode.uid;
  attributes.gid = inode.gid;
  attributes.rdev = inode.rdev;
  attributes.size_bytes = inode.size_bytes;
  attributes.allocated_bytes = inode.charged_bytes;
  attributes.block_size_bytes = mount.meta.block_size_bytes;
  attributes.atime = mount.atimes.Find(inode.number).value_or(inode.atime);
  attributes.mtime = inode.mtime;
  attributes.ctime = inode.ctime;
  attributes.btime = inode.btime;
  attributes.change = inode.change;
  if (inode.IsDirectory()) {
    if (inode.nlink > 0) attributes.nlink += static_cast<uint32_t>(stripes.subdirectories);
    attributes.size_bytes = static_cast<uint64_t>(std::max<int64_t>(stripes.entries, 0));
    attributes.mtime = stripes.MtimeOf(inode);
    attributes.ctime = stripes.CtimeOf(inode);
    attributes.change += stripes.change;
  }
  return attributes;
}

Result<Entry> EntryOf(Operation& op, const InodeRecord& inode) {
  StripeRecord stripes;
  if (inode.IsDirectory()) stripes = TRY(op.records.LoadStripes(inode.number));
  return Entry{AttributesOf(op.mount, inode, stripes), op.mount.cache()};
}

}  // namespace tifs::fs
