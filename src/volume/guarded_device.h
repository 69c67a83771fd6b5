#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/sync.h"
#include "block/block_device.h"

namespace tifs::volume {

// What a flush is for.
enum class FlushKind : uint8_t { kSuperblock, kData, kJournal, kCheckpoint };

// The only way by which a volume writes to its device. Invariant: after one write or flush that
// failed, none is ever tried again (the device may have dropped bytes that it had taken, and a
// later flush would succeed without them). Flushes that several threads want at the same time are
// one. Safe for use by several threads.
class GuardedDevice {
 public:
  // `device` must live longer. `skip_flush` may be empty: FlushKind's that are left out.
  GuardedDevice(block::BlockDevice& device, std::function<bool(FlushKind)> skip_flush)
      : device_(device), skip_flush_(std::move(skip_flush)) {}

  block::BlockDevice& device() { return device_; }
  const block::Geometry& geometry() const { return device_.geometry(); }
  Result<block::DmaBuffer> AllocateBuffer(size_t size_bytes) {
    return device_.AllocateBuffer(size_bytes);
  }

  Status Read(uint64_t offset_bytes, std::span<char> out) {
    return device_.Read(offset_bytes, out);
  }
  Status RunReads(std::span<block::IoRequest> requests) { return device_.Run(requests); }

  // kReadOnly once latched, of all that follow.
  Status Write(uint64_t offset_bytes, std::span<const char> data);
  Status RunWrites(std::span<block::IoRequest> requests);
  // Everything written before is durable: by a flush that began after this call did.
  Status Flush(FlushKind kind) EXCLUDES(mutex_);
  // Failing is not a reason to latch: nothing that is needed is lost.
  Status Discard(uint64_t offset_bytes, uint64_t size_bytes);

  // From now on nothing is written. Keeps the first cause.
  void Latch(const Error& cause) EXCLUDES(mutex_);
  // kReadOnly, with the cause, once latched.
  Status Check() const { return latched_.load(std::memory_order_acquire) ? Refusal() : Status{}; }
  std::optional<Error> Cause() const EXCLUDES(mutex_);
  uint64_t flushes() const { return flushes_.load(std::memory_order_relaxed); }

 private:
  Status Refusal() const EXCLUDES(mutex_);

  block::BlockDevice& device_;
  const std::function<bool(FlushKind)> skip_flush_;
  std::atomic<bool> latched_{false};
  std::atomic<uint64_t> flushes_{0};

  mutable Mutex mutex_;
  CondVar flushed_;
  std::optional<Error> cause_ GUARDED_BY(mutex_);
  // Flushes are numbered: the last one begun, the last one done, whether one is under way.
  uint64_t begun_ GUARDED_BY(mutex_) = 0;
  uint64_t done_ GUARDED_BY(mutex_) = 0;
  bool flushing_ GUARDED_BY(mutex_) = false;
};

}  // namespace tifs::volume
