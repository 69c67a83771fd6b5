#include "fs/data/kv_blocks.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/check.h"
#include "base/coding.h"
#include "base/log.h"
#include "fs/data/block_value.h"

namespace tifs::fs {
namespace {

// What Write and Zero remember of a present block while they change its range.
struct PresentBlock {
  uint32_t length_bytes = 0;
  bool live = false;
  std::string bytes;  // only of live blocks that stay in part
};

}  // namespace

Status KvBlocks::Attach(kv::Store&, const Schema& schema, uint32_t block_size_bytes, bool) {
  schema_ = &schema;
  block_size_bytes_ = block_size_bytes;
  return {};
}

Status KvBlocks::Scan(BlockTransaction& txn, InodeNumber inode, const BlockRange& range,
                      const BlockVisitor& visitor) {
  if (range.empty()) return {};
  const KeySpan span = schema_->Blocks(inode, range.begin, range.end);
  Status corrupt;
  TRY(txn.kv.Scan(span.range(), 0, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view value) {
                    const auto parsed = schema_->ParseBlock(key);
                    const auto block = BlockValue::Decode(value);
                    if (!parsed || !block || block->encoding != BlockEncoding::kRaw ||
                        block->payload.empty() || block->payload.size() > block_size_bytes_) {
                      corrupt = Error(ErrorCode::kCorrupt, "block", EscapeForLog(key));
                      return false;
                    }
                    return visitor({parsed->index, block->epoch,
                                    static_cast<uint32_t>(block->payload.size()), block->payload});
                  }));
  if (!corrupt) LogError("corrupt block: {}", corrupt.error().ToString());
  return corrupt;
}

Status KvBlocks::Read(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                      std::span<char> out) {
  std::memset(out.data(), 0, out.size());
  const uint64_t end_bytes = offset_bytes + out.size();
  const BlockRange range{{offset_bytes / block_size_bytes_},
                         {(end_bytes - 1) / block_size_bytes_ + 1}};
  return Scan(txn, inode.number, range, [&](const StoredBlock& block) {
    if (!inode.IsLive(block.index, block.epoch)) return true;
    const uint64_t start = block.index.value * block_size_bytes_;
    const uint64_t from = std::max(start, offset_bytes);
    const uint64_t to = std::min(start + block.length_bytes, end_bytes);
    if (from < to) {
      std::memcpy(out.data() + (from - offset_bytes), block.payload.data() + (from - start),
                  to - from);
    }
    return true;
  });
}

Status KvBlocks::Put(BlockTransaction& txn, const InodeRecord& inode, BlockIndex index,
                     std::string_view bytes) {
  std::string value;
  value.reserve(BlockValue::kHeadBytes + bytes.size());
  BlockValue::AppendHead(value, BlockEncoding::kRaw, inode.clear_epoch);
  value.append(bytes);
  return txn.kv.Put(schema_->Block(inode.number, index), value);
}

Result<int64_t> KvBlocks::Write(BlockTransaction& txn, const InodeRecord& inode,
                                uint64_t offset_bytes, std::string_view data, BlockIndex fresh_from,
                                size_t) {
  const uint64_t end_bytes = offset_bytes + data.size();
  const BlockRange range{{offset_bytes / block_size_bytes_},
                         {(end_bytes - 1) / block_size_bytes_ + 1}};
  std::map<uint64_t, PresentBlock> present;
  TRY(Scan(txn, inode.number, {range.begin, std::min(range.end, fresh_from)},
           [&](const StoredBlock& block) {
             PresentBlock& old = present[block.index.value];
             old.length_bytes = block.length_bytes;
             old.live = inode.IsLive(block.index, block.epoch);
             const uint64_t start = block.index.value * block_size_bytes_;
             const bool replaced = offset_bytes <= start && end_bytes >= start + block.length_bytes;
             if (old.live && !replaced) old.bytes = block.payload;
             return true;
           }));
  int64_t charge_delta = 0;
  for (BlockIndex index = range.begin; index < range.end; ++index.value) {
    const uint64_t start = index.value * block_size_bytes_;
    const uint64_t from = std::max(start, offset_bytes);
    const uint64_t to = std::min(start + block_size_bytes_, end_bytes);
    const std::string_view piece = data.substr(from - offset_bytes, to - from);
    const auto it = present.find(index.value);
    const uint32_t old_length = it == present.end() ? 0 : it->second.length_bytes;
    uint64_t new_length = to - start;
    if (from == start && (it == present.end() || it->second.bytes.empty())) {
      TRY(Put(txn, inode, index, piece));
    } else {
      std::string merged = it == present.end() ? std::string() : std::move(it->second.bytes);
      merged.resize(std::max<size_t>(merged.size(), to - start));
      std::memcpy(merged.data() + (from - start), piece.data(), piece.size());
      new_length = merged.size();
      TRY(Put(txn, inode, index, merged));
    }
    charge_delta += static_cast<int64_t>(inode.ChargeOf(index, new_length, block_size_bytes_)) -
                    static_cast<int64_t>(inode.ChargeOf(index, old_length, block_size_bytes_));
  }
  return charge_delta;
}

Result<int64_t> KvBlocks::Zero(BlockTransaction& txn, const InodeRecord& inode,
                               uint64_t begin_bytes, uint64_t end_bytes) {
  if (begin_bytes >= end_bytes) return int64_t{0};
  const BlockRange range{{begin_bytes / block_size_bytes_},
                         {(end_bytes - 1) / block_size_bytes_ + 1}};
  std::map<uint64_t, PresentBlock> present;
  TRY(Scan(txn, inode.number, range, [&](const StoredBlock& block) {
    const uint64_t start = block.index.value * block_size_bytes_;
    PresentBlock& old = present[block.index.value];
    old.length_bytes = block.length_bytes;
    old.live = inode.IsLive(block.index, block.epoch);
    if (!old.live) return true;
    const bool cut = begin_bytes > start;
    const bool tail_stays = end_bytes < start + block.length_bytes;
    if (!cut && !tail_stays) return true;
    if (begin_bytes >= start + block.length_bytes) return true;  // nothing of it in the range
    old.bytes = block.payload;
    return true;
  }));
  int64_t charge_delta = 0;
  for (auto& [index_value, old] : present) {
    const BlockIndex index{index_value};
    const uint64_t start = index_value * block_size_bytes_;
    const uint64_t from = std::max(start, begin_bytes) - start;
    const uint64_t to = end_bytes - start;
    if (old.live && from >= old.length_bytes) continue;
    uint64_t new_length = 0;
    if (!old.bytes.empty()) {
      if (to >= old.bytes.size()) {
        old.bytes.resize(from);
      } else {
        std::memset(old.bytes.data() + from, 0, to - from);
      }
      new_length = old.bytes.size();
    }
    if (new_length == 0) {
      TRY(txn.kv.Delete(schema_->Block(inode.number, index)));
    } else {
      TRY(Put(txn, inode, index, old.bytes));
    }
    charge_delta +=
        static_cast<int64_t>(inode.ChargeOf(index, new_length, block_size_bytes_)) -
        static_cast<int64_t>(inode.ChargeOf(index, old.length_bytes, block_size_bytes_));
  }
  return charge_delta;
}

Status KvBlocks::Delete(BlockTransaction& txn, InodeNumber inode, const StoredBlock& block) {
  return txn.kv.Delete(schema_->Block(inode, block.index));
}

}  // namespace tifs::fs
