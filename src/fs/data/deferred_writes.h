#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "fs/data/block_store.h"
#include "fs/data/extent_device.h"
#include "fs/schema.h"
#include "kv/kv.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

// Small writes to the data file whose bytes are also part of their transaction, so that the store's
// log alone makes them durable: a sync that finds nothing else need not flush the data file. After
// a crash they are done again. Each has a number; for bytes that two of them wrote, numbers and
// commits are in the same order, since one writer at a time has a file.
//
// Rules (docs/extents.md says why):
//   - Those that had committed before a sync of the data file began are deleted after it, before
//     any later write to the file that is not deferred can be acknowledged as durable.
//   - A slot is discarded only when no deferred write is left from before its release.
//
// Safe for use by several threads.
class DeferredWrites {
 public:
  // Larger writes are not deferred: their bytes would be written twice.
  static constexpr uint64_t kMaxBytes = 16 << 10;
  // Bytes that a file had already and that move may be so many.
  static constexpr uint64_t kMaxMovedBytes = 64 << 10;
  // From one sync to the next so many bytes are deferred: who writes more is no frequent syncer.
  static constexpr uint64_t kWindowBytes = 256 << 10;
  // What the store keeps, at most, before the data file is synced and it is deleted.
  static constexpr uint64_t kMaxKeptBytes = 4 << 20;

  // All outlive this.
  void Attach(kv::Store& store, const Schema& schema, Clock& clock);

  // Start-up: does again, in order, what a crash may have undone, syncs `device` and deletes it.
  // What does not lie below `end_bytes` of the device is corrupt, is logged and left alone.
  Status Replay(ExtentDevice& device, uint64_t end_bytes, bool read_only);

  // Whether a write of so many bytes is likely to be synced soon.
  bool Suits(uint64_t size_bytes) const {
    return size_bytes <= kMaxBytes &&
           window_bytes_.load(std::memory_order_relaxed) + size_bytes <= kWindowBytes;
  }
  // Makes a write part of the transaction.
  Status Put(BlockTransaction& txn, uint64_t offset_bytes, std::string_view data);
  // The transaction has committed.
  void Committed(const BlockTransaction& txn);
  // A sync begins: frequent ones keep the window open.
  void NoteSync() { window_bytes_.store(0, std::memory_order_relaxed); }

  // What the store keeps of transactions that have committed.
  uint64_t kept_bytes() const { return kept_bytes_.load(std::memory_order_relaxed); }
  // Takes what has committed, before a sync of the data file; then, after it, deletes it, or, if
  // the sync failed, puts it back.
  std::vector<DeferredWrite> Take();
  Status Delete(std::vector<DeferredWrite> taken);
  void PutBack(std::vector<DeferredWrite> taken);

 private:
  Status DeleteSome(std::span<const DeferredWrite> writes);

  std::optional<kv::TransactionRunner> runner_;
  const Schema* schema_ = nullptr;
  std::atomic<uint64_t> next_number_{1};
  std::atomic<uint64_t> window_bytes_{0};
  std::atomic<uint64_t> kept_bytes_{0};
  Mutex mutex_;
  std::vector<DeferredWrite> committed_ GUARDED_BY(mutex_);
};

// What the store keeps of a deferred write.
struct DeferredValue {
  uint64_t offset_bytes = 0;  // in the data file
  std::string_view data;

  std::string Encode() const;
  // kCorrupt. Views into `value`.
  static Result<DeferredValue> Decode(std::string_view value);
};

}  // namespace tifs::fs
