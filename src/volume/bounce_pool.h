#pragma once

#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "volume/guarded_device.h"

namespace tifs::volume {

// Aligned memory for transfers from and to memory that is not, kept for the next one. At most so
// many are kept; more are made when more are wanted at a time. Safe for use by several threads.
class BouncePool {
 public:
  static constexpr size_t kBufferBytes = 128 << 10;
  static constexpr size_t kMaxKept = 32;

  explicit BouncePool(GuardedDevice& device) : device_(device) {}

  // A buffer, until this is gone.
  class Lease {
   public:
    Lease(BouncePool& pool, block::DmaBuffer buffer) : pool_(pool), buffer_(std::move(buffer)) {}
    Lease(Lease&&) = default;
    ~Lease() {
      if (!buffer_.empty()) pool_.Return(std::move(buffer_));
    }
    std::span<char> bytes() { return buffer_.bytes().first(kBufferBytes); }
    char* data() { return buffer_.data(); }

   private:
    BouncePool& pool_;
    block::DmaBuffer buffer_;
  };

  // kNoMemory.
  Result<Lease> Take() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!kept_.empty()) {
        Lease lease(*this, std::move(kept_.back()));
        kept_.pop_back();
        return lease;
      }
    }
    return Lease(*this, TRY(device_.AllocateBuffer(kBufferBytes)));
  }

 private:
  void Return(block::DmaBuffer buffer) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (kept_.size() < kMaxKept) kept_.push_back(std::move(buffer));
  }

  GuardedDevice& device_;
  Mutex mutex_;
  std::vector<block::DmaBuffer> kept_ GUARDED_BY(mutex_);
};

}  // namespace tifs::volume
