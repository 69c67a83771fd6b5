#include <algorithm>
#include <bit>

#include "base/random.h"
#include "base/utf8.h"
#include "fs/file_system.h"
#include "fs/inode_allocator.h"
#include "fs/records.h"
#include "fs/schema.h"

namespace tifs::fs {
namespace {

constexpr uint32_t kMinBlockBytes = 4 << 10;
constexpr uint32_t kMaxBlockBytes = 1 << 20;
// Files up to this size live in their inode.
constexpr uint32_t kInlineBytes = 4096;
constexpr uint64_t kMinCapacityBytes = 1 << 20;
constexpr uint16_t kMaxStripes = 64;

MetaRecord NewMeta(Clock& clock, const FormatOptions& options) {
  MetaRecord meta;
  Random random(RandomSeed());
  for (uint8_t& byte : meta.uuid) byte = static_cast<uint8_t>(random.Next());
  meta.uuid[6] = (meta.uuid[6] & 0x0f) | 0x40;  // RFC 9562: version 4
  meta.uuid[8] = (meta.uuid[8] & 0x3f) | 0x80;
  meta.hash_seed = random.Next();
  if (options.extents) meta.incompatible |= MetaRecord::kFeatureExtents;
  meta.block_size_bytes = options.block_size_bytes;
  meta.inline_bytes = std::min(kInlineBytes, options.block_size_bytes);
  meta.directory_stripes = options.directory_stripes;
  meta.capacity_bytes = options.capacity_bytes;
  meta.max_inodes = options.max_inodes;
  meta.created = clock.RealTime();
  meta.name = options.name;
  return meta;
}

InodeRecord NewRoot(const MetaRecord& meta, const FormatOptions& options) {
  InodeRecord root;
  root.number = kRootInode;
  root.mode = S_IFDIR | (options.root_mode & 07777);
  root.uid = options.root_uid;
  root.gid = options.root_gid;
  root.nlink = 2;
  root.parent = kRootInode;
  root.atime = root.mtime = root.ctime = root.btime = meta.created;
  root.change = 1;
  return root;
}

}  // namespace

Status FormatOptions::Validate() const {
  const auto invalid = [](const char* why) {
    return Error(ErrorCode::kInvalid, "format options", why);
  };
  if (!std::has_single_bit(block_size_bytes) || block_size_bytes < kMinBlockBytes ||
      block_size_bytes > kMaxBlockBytes) {
    return invalid("the block size is a power of two from 4 KiB to 1 MiB");
  }
  if (directory_stripes < 1 || directory_stripes > kMaxStripes) {
    return invalid("a directory has 1 to 64 stripes");
  }
  if (capacity_bytes != 0 && capacity_bytes < kMinCapacityBytes) {
    return invalid("the capacity is at least 1 MiB");
  }
  if (capacity_bytes > kMaxFileBytes) return invalid("the capacity is at most 8 EiB");
  if (max_inodes > uint64_t{1} << 62) return invalid("the inode limit is at most 2^62");
  if (name.size() > 64 || !IsPrintableUtf8(name)) {
    return invalid("the name is at most 64 bytes of UTF-8 that can be printed");
  }
  return {};
}

Status Format(kv::Store& store, Clock& clock, const FormatOptions& options) {
  TRY(options.Validate());
  const MetaRecord meta = NewMeta(clock, options);
  const Schema schema;
  kv::TransactionRunner runner(store, clock);
  TRY(runner.Run([&](kv::Transaction& txn) -> Status {
    if (TRY(txn.Get(schema.Meta()))) return Error(ErrorCode::kExists, "format");
    TRY(txn.Put(schema.Meta(), meta.Encode()));
    TRY(txn.Put(schema.NextInode(), EncodeNextInode(kRootInode.value + 1)));
    TRY(txn.Put(schema.Usage(), UsageRecord{0, 1, true}.Encode()));
    return txn.Put(schema.Inode(kRootInode), NewRoot(meta, options).Encode());
  }));
  return store.Sync();
}

Result<bool> IsFormatted(kv::Store& store) {
  return TRY(store.GetLatest(Schema().Meta())).has_value();
}

}  // namespace tifs::fs
