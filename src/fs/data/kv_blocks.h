#pragma once

#include <string>

#include "fs/data/block_store.h"

namespace tifs::fs {

// Blocks as values of the store itself, next to each other under the file's inode number, so that
// one scan reads a range. A value holds its bytes up to the last one written: at most a block.
class KvBlocks : public BlockStore {
 public:
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

 private:
  Status Put(BlockTransaction& txn, const InodeRecord& inode, BlockIndex index,
             std::string_view bytes);

  const Schema* schema_ = nullptr;
  uint32_t block_size_bytes_ = 0;
};

}  // namespace tifs::fs
