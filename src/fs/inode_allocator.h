#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/sync.h"
#include "fs/schema.h"
#include "fs/types.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

// Hands out inode numbers, never one twice: takes them from the store in ranges, each range in a
// transaction of its own. What a crash leaves of a range is never used. Several mounts take theirs
// from shards of the numbers, so that new files do not all lie next to each other. Safe for several
// threads.
class InodeAllocator {
 public:
  InodeAllocator(kv::TransactionRunner& runner, const Schema& schema)
      : runner_(runner), schema_(schema) {}

  Result<InodeNumber> Allocate();
  // Where the next range is taken from: below Schema::kInodeShards.
  void SetShard(uint16_t shard) { shard_ = shard; }

 private:
  static constexpr uint64_t kRange = 8192;

  // The first number of a shard that nobody has taken one from.
  Result<uint64_t> FirstOf(kv::Transaction& txn, uint16_t shard) const;

  kv::TransactionRunner& runner_;
  const Schema& schema_;
  Mutex mutex_;
  uint64_t next_ GUARDED_BY(mutex_) = 0;
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  std::atomic<uint16_t> shard_{0};
};

// The value of Schema::NextInode: the first number that was never handed to a range.
std::string EncodeNextInode(uint64_t next);
Result<uint64_t> DecodeNextInode(std::string_view value);

}  // namespace tifs::fs
