#include "fs/inode_allocator.h"

#include "base/coding.h"

namespace tifs::fs {

std::string EncodeNextInode(uint64_t next) {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(uint8_t{1});
  encoder.Fixed(next);
  return value;
}

Result<uint64_t> DecodeNextInode(std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  const auto next = decoder.Fixed<uint64_t>();
  if (!decoder.done() || version != 1 || next <= kRootInode.value) {
    return Error(ErrorCode::kCorrupt, "next inode");
  }
  return next;
}

Result<uint64_t> InodeAllocator::FirstOf(kv::Transaction& txn, uint16_t shard) const {
  if (shard == 0) return Error(ErrorCode::kCorrupt, "next inode is missing");
  const uint64_t begin = uint64_t{shard} << Schema::kInodeShardBits;
  const uint64_t end = begin + (uint64_t{1} << Schema::kInodeShardBits);
  // Not one that is in use, should the record have been lost.
  uint64_t first = begin + 1;
  const Key low = schema_.Inode({begin});
  const Key high = schema_.Inode({end});
  TRY(txn.Scan({low, high}, 1, kv::Direction::kBackward, [&](std::string_view key, auto) {
    if (const auto parsed = schema_.ParseInode(key)) first = parsed->inode.value + 1;
    return false;
  }));
  return first;
}

Result<InodeNumber> InodeAllocator::Allocate() {
  MutexLock lock(mutex_);
  if (next_ == end_) {
    const uint16_t shard = shard_;
    next_ = TRY(runner_.Run([&](kv::Transaction& txn) -> Result<uint64_t> {
      const Key key = schema_.NextInode(shard);
      const std::optional<kv::Value> value = TRY(txn.Get(key));
      const uint64_t first = TRY(value ? DecodeNextInode(value->view()) : FirstOf(txn, shard));
      const bool used_up =
          shard == 0 ? first > UINT64_MAX / 2 : first >> Schema::kInodeShardBits != shard;
      if (used_up) return Error(ErrorCode::kNoSpace, "inode numbers");
      TRY(txn.Put(key, EncodeNextInode(first + kRange)));
      return first;
    }));
    end_ = next_ + kRange;
  }
  return InodeNumber{next_++};
}

}  // namespace tifs::fs
