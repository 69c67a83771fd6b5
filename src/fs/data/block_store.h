#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// A block that is present in the store, as a scan sees it; the file's record says whether it is live.
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

// Where the bytes of file blocks live: the seam below files. Each call works through the caller's
// transaction on an inode whose record the caller has loaded in it, and takes that record as it is
// before the call. `data` and ranges may cover many blocks; the caller bounds them.
class BlockStore {
 public:
  virtual ~BlockStore() = default;

  // Called once, before anything else.
  virtual void Attach(const Schema& schema, uint32_t block_size_bytes) = 0;

  // Copies the live bytes in [offset, offset + out.size()) to `out`, which the caller has zeroed.
  virtual Status Read(kv::Transaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                      std::span<char> out) = 0;
  // Writes `data`; blocks get the record's clear epoch. Blocks with index >= `fresh_from` are known to
  // be absent. Returns by how much the file's charge changes.
  virtual Result<int64_t> Write(kv::Transaction& txn, const InodeRecord& inode,
                                uint64_t offset_bytes, std::string_view data,
                                BlockIndex fresh_from) = 0;
  // Makes [begin, end) read as zeros: deletes blocks that are wholly inside, and blocks that are not
  // live; cuts or zeroes the others. Returns by how much the file's charge changes.
  virtual Result<int64_t> Zero(kv::Transaction& txn, const InodeRecord& inode, uint64_t begin_bytes,
                               uint64_t end_bytes) = 0;
  // Visits the present blocks of `range` in order.
  virtual Status Scan(kv::Transaction& txn, InodeNumber inode, const BlockRange& range,
                      const BlockVisitor& visitor) = 0;
  // Deletes one present block that a Scan of this transaction has seen.
  virtual Status Delete(kv::Transaction& txn, InodeNumber inode, const StoredBlock& block) = 0;

  // The transaction of the preceding calls on this thread has ended so.
  virtual void TransactionEnded(bool committed) { (void)committed; }
  // Makes the bytes of all blocks whose transactions have committed durable; called before the
  // store's Sync.
  virtual Status Sync() { return {}; }
};

}  // namespace tifs::fs
