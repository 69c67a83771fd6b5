#pragma once

#include <cstdint>
#include <vector>

#include "base/sync.h"

namespace tifs::fs {

// One flag a slot, a bit each up to the highest that was set. Safe for use by several threads.
class SlotFlags {
 public:
  void Set(uint64_t slot) {
    MutexLock lock(mutex_);
    if (slot / 64 >= bits_.size()) bits_.resize(slot / 64 + 1);
    bits_[slot / 64] |= Bit(slot);
  }
  void Clear(uint64_t slot) {
    MutexLock lock(mutex_);
    if (slot / 64 < bits_.size()) bits_[slot / 64] &= ~Bit(slot);
  }
  bool Test(uint64_t slot) const {
    MutexLock lock(mutex_);
    return slot / 64 < bits_.size() && (bits_[slot / 64] & Bit(slot)) != 0;
  }

 private:
  static uint64_t Bit(uint64_t slot) { return uint64_t{1} << (slot % 64); }

  mutable Mutex mutex_;
  std::vector<uint64_t> bits_ GUARDED_BY(mutex_);
};

}  // namespace tifs::fs
