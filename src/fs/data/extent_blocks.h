#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "fs/data/block_store.h"
#include "fs/data/block_value.h"
#include "fs/data/deferred_writes.h"
#include "fs/data/extent_device.h"
#include "fs/data/reader_epochs.h"
#include "fs/data/slot_allocator.h"
#include "fs/data/slot_flags.h"

namespace tifs::fs {

// Blocks in slots of a data file beside the store, so that large data is written once, not again to
// the store's log and files. The block's value in the store names its slot and its length.
//
// Invariants, and the order of writes that keeps them across a crash:
//   - No two blocks name one slot. A slot is named only by transactions that took it.
//   - Bytes of a slot in use beyond the block's length, and all bytes of a free slot, are zeros or
//     will be before anything reads them: a slot is discarded, durably, before it is free
//     (SlotAllocator); what an interrupted transaction left is discarded at the next start, or
//     zeroed, durably, before its block grows again.
//   - A live block is overwritten in place, as by a local file system: after a crash each sector is
//     old or new; who writes a file's contents has the file to itself (FileSystem's latch), since
//     bytes reach a block before their transaction commits. A new block whose record survives a
//     crash that its bytes did not survive reads as zeros, never as another file's bytes. Bytes
//     that a file already had elsewhere (in line, or in a slot that is cut) are synced before the
//     record that moves them.
//   - SyncData, then the store's Sync: what has been synced is named by records that are durable
//     after the bytes.
class ExtentBlocks : public BlockStore {
 public:
  // `clock` outlives this.
  ExtentBlocks(std::unique_ptr<ExtentDevice> device, Clock& clock)
      : device_(std::move(device)), clock_(clock) {}

  uint64_t features() const override { return MetaRecord::kFeatureExtents; }
  Status Attach(kv::Store& store, const Schema& schema, uint32_t block_size_bytes,
                bool read_only) override;
  Status Read(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
              std::span<char> out) override;
  Result<int64_t> Write(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                        std::string_view data, BlockIndex fresh_from, size_t moved_bytes) override;
  Result<int64_t> Zero(BlockTransaction& txn, const InodeRecord& inode, uint64_t begin_bytes,
                       uint64_t end_bytes) override;
  Status Scan(BlockTransaction& txn, InodeNumber inode, const BlockRange& range,
              const BlockVisitor& visitor) override;
  Status Delete(BlockTransaction& txn, InodeNumber inode, const StoredBlock& block) override;
  void Committed(BlockTransaction& txn) override;
  void Abandoned(BlockTransaction& txn) override;
  Pin PinBlocks() override { return Pin(readers_.Enter()); }
  Result<uint64_t> SyncData() override;
  void RecordsSynced(uint64_t mark) override { slots_.RecordsDurable(mark); }
  bool HasReleased() const override { return slots_.HasReleased(); }
  Status Settle() override;
  Status Recycle() override;

 private:
  // A present block of a range that is being changed.
  struct Present {
    BlockIndex index;
    uint32_t length_bytes = 0;
    uint64_t slot = 0;
    bool live = false;
  };

  Result<std::vector<Present>> LoadPresent(BlockTransaction& txn, const InodeRecord& inode,
                                           const BlockRange& range);
  Result<int64_t> WriteNew(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                           std::string_view data);
  Result<int64_t> WriteOver(BlockTransaction& txn, const InodeRecord& inode, const Present& present,
                            uint64_t from, std::string_view data);
  Status ClearTail(const Present& present);
  Status PutBlock(BlockTransaction& txn, const InodeRecord& inode, BlockIndex index, uint64_t slot,
                  uint32_t length_bytes, uint32_t epoch);
  // Notes that a block names a slot.
  void MarkNamed(const ExtentReference& extent, uint64_t slot_limit, std::string_view key);
  // kCorrupt for a slot whose bytes may be another block's.
  Status CheckTrusted(uint64_t slot) const;
  // Discards what no block names: the work of transactions that a crash interrupted.
  Status DiscardUnnamed();
  Result<uint32_t> CutOut(BlockTransaction& txn, const InodeRecord& inode, const Present& block,
                          uint64_t from, uint64_t to);
  // Writes to the device and, as far as txn.to_defer_bytes says, to the store.
  Status WriteDevice(BlockTransaction& txn, uint64_t offset_bytes, std::string_view data);
  // Syncs the device, and has the store forget the deferred writes that it has now.
  Status Checkpoint() REQUIRES(sync_mutex_);
  Status SyncDevice() EXCLUDES(sync_mutex_);
  Status SyncDeviceLocked() REQUIRES(sync_mutex_);

  const std::unique_ptr<ExtentDevice> device_;
  Clock& clock_;
  kv::Store* store_ = nullptr;
  const Schema* schema_ = nullptr;
  uint32_t block_size_bytes_ = 0;
  SlotAllocator slots_;
  // Slots in use whose bytes beyond their block's length may not be zeros.
  SlotFlags doubtful_tails_;
  ReaderEpochs readers_;
  DeferredWrites deferred_;
  // Something that is not deferred was written since the last sync of the device began.
  std::atomic<bool> dirty_{false};
  std::atomic<bool> failed_{false};  // a sync has failed: latched
  // One sync of the device at a time: the kernel tells of a failed write once, to one of them.
  Mutex sync_mutex_;
  Mutex recycle_mutex_;
};

}  // namespace tifs::fs
