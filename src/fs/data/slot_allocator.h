#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "base/sync.h"

namespace tifs::fs {

struct SlotRun {
  uint64_t first = 0;
  uint64_t count = 0;
};

// Which slots (of one block each) of the data file are in use, and the way back of those that are
// not any more: a released slot is free again only once
//   1. the record that released it is durable, else a crash could bring back a file that names it;
//   2. every operation that may have seen it in use has ended, else one could read or write it
//   still;
//   3. it has been discarded, durably, else a crash could show its old bytes in another file.
// Safe for use by several threads.
class SlotAllocator {
 public:
  // Start-up only: what is in use already. False if it was marked before.
  bool MarkUsed(uint64_t slot);
  // Start-up only: the slot is never to be free, because more than one block names it or it cannot
  // be: only corruption does that, and it must not spread.
  void Distrust(uint64_t slot) { distrusted_.insert(slot); }
  bool IsDistrusted(uint64_t slot) const {
    return !distrusted_.empty() && distrusted_.contains(slot);
  }
  bool IsUsed(uint64_t slot) const;

  // At most `wanted` slots in a row (at least one): the next free run after the last one handed
  // out, so that what is written together lies together.
  SlotRun Take(uint64_t wanted);

  // Slots whose release has committed.
  void Release(const std::vector<uint64_t>& slots);
  // Slots that were taken and written but that no record names.
  void ReleaseUnnamed(const std::vector<uint64_t>& slots);

  // Step 1: whatever was released before BeginSync is durable when RecordsDurable is called with
  // the mark.
  uint64_t BeginSync();
  void RecordsDurable(uint64_t mark);
  // Steps 2 and 3 are the caller's: takes the slots that are past step 1, in ascending runs...
  std::vector<SlotRun> TakeDurable();
  // ...and makes them free, or puts them back if that failed.
  void Free(const std::vector<SlotRun>& runs);
  void PutBack(const std::vector<SlotRun>& runs);

  bool HasReleased() const;
  // One past the highest slot in use.
  uint64_t end() const;
  // Runs of free slots below end().
  std::vector<SlotRun> FreeRuns() const;

 private:
  struct Released {
    uint64_t slot;
    uint64_t mark;  // of the sync that makes it durable
  };

  bool Get(uint64_t slot) const REQUIRES(mutex_);
  void Set(uint64_t slot, bool used) REQUIRES(mutex_);

  std::unordered_set<uint64_t> distrusted_;  // constant after start-up

  mutable Mutex mutex_;
  std::vector<uint64_t> used_ GUARDED_BY(mutex_);  // a bit a slot
  uint64_t cursor_ GUARDED_BY(mutex_) = 0;
  uint64_t free_below_end_ GUARDED_BY(mutex_) = 0;
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  std::vector<Released> released_ GUARDED_BY(mutex_);
  std::vector<uint64_t> durable_ GUARDED_BY(mutex_);
  uint64_t next_mark_ GUARDED_BY(mutex_) = 1;
};

}  // namespace tifs::fs
