#pragma once

#include <array>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "volume/guarded_device.h"

namespace tifs::volume {

// Aligned memory for transfers from and to memory that is not, kept for the next one. At most so
// many are kept; more are made when more are wanted at a time. Safe for use by several threads,
// which seldom meet: each keeps to its own shelf.
class BouncePool {
 public:
  static constexpr size_t kBufferBytes = 128 << 10;
  static constexpr size_t kShelves = 8;
  static constexpr size_t kMaxKept = 4;  // on each

  explicit BouncePool(GuardedDevice& device) : device_(device) {}

 private:
  struct alignas(64) Shelf {
    Mutex mutex;
    std::vector<block::DmaBuffer> kept GUARDED_BY(mutex);
  };

 public:
  // A buffer, until this is gone.
  class Lease {
   public:
    Lease(Shelf& shelf, block::DmaBuffer buffer) : shelf_(shelf), buffer_(std::move(buffer)) {}
    Lease(Lease&&) = default;
    ~Lease() {
      if (buffer_.empty()) return;
      MutexLock lock(shelf_.mutex);
      if (shelf_.kept.size() < kMaxKept) shelf_.kept.push_back(std::move(buffer_));
    }
    std::span<char> bytes() { return buffer_.bytes().first(kBufferBytes); }
    char* data() { return buffer_.data(); }

   private:
    Shelf& shelf_;
    block::DmaBuffer buffer_;
  };

  // kNoMemory.
  Result<Lease> Take() {
    static std::atomic<size_t> next_thread{0};
    thread_local const size_t thread = next_thread++;
    Shelf& shelf = shelves_[thread % kShelves];
    {
      MutexLock lock(shelf.mutex);
      if (!shelf.kept.empty()) {
        Lease lease(shelf, std::move(shelf.kept.back()));
        shelf.kept.pop_back();
        return lease;
      }
    }
    return Lease(shelf, TRY(device_.AllocateBuffer(kBufferBytes)));
  }

 private:
  GuardedDevice& device_;
  std::array<Shelf, kShelves> shelves_;
};

}  // namespace tifs::volume
