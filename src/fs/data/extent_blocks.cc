#include "fs/data/extent_blocks.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/coding.h"
#include "base/log.h"
#include "fs/data/block_value.h"

namespace tifs::fs {
namespace {

std::string EncodeExtent(uint32_t epoch, uint64_t slot, uint32_t length_bytes) {
  std::string value;
  value.reserve(BlockValue::kHeadBytes + ExtentReference::kBytes);
  BlockValue::AppendHead(value, BlockEncoding::kExtent, epoch);
  ExtentReference{slot, length_bytes}.Append(value);
  return value;
}

}  // namespace

Status ExtentBlocks::Attach(kv::Store& store, const Schema& schema, uint32_t block_size_bytes,
                            bool read_only) {
  store_ = &store;
  schema_ = &schema;
  block_size_bytes_ = block_size_bytes;
  deferred_.Attach(store, schema, clock_);
  const uint64_t slot_limit = SlotLimit(TRY(device_->Size()), block_size_bytes);
  TRY(deferred_.Replay(*device_, slot_limit * block_size_bytes, read_only));
  if (read_only) return {};
  const std::unique_ptr<kv::Transaction> txn = TRY(store.Begin());
  const KeySpan all = schema.AllOf(Schema::Scope::kBlock);
  TRY(txn->Scan(
      all.range(), 0, kv::Direction::kForward, [&](std::string_view key, std::string_view value) {
        const auto block = BlockValue::Decode(value);
        const auto extent =
            block ? ExtentReference::Decode(*block) : Result<ExtentReference>(ExtentReference());
        if (!block || !extent) {
          LogError("corrupt block at key \"{}\"", EscapeForLog(key));
        } else {
          MarkNamed(*extent, slot_limit, key);
        }
        return true;
      }));
  return DiscardUnnamed();
}

void ExtentBlocks::MarkNamed(const ExtentReference& extent, uint64_t slot_limit,
                             std::string_view key) {
  const uint64_t slot = extent.slot;
  if (slot < slot_limit && slots_.MarkUsed(slot)) {
    if (extent.length_bytes < block_size_bytes_) doubtful_tails_.Set(slot);
    return;
  }
  slots_.Distrust(slot);
  LogError("corrupt block at key \"{}\": slot {} {}", EscapeForLog(key), slot,
           slot < slot_limit ? "is another block's too" : "lies far beyond the data file");
}

Status ExtentBlocks::CheckTrusted(uint64_t slot) const {
  if (!slots_.IsDistrusted(slot)) return {};
  return Error(ErrorCode::kCorrupt, "slot of a block", std::to_string(slot));
}

Status ExtentBlocks::DiscardUnnamed() {
  const uint64_t size = TRY(device_->Size());
  const uint64_t used_bytes = slots_.end() * block_size_bytes_;
  if (size > used_bytes) TRY(device_->Truncate(used_bytes));
  for (const SlotRun& run : slots_.FreeRuns()) {
    const uint64_t begin = run.first * block_size_bytes_;
    const uint64_t end = begin + run.count * block_size_bytes_;
    if (TRY(device_->NextData(begin)) < end) TRY(device_->Discard(begin, end - begin));
  }
  return device_->Sync();
}

Status ExtentBlocks::Scan(BlockTransaction& txn, InodeNumber inode, const BlockRange& range,
                          const BlockVisitor& visitor) {
  if (range.empty()) return {};
  Status corrupt;
  const auto visit = [&](BlockIndex index, std::string_view value) {
    const auto block = BlockValue::Decode(value);
    const auto extent =
        block ? ExtentReference::Decode(*block) : Result<ExtentReference>(ExtentReference());
    if (!block || !extent || extent->length_bytes == 0 ||
        extent->length_bytes > block_size_bytes_) {
      corrupt = Error(ErrorCode::kCorrupt, "block",
                      std::to_string(index.value) + " of inode " + std::to_string(inode.value));
      LogError("{}", corrupt.error().ToString());
      return false;
    }
    return visitor({index, block->epoch, extent->length_bytes, block->payload});
  };
  if (range.size() == 1) {
    const auto value = TRY(txn.kv.Get(schema_->Block(inode, range.begin)));
    if (value) visit(range.begin, value->view());
    return corrupt;
  }
  const KeySpan span = schema_->Blocks(inode, range.begin, range.end);
  TRY(txn.kv.Scan(span.range(), 0, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view value) {
                    const auto parsed = schema_->ParseBlock(key);
                    if (parsed) return visit(parsed->index, value);
                    corrupt = Error(ErrorCode::kCorrupt, "block key", EscapeForLog(key));
                    LogError("{}", corrupt.error().ToString());
                    return false;
                  }));
  return corrupt;
}

Status ExtentBlocks::Read(BlockTransaction& txn, const InodeRecord& inode, uint64_t offset_bytes,
                          std::span<char> out) {
  const uint64_t end_bytes = offset_bytes + out.size();
  const BlockRange range{{offset_bytes / block_size_bytes_},
                         {(end_bytes - 1) / block_size_bytes_ + 1}};
  // One piece of the device after the other; pieces that continue each other are read as one.
  uint64_t filled =
      offset_bytes;  // file offset up to which `out` is filled or will be by the piece
  uint64_t piece_device = 0;
  std::span<char> piece;
  const auto flush = [&]() -> Status {
    if (piece.empty()) return {};
    Status read = device_->Read(piece_device, piece);
    piece = {};
    return read;
  };
  Status failed;
  TRY(Scan(txn, inode.number, range, [&](const StoredBlock& block) {
    if (!inode.IsLive(block.index, block.epoch)) return true;
    const uint64_t start = block.index.value * block_size_bytes_;
    const uint64_t from = std::max(start, offset_bytes);
    const uint64_t to = std::min(start + block.length_bytes, end_bytes);
    if (from >= to) return true;
    const uint64_t slot = ExtentReference::FromPayload(block.payload).slot;
    failed = CheckTrusted(slot);
    if (!failed) return false;
    const uint64_t device = slot * block_size_bytes_ + (from - start);
    if (from == filled && !piece.empty() && piece_device + piece.size() == device) {
      piece = {piece.data(), piece.size() + (to - from)};
    } else {
      failed = flush();
      std::memset(out.data() + (filled - offset_bytes), 0, from - filled);
      piece_device = device;
      piece = out.subspan(from - offset_bytes, to - from);
    }
    filled = to;
    return failed.ok();
  }));
  TRY(std::move(failed));
  std::memset(out.data() + (filled - offset_bytes), 0, end_bytes - filled);
  return flush();
}

Result<std::vector<ExtentBlocks::Present>> ExtentBlocks::LoadPresent(BlockTransaction& txn,
                                                                     const InodeRecord& inode,
                                                                     const BlockRange& range) {
  std::vector<Present> present;
  TRY(Scan(txn, inode.number, range, [&](const StoredBlock& block) {
    present.push_back({block.index, block.length_bytes,
                       ExtentReference::FromPayload(block.payload).slot,
                       inode.IsLive(block.index, block.epoch)});
    return true;
  }));
  return present;
}

Status ExtentBlocks::PutBlock(BlockTransaction& txn, const InodeRecord& inode, BlockIndex index,
                              uint64_t slot, uint32_t length_bytes, uint32_t epoch) {
  return txn.kv.Put(schema_->Block(inode.number, index), EncodeExtent(epoch, slot, length_bytes));
}

Status ExtentBlocks::WriteDevice(BlockTransaction& txn, uint64_t offset_bytes,
                                 std::string_view data) {
  if (failed_) return Error(ErrorCode::kReadOnly, "a sync of the data file has failed");
  const std::string_view deferred = data.substr(0, txn.to_defer_bytes);
  if (!deferred.empty()) {
    if (deferred_.kept_bytes() > DeferredWrites::kMaxKeptBytes) TRY(Settle());
    TRY(deferred_.Put(txn, offset_bytes, deferred));
  }
  txn.to_defer_bytes -= deferred.size();
  TRY(device_->Write(offset_bytes, data));
  // After the write and before its transaction commits: whoever syncs a committed write sees it.
  if (deferred.size() < data.size()) dirty_.store(true, std::memory_order_seq_cst);
  return {};
}

Status ExtentBlocks::SyncDevice() {
  MutexLock lock(sync_mutex_);
  return SyncDeviceLocked();
}

// A failed sync is never retried into success: the kernel may have dropped what it could not write.
Status ExtentBlocks::SyncDeviceLocked() {
  if (failed_) return Error(ErrorCode::kIo, "a sync of the data file has failed");
  Status synced = device_->Sync();
  if (!synced) {
    failed_ = true;
    LogError("data file: {}; no more writes are taken", synced.error().ToString());
  }
  return synced;
}

// Writes to blocks that are absent: takes slots in a row and writes each run at once.
Result<int64_t> ExtentBlocks::WriteNew(BlockTransaction& txn, const InodeRecord& inode,
                                       uint64_t offset_bytes, std::string_view data) {
  int64_t charge_delta = 0;
  while (!data.empty()) {
    const uint64_t first = offset_bytes / block_size_bytes_;
    const uint64_t last = (offset_bytes + data.size() - 1) / block_size_bytes_;
    const uint64_t in_first = offset_bytes - first * block_size_bytes_;
    const SlotRun run = slots_.Take(last - first + 1);
    for (uint64_t i = 0; i < run.count; ++i) txn.taken.push_back(run.first + i);
    const uint64_t size = std::min<uint64_t>(data.size(), run.count * block_size_bytes_ - in_first);
    TRY(WriteDevice(txn, run.first * block_size_bytes_ + in_first, data.substr(0, size)));
    for (uint64_t i = 0; i < run.count; ++i) {
      const BlockIndex index{first + i};
      const auto length = static_cast<uint32_t>(
          std::min<uint64_t>(block_size_bytes_, in_first + size - i * block_size_bytes_));
      TRY(PutBlock(txn, inode, index, run.first + i, length, inode.clear_epoch));
      charge_delta += static_cast<int64_t>(inode.ChargeOf(index, length, block_size_bytes_)) -
                      static_cast<int64_t>(inode.ChargeOf(index, 0, block_size_bytes_));
    }
    offset_bytes += size;
    data.remove_prefix(size);
  }
  return charge_delta;
}

// A write that grew a block and whose record was lost, in a crash or by an error, left its bytes
// beyond the length that counts. Before the block grows again they go, and durably: else a crash
// after that could bring them back under the new length.
Status ExtentBlocks::ClearTail(const Present& present) {
  if (!doubtful_tails_.Test(present.slot)) return {};
  const uint64_t begin = present.slot * block_size_bytes_ + present.length_bytes;
  std::string tail(block_size_bytes_ - present.length_bytes, '\0');
  TRY(device_->Read(begin, tail));
  if (tail.find_first_not_of('\0') != tail.npos) {
    std::ranges::fill(tail, '\0');
    TRY(device_->Write(begin, tail));
    TRY(SyncDevice());
  }
  doubtful_tails_.Clear(present.slot);
  return {};
}

// Writes to a live block, in place, from `from` in the block on.
Result<int64_t> ExtentBlocks::WriteOver(BlockTransaction& txn, const InodeRecord& inode,
                                        const Present& present, uint64_t from,
                                        std::string_view data) {
  TRY(CheckTrusted(present.slot));
  const uint64_t start = present.slot * block_size_bytes_;
  const auto length = static_cast<uint32_t>(from + data.size());
  if (length > present.length_bytes) {
    TRY(ClearTail(present));
    txn.grown.push_back(present.slot);
  }
  if (from > present.length_bytes) {
    const std::string gap(from - present.length_bytes, '\0');
    if (txn.to_defer_bytes > 0) txn.to_defer_bytes += gap.size();
    TRY(WriteDevice(txn, start + present.length_bytes, gap));
  }
  TRY(WriteDevice(txn, start + from, data));
  if (length <= present.length_bytes) return int64_t{0};
  TRY(PutBlock(txn, inode, present.index, present.slot, length, inode.clear_epoch));
  return static_cast<int64_t>(inode.ChargeOf(present.index, length, block_size_bytes_)) -
         static_cast<int64_t>(
             inode.ChargeOf(present.index, present.length_bytes, block_size_bytes_));
}

Result<int64_t> ExtentBlocks::Write(BlockTransaction& txn, const InodeRecord& inode,
                                    uint64_t offset_bytes, std::string_view data,
                                    BlockIndex fresh_from, size_t moved_bytes) {
  // Where the next sync has to flush the data file anyway, what is not moved need not be deferred.
  const bool defer = deferred_.Suits(data.size()) && !dirty_.load(std::memory_order_relaxed);
  txn.to_defer_bytes = defer ? data.size() : moved_bytes;
  const BlockRange range{{offset_bytes / block_size_bytes_},
                         {(offset_bytes + data.size() - 1) / block_size_bytes_ + 1}};
  const std::vector<Present> present =
      TRY(LoadPresent(txn, inode, {range.begin, std::min(range.end, fresh_from)}));
  int64_t charge_delta = 0;
  uint64_t done = 0;
  for (const Present& block : present) {
    const uint64_t start = block.index.value * block_size_bytes_;
    if (!block.live) {
      // Its old bytes must not show: it gets a slot of its own among the new ones.
      txn.released.push_back(block.slot);
      charge_delta -=
          static_cast<int64_t>(inode.ChargeOf(block.index, block.length_bytes, block_size_bytes_)) -
          static_cast<int64_t>(inode.ChargeOf(block.index, 0, block_size_bytes_));
      continue;
    }
    if (start > offset_bytes + done) {
      const uint64_t size = start - (offset_bytes + done);
      charge_delta += TRY(WriteNew(txn, inode, offset_bytes + done, data.substr(done, size)));
      done += size;
    }
    const uint64_t from = offset_bytes + done - start;
    const uint64_t size = std::min<uint64_t>(block_size_bytes_ - from, data.size() - done);
    charge_delta += TRY(WriteOver(txn, inode, block, from, data.substr(done, size)));
    done += size;
  }
  if (done < data.size()) {
    charge_delta += TRY(WriteNew(txn, inode, offset_bytes + done, data.substr(done)));
  }
  return charge_delta;
}

// Gives a live block a new slot that lacks [from, to) of its bytes: never in place, because a crash
// could keep the zeros and lose the record, or keep the record and bring the old bytes back.
Result<uint32_t> ExtentBlocks::CutOut(BlockTransaction& txn, const InodeRecord& inode,
                                      const Present& block, uint64_t from, uint64_t to) {
  const auto length =
      static_cast<uint32_t>(to == block.length_bytes ? from : uint64_t{block.length_bytes});
  TRY(CheckTrusted(block.slot));
  std::string bytes(length, '\0');
  TRY(device_->Read(block.slot * block_size_bytes_, bytes));
  std::memset(bytes.data() + from, 0, std::min<uint64_t>(to, length) - from);
  const uint64_t slot = slots_.Take(1).first;
  txn.taken.push_back(slot);
  txn.released.push_back(block.slot);
  const bool defer = length <= DeferredWrites::kMaxMovedBytes;
  txn.to_defer_bytes = defer ? length : 0;
  TRY(WriteDevice(txn, slot * block_size_bytes_, bytes));
  if (!defer) TRY(SyncDevice());
  TRY(PutBlock(txn, inode, block.index, slot, length, inode.clear_epoch));
  return length;
}

Result<int64_t> ExtentBlocks::Zero(BlockTransaction& txn, const InodeRecord& inode,
                                   uint64_t begin_bytes, uint64_t end_bytes) {
  if (begin_bytes >= end_bytes) return int64_t{0};
  const BlockRange range{{begin_bytes / block_size_bytes_},
                         {(end_bytes - 1) / block_size_bytes_ + 1}};
  int64_t charge_delta = 0;
  for (const Present& block : TRY(LoadPresent(txn, inode, range))) {
    const uint64_t start = block.index.value * block_size_bytes_;
    const uint64_t from = std::max(start, begin_bytes) - start;
    const uint64_t to = std::min<uint64_t>(end_bytes - start, block.length_bytes);
    uint32_t length = 0;
    if (block.live && (from > 0 || to < block.length_bytes)) {
      if (from >= to) continue;
      length = TRY(CutOut(txn, inode, block, from, to));
    } else {
      txn.released.push_back(block.slot);
      TRY(txn.kv.Delete(schema_->Block(inode.number, block.index)));
    }
    charge_delta +=
        static_cast<int64_t>(inode.ChargeOf(block.index, length, block_size_bytes_)) -
        static_cast<int64_t>(inode.ChargeOf(block.index, block.length_bytes, block_size_bytes_));
  }
  return charge_delta;
}

Status ExtentBlocks::Delete(BlockTransaction& txn, InodeNumber inode, const StoredBlock& block) {
  txn.released.push_back(ExtentReference::FromPayload(block.payload).slot);
  return txn.kv.Delete(schema_->Block(inode, block.index));
}

void ExtentBlocks::Committed(BlockTransaction& txn) {
  if (!txn.deferred.empty()) deferred_.Committed(txn);
  if (!txn.released.empty()) slots_.Release(txn.released);
}

void ExtentBlocks::Abandoned(BlockTransaction& txn) {
  for (const uint64_t slot : txn.grown) doubtful_tails_.Set(slot);
  if (!txn.taken.empty()) slots_.ReleaseUnnamed(txn.taken);
}

Status ExtentBlocks::Checkpoint() {
  std::vector<DeferredWrite> taken = deferred_.Take();
  dirty_.store(false, std::memory_order_seq_cst);
  if (Status synced = SyncDeviceLocked(); !synced) {
    deferred_.PutBack(std::move(taken));
    return synced;
  }
  return deferred_.Delete(std::move(taken));
}

Result<uint64_t> ExtentBlocks::SyncData() {
  const uint64_t mark = slots_.BeginSync();
  deferred_.NoteSync();
  MutexLock lock(sync_mutex_);
  // Whoever waited for a sync that began after its own writes needs no other.
  if (failed_ || dirty_.load(std::memory_order_seq_cst)) TRY(Checkpoint());
  return mark;
}

Status ExtentBlocks::Settle() {
  MutexLock lock(sync_mutex_);
  return deferred_.kept_bytes() > 0 ? Checkpoint() : OkStatus();
}

Status ExtentBlocks::Recycle() {
  MutexLock lock(recycle_mutex_);
  const std::vector<SlotRun> runs = slots_.TakeDurable();
  if (runs.empty()) return {};
  readers_.AwaitEarlier(clock_);
  const auto discard = [&]() -> Status {
    // A deferred write from before the release must not be done again to the slot's next block.
    TRY(Settle());
    TRY(store_->Sync());
    for (const SlotRun& run : runs) {
      TRY(device_->Discard(run.first * block_size_bytes_, run.count * block_size_bytes_));
    }
    return SyncDevice();
  };
  if (Status discarded = discard(); !discarded) {
    slots_.PutBack(runs);
    return discarded;
  }
  slots_.Free(runs);
  return {};
}

}  // namespace tifs::fs
