#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "volume/file.h"
#include "volume/file_table.h"
#include "volume/pending_writes.h"
#include "volume/read_plan.h"
#include "volume/redo.h"

namespace tifs::volume {

class VolumeCore;

// What the handles of one file share: the bytes that wait in memory, and how far the journal and
// the extents know of the file's bytes. Safe for use by several threads.
//
// The bytes of a file, from its start:
//   [0, buffer_start_)     in the extents (perhaps not flushed), or on the way there (`pending_`)
//   [buffer_start_, size)  in the buffer, if it is in use; else in the extents as well
//   [0, logged_)           durable once what the journal has by now is durable: flushed in the
//                          extents, or in a record; unless `overwritten_`
// Blocks are rewritten only with the synced bytes at the same places, so a torn rewrite loses none;
// after a truncate, whose record may not be durable, that is not so, and `barrier_` is waited for.
class OpenFile : public std::enable_shared_from_this<OpenFile> {
 public:
  // A sync of at most so many bytes puts them into the journal.
  static constexpr uint64_t kSmallSyncBytes = kMaxRecordTail;

  // By VolumeCore::Attach, under the tables' lock.
  OpenFile(std::shared_ptr<VolumeCore> core, Inode& inode);
  ~OpenFile();

  // Another writer, who inherits what others left unsynced. Under the tables' lock.
  void AddWriter(bool has_unsynced);
  // After which no handle may write: bytes go to the extents, preallocated space goes back.
  Status CloseWriter();

  // Of a snapshot: the file's last bytes, which are not in the extents.
  Status LoadTail(const Redo::Tail& tail) EXCLUDES(lock_);

  Result<size_t> ReadAt(uint64_t offset_bytes, std::span<char> out) EXCLUDES(lock_);
  Status MultiRead(std::span<ReadRequest> requests) EXCLUDES(lock_);
  Result<std::unique_ptr<AsyncRead>> PrepareRead(uint64_t offset_bytes, std::span<char> out)
      EXCLUDES(lock_);
  void Unpin();

  Status Append(std::string_view data) EXCLUDES(lock_);
  Status WriteAt(uint64_t offset_bytes, std::string_view data) EXCLUDES(lock_);
  Status Truncate(uint64_t size_bytes) EXCLUDES(lock_);
  Status Allocate(uint64_t end_bytes) EXCLUDES(lock_);
  Status WriteBack() EXCLUDES(lock_);
  Status Sync() EXCLUDES(lock_);
  // For a checkpoint: what only the journal has goes to the extents.
  Status WriteLogged() EXCLUDES(lock_);

  uint64_t size_bytes() const { return inode_.size_bytes.load(std::memory_order_acquire); }
  FileStat Stat() EXCLUDES(lock_);
  bool has_writers() const { return writers_ != 0; }
  // How many have come until now.
  uint64_t writers_ever() const { return writers_ever_; }
  uint64_t inode_number() const { return inode_.number; }
  VolumeCore& core() { return *core_; }

 private:
  bool buffer_in_use() const REQUIRES_SHARED(lock_) { return !buffer_.empty(); }
  size_t buffered() const REQUIRES_SHARED(lock_) { return size_bytes() - buffer_start_; }
  // Where bytes in the extents end.
  uint64_t in_extents() const REQUIRES_SHARED(lock_) {
    return buffer_in_use() ? buffer_start_ : size_bytes();
  }

  // --- reading ---
  // Before bytes up to `end_bytes` are read from the extents.
  Status AwaitWrites(uint64_t end_bytes) REQUIRES_SHARED(lock_) {
    return pending_.AwaitUpTo(end_bytes);
  }
  size_t PlanRead(uint64_t offset_bytes, std::span<char> out, size_t index, ReadPlan& plan)
      REQUIRES_SHARED(lock_);
  Status ReadExtents(uint64_t offset_bytes, std::span<char> out) REQUIRES_SHARED(lock_);
  Status ReadThroughBounce(uint64_t offset_bytes, std::span<char> out) REQUIRES_SHARED(lock_);
  Status TransferRead(uint64_t offset_bytes, std::span<char> out) REQUIRES_SHARED(lock_);

  // --- writing ---
  Status CheckGrowth(uint64_t offset_bytes, uint64_t size_bytes) const;
  Status ReserveUnits(uint64_t end_bytes) REQUIRES(lock_);
  Status UseBuffer() REQUIRES(lock_);
  void DropBuffer() REQUIRES(lock_);
  Status AppendReserved(std::string_view data) REQUIRES(lock_);
  Status AppendZeros(uint64_t end_bytes) REQUIRES(lock_);
  // The full buffer goes on its way to the extents.
  Status SpillBehind() REQUIRES(lock_);
  // Whole blocks of the buffer go to the extents; with `tail` what is left over, too (it also
  // stays).
  Status Spill(bool tail) REQUIRES(lock_);
  Status Overwrite(uint64_t offset_bytes, std::string_view data) REQUIRES(lock_);
  // Whole blocks. Where they go.
  std::vector<block::IoRequest> PlanWrite(uint64_t offset_bytes, std::span<const char> data)
      REQUIRES(lock_);
  Status TransferWrite(uint64_t offset_bytes, std::span<const char> data) REQUIRES(lock_);
  Status WaitForBarrier() REQUIRES(lock_);
  Status Cut(uint64_t size_bytes) REQUIRES(lock_);
  // Nothing is to be synced but what the journal has.
  bool IsLogged() REQUIRES(lock_);
  // One step of a sync: true when the journal knows all.
  Result<bool> LogStep() REQUIRES(lock_);
  bool IsSmallSync() REQUIRES(lock_);
  Status FinishWriting() REQUIRES(lock_);

  const std::shared_ptr<VolumeCore> core_;
  Inode& inode_;
  const uint32_t block_bytes_;  // of the device

  mutable SharedMutex lock_;
  PendingWrites pending_;
  block::DmaBuffer buffer_ GUARDED_BY(lock_);
  uint64_t buffer_start_ GUARDED_BY(lock_) = 0;  // a multiple of the block
  uint64_t logged_ GUARDED_BY(lock_);
  bool overwritten_ GUARDED_BY(lock_) = false;
  // A number of a record; before it is durable nothing is written to the extents. 0: none.
  uint64_t barrier_ GUARDED_BY(lock_);
  // The journal has bytes that only the buffer has besides.
  std::atomic<bool> has_logged_tail_{false};
  std::atomic<uint32_t> writers_{0};
  std::atomic<uint64_t> writers_ever_{0};
  // A writer came that inherits unsynced bytes; set under the tables' lock, before it can write.
  std::atomic<bool> inherits_unsynced_{false};

  std::atomic<uint32_t> pins_{0};       // AsyncReads
  std::vector<UnitRange> cut_extents_;  // free when the pins are gone; guarded by the tables' lock
};

}  // namespace tifs::volume
