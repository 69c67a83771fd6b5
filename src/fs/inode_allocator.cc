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

Result<InodeNumber> InodeAllocator::Allocate() {
  MutexLock lock(mutex_);
  if (next_ == end_) {
    next_ = TRY(runner_.Run([&](kv::Transaction& txn) -> Result<uint64_t> {
      const std::optional<kv::Value> value = TRY(txn.Get(schema_.NextInode()));
      if (!value) return Error(ErrorCode::kCorrupt, "next inode is missing");
      const uint64_t first = TRY(DecodeNextInode(value->view()));
      if (first > UINT64_MAX / 2) return Error(ErrorCode::kNoSpace, "inode numbers");
      TRY(txn.Put(schema_.NextInode(), EncodeNextInode(first + kRange)));
      return first;
    }));
    end_ = next_ + kRange;
  }
  return InodeNumber{next_++};
}

}  // namespace tifs::fs
