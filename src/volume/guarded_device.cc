#include "volume/guarded_device.h"

#include "base/log.h"

namespace tifs::volume {

Status GuardedDevice::Refusal() const {
  MutexLock lock(mutex_);
  return Error(ErrorCode::kReadOnly, "volume",
               cause_ ? "read-only since a write failed: " + cause_->ToString() : "read-only");
}

void GuardedDevice::Latch(const Error& cause) {
  MutexLock lock(mutex_);
  if (cause_) return;
  cause_ = cause.Clone();
  latched_.store(true, std::memory_order_release);
  LogError("{}: the volume is read-only from now on: {}", device_.identity(), cause.ToString());
  flushed_.NotifyAll();
}

std::optional<Error> GuardedDevice::Cause() const {
  MutexLock lock(mutex_);
  if (!cause_) return std::nullopt;
  return cause_->Clone();
}

Status GuardedDevice::Write(uint64_t offset_bytes, std::span<const char> data) {
  TRY(Check());
  Status written = device_.Write(offset_bytes, data);
  if (!written) Latch(written.error());
  return written;
}

Status GuardedDevice::RunWrites(std::span<block::IoRequest> requests) {
  if (requests.size() == 1) {
    return Write(requests[0].offset_bytes, {requests[0].buffer, requests[0].size_bytes});
  }
  TRY(Check());
  Status written = device_.Run(requests);
  if (!written) Latch(written.error());
  return written;
}

Status GuardedDevice::Flush(FlushKind kind) {
  TRY(Check());
  if (skip_flush_ && skip_flush_(kind)) return {};
  MutexLock lock(mutex_);
  // One that is under way began too early: what was written meanwhile may not be in it.
  const uint64_t wanted = begun_ + 1;
  while (done_ < wanted) {
    if (cause_) return cause_->Clone();
    if (flushing_) {
      flushed_.Wait(mutex_);
      continue;
    }
    flushing_ = true;
    const uint64_t number = ++begun_;
    mutex_.Unlock();
    Status flushed = device_.Flush();
    flushes_.fetch_add(1, std::memory_order_relaxed);
    if (!flushed) Latch(flushed.error());
    mutex_.Lock();
    flushing_ = false;
    if (flushed) done_ = number;
    flushed_.NotifyAll();
    if (!flushed) return flushed;
  }
  return {};
}

Status GuardedDevice::Discard(uint64_t offset_bytes, uint64_t size_bytes) {
  TRY(Check());
  return device_.Discard(offset_bytes, size_bytes);
}

}  // namespace tifs::volume
