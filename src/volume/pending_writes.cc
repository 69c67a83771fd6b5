#include "volume/pending_writes.h"

#include <algorithm>
#include <utility>

#include "block/io_class.h"

namespace tifs::volume {

PendingWrites::~PendingWrites() {
  // Under the mutex: the thread that finished the last one may still be letting go of it.
  MutexLock lock(mutex_);
  while (in_flight_ != 0) finished_.Wait(mutex_);
}

Status PendingWrites::Write(uint64_t offset_bytes, block::DmaBuffer buffer,
                            std::vector<block::IoRequest> requests) {
  const block::IoClass io_class = block::IoScope::CurrentClass();
  const uint64_t size_bytes = buffer.size();
  TransferThreads::Task task = [this, offset_bytes, io_class, buffer = std::move(buffer),
                                requests = std::move(requests)]() mutable {
    const block::IoScope scope(io_class, &threads_.counted_elsewhere());
    const Status written = disk_.RunWrites(requests);
    Finish(offset_bytes, std::move(buffer), written);
  };
  {
    MutexLock lock(mutex_);
    while (in_flight_ >= kMost) finished_.Wait(mutex_);
    if (!failed_) return failed_.error().Clone();
    ++in_flight_;
  }
  TransferThreads::CountForCaller(block::IoKind::kWrite, size_bytes);
  if (threads_.TryRun(task)) return {};
  task();
  return AwaitUpTo(offset_bytes + 1);
}

void PendingWrites::Finish(uint64_t offset_bytes, block::DmaBuffer buffer, const Status& written) {
  MutexLock lock(mutex_);
  if (!written) {
    if (failed_) failed_ = written.error().Clone();
    lost_from_ = std::min(lost_from_, offset_bytes);
    has_failed_ = true;
  }
  written_.push_back(std::move(buffer));
  --in_flight_;
  finished_.NotifyAll();
}

Status PendingWrites::AwaitUpTo(uint64_t end_bytes) {
  if (in_flight_ == 0 && !has_failed_) return {};
  MutexLock lock(mutex_);
  while (in_flight_ != 0) finished_.Wait(mutex_);
  if (lost_from_ >= end_bytes) return {};
  return failed_.error().Clone();
}

uint64_t PendingWrites::lost_from() {
  MutexLock lock(mutex_);
  return lost_from_;
}

block::DmaBuffer PendingWrites::TakeBuffer() {
  MutexLock lock(mutex_);
  if (written_.empty()) return {};
  block::DmaBuffer buffer = std::move(written_.back());
  written_.pop_back();
  return buffer;
}

void PendingWrites::DropBuffers() {
  MutexLock lock(mutex_);
  written_.clear();
}

}  // namespace tifs::volume
