#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "block/block_device.h"
#include "volume/guarded_device.h"
#include "volume/transfer_threads.h"

namespace tifs::volume {

// The writes of one file that go on while its writer makes the next bytes. In no order among each
// other; whoever needs them in the extents, to read, to flush or to give the extents to another,
// waits for them first. The first failure stays: what was lost cannot be written again (and the
// device is latched by then). Calls may come from several threads, Write from one at a time.
class PendingWrites {
 public:
  PendingWrites(TransferThreads& threads, GuardedDevice& disk) : threads_(threads), disk_(disk) {}
  // Waits.
  ~PendingWrites() EXCLUDES(mutex_);
  PendingWrites(const PendingWrites&) = delete;
  PendingWrites& operator=(const PendingWrites&) = delete;

  // Writes the file's bytes from `offset_bytes` on: `requests`, whose memory is `buffer`. Returns
  // when a thread has taken it, or, if none was idle, when it is done; waits while kMost are in
  // flight. An error: of this one or of one before, and nothing more is written.
  Status Write(uint64_t offset_bytes, block::DmaBuffer buffer,
               std::vector<block::IoRequest> requests) EXCLUDES(mutex_);
  // Returns when none is in flight: the first error of all.
  Status Await() EXCLUDES(mutex_) { return AwaitUpTo(UINT64_MAX); }
  // The same, but an error only if bytes before `end_bytes` were lost.
  Status AwaitUpTo(uint64_t end_bytes) EXCLUDES(mutex_);
  // From where on bytes were lost. UINT64_MAX: none.
  uint64_t lost_from() EXCLUDES(mutex_);

  // A buffer that was written; empty if there is none.
  block::DmaBuffer TakeBuffer() EXCLUDES(mutex_);
  void DropBuffers() EXCLUDES(mutex_);

 private:
  // Two keep a disk busy; two more cover that a thread does not begin at once.
  static constexpr size_t kMost = 4;

  void Finish(uint64_t offset_bytes, block::DmaBuffer buffer, const Status& written)
      EXCLUDES(mutex_);

  TransferThreads& threads_;
  GuardedDevice& disk_;
  // Changed under the mutex; zero is also read without it.
  std::atomic<size_t> in_flight_{0};
  std::atomic<bool> has_failed_{false};

  Mutex mutex_;
  CondVar finished_;
  std::vector<block::DmaBuffer> written_ GUARDED_BY(mutex_);
  Status failed_ GUARDED_BY(mutex_);
  uint64_t lost_from_ GUARDED_BY(mutex_) = UINT64_MAX;
};

}  // namespace tifs::volume
