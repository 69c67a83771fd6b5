#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// A block that is present in the store, as a scan sees it; the file's record says whether it is
// live.
struct StoredBlock {
  BlockIndex index;
  uint32_t epoch = 0;
  // Bytes from the block's start that it holds; the rest of the block is zeros. At least 1.
  uint32_t length_bytes = 0;
  // The store's own: what follows the common head in the value. Valid during the visit.
  std::string_view payload;
};
// Returns whether to go on.
using BlockVisitor = std::function<bool(const StoredBlock&)>;

// A write to a data file whose bytes the store keeps, too (see deferred_writes.h).
struct DeferredWrite {
  uint64_t number = 0;
  uint64_t size_bytes = 0;
};

// What one transaction does to blocks: the store's transaction, and the slots of a data file that
// it takes and gives up (none where blocks are values of the store). Ended by exactly one of
// BlockStore::Committed and BlockStore::Abandoned.
struct BlockTransaction {
  explicit BlockTransaction(kv::Transaction& transaction) : kv(transaction) {}

  kv::Transaction& kv;
  std::vector<uint64_t> taken;
  std::vector<uint64_t> released;
  // Slots of live blocks that it wrote to beyond their length.
  std::vector<uint64_t> grown;
  std::vector<DeferredWrite> deferred;
  // Of the bytes that the call in hand has still to write, how many, from the first on, are
  // deferred.
  uint64_t to_defer_bytes = 0;
};

// Where the bytes of file blocks live: the seam below files. Each call works through the caller's
// transaction on an inode whose record the caller has loaded in it, and takes that record as it is
// before the call. `data` and ranges may cover many blocks; the caller bounds them.
class BlockStore {
 public:
  virtual ~BlockStore() = default;

  // MetaRecord::incompatible bits of the file systems that this can serve.
  virtual uint64_t features() const { return 0; }
  // Called once, before anything else, while nobody else uses the store: reads what is there.
  virtual Status Attach(kv::Store& store, const Schema& schema, uint32_t block_size_bytes,
                        bool read_only) = 0;

  // Fills `out` with the bytes at offset_bytes; zeros where there are none.
  virtual Status Read(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                      std::span<char> out) = 0;
  // Writes `data`; new blocks get the record's clear epoch. Blocks with index >= `fresh_from` are
  // known to be absent. The first `moved_bytes` of `data` are the file's own, moved here from its
  // record, and must not be lost if the new record outlives a crash. Returns by how much the file's
  // charge changes.
  virtual Result<int64_t> Write(BlockTransaction& txn, const InodeRecord& inode,
                                uint64_t offset_bytes, std::string_view data, BlockIndex fresh_from,
                                size_t moved_bytes) = 0;
  // Makes [begin, end) read as zeros: deletes blocks that are wholly inside, and blocks that are
  // not live; cuts or zeroes the others. Returns by how much the file's charge changes.
  virtual Result<int64_t> Zero(BlockTransaction& txn, const InodeRecord& inode,
                               uint64_t begin_bytes, uint64_t end_bytes) = 0;
  // Visits the present blocks of `range` in order.
  virtual Status Scan(BlockTransaction& txn, InodeNumber inode, const BlockRange& range,
                      const BlockVisitor& visitor) = 0;
  // Deletes one present block that a Scan of this transaction visits.
  virtual Status Delete(BlockTransaction& txn, InodeNumber inode, const StoredBlock& block) = 0;

  virtual void Committed(BlockTransaction& txn) { (void)txn; }
  virtual void Abandoned(BlockTransaction& txn) { (void)txn; }

  // Held from before a transaction begins until it has ended: what it may still read or write is
  // not put to another use meanwhile.
  class Pin {
   public:
    Pin() = default;
    explicit Pin(std::atomic<uint64_t>& users) : users_(&users) {}
    Pin(Pin&& other) noexcept : users_(std::exchange(other.users_, nullptr)) {}
    Pin& operator=(Pin&&) = delete;
    ~Pin() {
      if (users_ != nullptr) users_->fetch_sub(1, std::memory_order_release);
    }

   private:
    std::atomic<uint64_t>* users_ = nullptr;
  };
  virtual Pin PinBlocks() { return Pin(); }

  // Makes the bytes of all blocks whose transactions have committed durable. Called before the
  // store's Sync; RecordsSynced after it, with the answer.
  virtual Result<uint64_t> SyncData() { return uint64_t{0}; }
  virtual void RecordsSynced(uint64_t mark) { (void)mark; }
  // Whether blocks were released whose space a sync and then Recycle would give back.
  virtual bool HasReleased() const { return false; }
  // Before the store is closed in good order: leaves nothing in it for the next start to do.
  virtual Status Settle() { return {}; }
  // Gives back the space of blocks whose release is durable.
  virtual Status Recycle() { return {}; }
};

}  // namespace tifs::fs
