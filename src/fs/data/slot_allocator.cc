#include "fs/data/slot_allocator.h"

#include <algorithm>

#include "base/check.h"

namespace tifs::fs {

bool SlotAllocator::Get(uint64_t slot) const {
  return slot / 64 < used_.size() && (used_[slot / 64] >> (slot % 64) & 1) != 0;
}

void SlotAllocator::Set(uint64_t slot, bool used) {
  if (slot / 64 >= used_.size()) used_.resize(slot / 64 + 1);
  const uint64_t bit = uint64_t{1} << (slot % 64);
  if (used) {
    used_[slot / 64] |= bit;
    if (slot >= end_) {
      free_below_end_ += slot - end_;
      end_ = slot + 1;
    } else {
      --free_below_end_;
    }
  } else {
    used_[slot / 64] &= ~bit;
    ++free_below_end_;
  }
}

bool SlotAllocator::MarkUsed(uint64_t slot) {
  MutexLock lock(mutex_);
  if (Get(slot)) return false;
  Set(slot, true);
  return true;
}

bool SlotAllocator::IsUsed(uint64_t slot) const {
  MutexLock lock(mutex_);
  return Get(slot);
}

SlotRun SlotAllocator::Take(uint64_t wanted) {
  MutexLock lock(mutex_);
  uint64_t first = end_;
  // Free slots below the end are used again first; what lies beyond it is all free.
  if (free_below_end_ > 0) {
    if (cursor_ >= end_) cursor_ = 0;
    first = cursor_;
    for (uint64_t seen = 0; Get(first); ++seen) {
      CHECK(seen <= end_);
      const bool whole_word = first % 64 == 0 && used_[first / 64] == UINT64_MAX;
      first += whole_word ? 64 : 1;
      if (first >= end_) first = 0;
    }
  }
  SlotRun run{first, 0};
  while (run.count < wanted && !Get(first + run.count)) {
    Set(first + run.count, true);
    ++run.count;
  }
  cursor_ = first + run.count;
  return run;
}

void SlotAllocator::Release(const std::vector<uint64_t>& slots) {
  MutexLock lock(mutex_);
  for (uint64_t slot : slots) {
    if (!IsDistrusted(slot)) released_.push_back({slot, next_mark_});
  }
}

void SlotAllocator::ReleaseUnnamed(const std::vector<uint64_t>& slots) {
  MutexLock lock(mutex_);
  durable_.insert(durable_.end(), slots.begin(), slots.end());
}

uint64_t SlotAllocator::BeginSync() {
  MutexLock lock(mutex_);
  return next_mark_++;
}

void SlotAllocator::RecordsDurable(uint64_t mark) {
  MutexLock lock(mutex_);
  const auto durable_from = std::partition(released_.begin(), released_.end(),
                                           [&](const Released& r) { return r.mark > mark; });
  for (auto it = durable_from; it != released_.end(); ++it) durable_.push_back(it->slot);
  released_.erase(durable_from, released_.end());
}

std::vector<SlotRun> SlotAllocator::TakeDurable() {
  std::vector<uint64_t> slots;
  {
    MutexLock lock(mutex_);
    slots.swap(durable_);
  }
  std::ranges::sort(slots);
  std::vector<SlotRun> runs;
  for (uint64_t slot : slots) {
    if (!runs.empty() && runs.back().first + runs.back().count == slot) {
      ++runs.back().count;
    } else {
      runs.push_back({slot, 1});
    }
  }
  return runs;
}

void SlotAllocator::Free(const std::vector<SlotRun>& runs) {
  MutexLock lock(mutex_);
  for (const SlotRun& run : runs) {
    for (uint64_t i = 0; i < run.count; ++i) {
      CHECK(Get(run.first + i));
      Set(run.first + i, false);
    }
  }
}

void SlotAllocator::PutBack(const std::vector<SlotRun>& runs) {
  MutexLock lock(mutex_);
  for (const SlotRun& run : runs) {
    for (uint64_t i = 0; i < run.count; ++i) durable_.push_back(run.first + i);
  }
}

bool SlotAllocator::HasReleased() const {
  MutexLock lock(mutex_);
  return !released_.empty() || !durable_.empty();
}

uint64_t SlotAllocator::end() const {
  MutexLock lock(mutex_);
  return end_;
}

std::vector<SlotRun> SlotAllocator::FreeRuns() const {
  MutexLock lock(mutex_);
  std::vector<SlotRun> runs;
  for (uint64_t slot = 0; slot < end_;) {
    if (slot % 64 == 0 && used_[slot / 64] == UINT64_MAX) {
      slot += 64;
    } else if (Get(slot)) {
      ++slot;
    } else {
      SlotRun run{slot, 0};
      while (slot < end_ && !Get(slot)) ++slot;
      run.count = slot - run.first;
      runs.push_back(run);
    }
  }
  return runs;
}

}  // namespace tifs::fs
