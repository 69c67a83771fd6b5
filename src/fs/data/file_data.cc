#include "fs/data/file_data.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace tifs::fs::file_data {
namespace {

constexpr BlockIndex kNoMoreBlocks{UINT64_MAX};

uint64_t BlockSize(const Operation& op) { return op.mount.meta.block_size_bytes; }

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

uint64_t InlineCharge(size_t bytes) { return RoundUp(bytes, 512); }

// From which block on none can be present.
BlockIndex FreshFrom(const Operation& op, const InodeRecord& inode) {
  if (!inode.pending_clears.empty()) return kNoMoreBlocks;
  return {(inode.size_bytes + BlockSize(op) - 1) / BlockSize(op)};
}

void SetInline(Operation& op, InodeRecord& inode, std::string data) {
  const auto before = static_cast<int64_t>(InlineCharge(inode.inline_data.size()));
  inode.inline_data = std::move(data);
  op.Charge(inode, static_cast<int64_t>(InlineCharge(inode.inline_data.size())) - before);
}

Status WriteBlocks(Operation& op, InodeRecord& inode, uint64_t offset_bytes, std::string_view data,
                   size_t moved_bytes = 0) {
  op.Charge(inode, TRY(op.mount.blocks->Write(op.blocks, inode, offset_bytes, data,
                                              FreshFrom(op, inode), moved_bytes)));
  inode.Set(InodeRecord::kHasBlocks);
  return {};
}

// Moves in-line data to blocks, with `data` over it, so that the first block is written once.
Status LeaveInline(Operation& op, InodeRecord& inode, uint64_t offset_bytes,
                   std::string_view data) {
  std::string old = std::move(inode.inline_data);
  inode.inline_data.clear();
  op.Charge(inode, -static_cast<int64_t>(InlineCharge(old.size())));
  if (old.empty()) return WriteBlocks(op, inode, offset_bytes, data);
  const size_t moved_bytes = old.size();
  if (offset_bytes <= old.size()) {
    if (offset_bytes + data.size() < old.size()) {
      std::memcpy(old.data() + offset_bytes, data.data(), data.size());
    } else {
      old.resize(offset_bytes);
      old.append(data);
    }
    return WriteBlocks(op, inode, 0, old, moved_bytes);
  }
  TRY(WriteBlocks(op, inode, 0, old, moved_bytes));
  return WriteBlocks(op, inode, offset_bytes, data);
}

// Whether at most kMaxBlocksAtOnce blocks are present in the range.
Result<bool> FitsOneTransaction(Operation& op, const InodeRecord& inode, const BlockRange& range) {
  if (range.size() <= kMaxBlocksAtOnce) return true;
  uint64_t present = 0;
  TRY(op.mount.blocks->Scan(op.blocks, inode.number, range,
                            [&](const StoredBlock&) { return ++present <= kMaxBlocksAtOnce; }));
  return present <= kMaxBlocksAtOnce;
}

Status DeleteBlocks(Operation& op, InodeRecord& inode, const BlockRange& range) {
  const uint64_t block_size = BlockSize(op);
  Status deleted;
  TRY(op.mount.blocks->Scan(op.blocks, inode.number, range, [&](const StoredBlock& block) {
    deleted = op.mount.blocks->Delete(op.blocks, inode.number, block);
    op.Charge(inode, static_cast<int64_t>(inode.ChargeOf(block.index, 0, block_size)) -
                         static_cast<int64_t>(
                             inode.ChargeOf(block.index, block.length_bytes, block_size)));
    return deleted.ok();
  }));
  return deleted;
}

// Makes whole blocks holes: deletes them now, or leaves them to the clearer if they are many.
Status ClearBlocks(Operation& op, InodeRecord& inode, const BlockRange& range) {
  if (range.empty()) return {};
  if (TRY(FitsOneTransaction(op, inode, range))) return DeleteBlocks(op, inode, range);
  // A pending clear whose blocks all lie in the new one needs no work of its own.
  std::erase_if(inode.pending_clears, [&](const PendingClear& clear) {
    return range.begin <= clear.range.begin && clear.range.end <= range.end;
  });
  while (inode.pending_clears.size() == InodeRecord::kMaxPendingClears) {
    const size_t before = inode.pending_clears.size();
    TRY(ClearStep(op, inode));
    // One transaction clears so much and no more: the caller makes room in transactions of its own.
    if (inode.pending_clears.size() == before) return Error(ErrorCode::kTooLarge, "clears");
  }
  if (inode.clear_epoch == UINT32_MAX) return Error(ErrorCode::kFileTooBig, "clear epochs");
  ++inode.clear_epoch;
  inode.pending_clears.push_back({range, inode.clear_epoch});
  return op.Leave(inode.number, LeftoverKind::kClear);
}

Status Zero(Operation& op, InodeRecord& inode, uint64_t begin_bytes, uint64_t end_bytes) {
  if (begin_bytes >= end_bytes) return {};
  op.Charge(inode, TRY(op.mount.blocks->Zero(op.blocks, inode, begin_bytes, end_bytes)));
  return {};
}

// Removes `range` from the preallocated ranges; false if that needs more ranges than fit.
bool RemovePreallocated(InodeRecord& inode, const BlockRange& range) {
  std::vector<BlockRange> kept;
  for (const BlockRange& old : inode.preallocated) {
    const BlockRange before{old.begin, std::min(old.end, range.begin)};
    const BlockRange after{std::max(old.begin, range.end), old.end};
    if (!before.empty()) kept.push_back(before);
    if (!after.empty()) kept.push_back(after);
  }
  if (kept.size() > InodeRecord::kMaxPreallocations) return false;
  inode.preallocated = std::move(kept);
  return true;
}

bool AddPreallocated(InodeRecord& inode, BlockRange range) {
  std::vector<BlockRange> merged;
  for (const BlockRange& old : inode.preallocated) {
    if (old.end < range.begin || range.end < old.begin) {
      merged.push_back(old);
    } else {
      range = {std::min(old.begin, range.begin), std::max(old.end, range.end)};
    }
  }
  merged.push_back(range);
  std::ranges::sort(merged, {}, &BlockRange::begin);
  if (merged.size() > InodeRecord::kMaxPreallocations) return false;
  inode.preallocated = std::move(merged);
  return true;
}

struct PresentLength {
  BlockIndex index;
  uint32_t length_bytes = 0;
};

// The present blocks of a range; ends the range before the first that is one too many.
Result<std::vector<PresentLength>> LoadLengths(Operation& op, const InodeRecord& inode,
                                               BlockRange& range) {
  std::vector<PresentLength> present;
  TRY(op.mount.blocks->Scan(op.blocks, inode.number, range, [&](const StoredBlock& block) {
    if (present.size() == kMaxPresentAtOnce) {
      range.end = block.index;
      return false;
    }
    present.push_back({block.index, block.length_bytes});
    return true;
  }));
  return present;
}

// What all blocks of a range cost as the record stands.
uint64_t ChargeOfRange(const InodeRecord& inode, const BlockRange& range,
                       const std::vector<PresentLength>& present, uint64_t block_size) {
  uint64_t charge = 0;
  for (const BlockRange& reserved : inode.preallocated) {
    const BlockRange common{std::max(reserved.begin, range.begin),
                            std::min(reserved.end, range.end)};
    charge += common.size() * block_size;
  }
  for (const PresentLength& block : present) {
    if (inode.IsPreallocated(block.index)) continue;
    charge += inode.ChargeOf(block.index, block.length_bytes, block_size);
  }
  return charge;
}

// Runs `change` on the record's preallocated ranges inside `range`, which is shortened to what one
// transaction may look at, and charges the difference.
template <typename Change>
Status ChangePreallocation(Operation& op, InodeRecord& inode, BlockRange& range, Change change) {
  const std::vector<PresentLength> present = TRY(LoadLengths(op, inode, range));
  const uint64_t before = ChargeOfRange(inode, range, present, BlockSize(op));
  if (!change()) return Error(ErrorCode::kNoSpace, "preallocated ranges of a file");
  const uint64_t after = ChargeOfRange(inode, range, present, BlockSize(op));
  op.Charge(inode, static_cast<int64_t>(after - before));
  return {};
}

}  // namespace

Result<size_t> Read(Operation& op, const InodeRecord& inode, uint64_t offset_bytes,
                    std::span<char> out) {
  if (offset_bytes >= inode.size_bytes) return size_t{0};
  out = out.first(std::min<uint64_t>(out.size(), inode.size_bytes - offset_bytes));
  if (out.empty()) return size_t{0};
  if (inode.Has(InodeRecord::kHasBlocks)) {
    TRY(op.mount.blocks->Read(op.blocks, inode, offset_bytes, out));
    return out.size();
  }
  std::memset(out.data(), 0, out.size());
  if (offset_bytes < inode.inline_data.size()) {
    const size_t copied = std::min(out.size(), inode.inline_data.size() - offset_bytes);
    std::memcpy(out.data(), inode.inline_data.data() + offset_bytes, copied);
  }
  return out.size();
}

Status Write(Operation& op, InodeRecord& inode, uint64_t offset_bytes, std::string_view data) {
  if (data.empty()) return {};
  if (offset_bytes > kMaxFileBytes || data.size() > kMaxFileBytes - offset_bytes) {
    return Error(ErrorCode::kFileTooBig, "write");
  }
  const uint64_t end_bytes = offset_bytes + data.size();
  if (inode.Has(InodeRecord::kHasBlocks)) {
    TRY(WriteBlocks(op, inode, offset_bytes, data));
  } else if (end_bytes <= op.mount.meta.inline_bytes && inode.preallocated.empty()) {
    std::string merged = inode.inline_data;
    merged.resize(std::max<size_t>(merged.size(), end_bytes));
    std::memcpy(merged.data() + offset_bytes, data.data(), data.size());
    SetInline(op, inode, std::move(merged));
  } else {
    TRY(LeaveInline(op, inode, offset_bytes, data));
  }
  inode.size_bytes = std::max(inode.size_bytes, end_bytes);
  return {};
}

Status Truncate(Operation& op, InodeRecord& inode, uint64_t size_bytes) {
  if (size_bytes > kMaxFileBytes) return Error(ErrorCode::kFileTooBig, "truncate");
  if (size_bytes < inode.size_bytes) {
    const uint64_t block_size = BlockSize(op);
    if (inode.inline_data.size() > size_bytes) {
      SetInline(op, inode, inode.inline_data.substr(0, size_bytes));
    }
    if (inode.Has(InodeRecord::kHasBlocks)) {
      const uint64_t edge = std::min(RoundUp(size_bytes, block_size), inode.size_bytes);
      TRY(Zero(op, inode, size_bytes, edge));
      const BlockRange beyond{{RoundUp(size_bytes, block_size) / block_size},
                              {(inode.size_bytes + block_size - 1) / block_size}};
      TRY(ClearBlocks(op, inode, beyond));
      if (size_bytes == 0 && inode.pending_clears.empty()) {
        inode.Set(InodeRecord::kHasBlocks, false);
      }
    }
  }
  inode.size_bytes = size_bytes;
  return {};
}

Status Punch(Operation& op, InodeRecord& inode, uint64_t begin_bytes, uint64_t end_bytes) {
  end_bytes = std::min(end_bytes, inode.size_bytes);
  if (begin_bytes >= end_bytes) return {};
  if (!inode.Has(InodeRecord::kHasBlocks)) {
    if (begin_bytes >= inode.inline_data.size()) return {};
    std::string data = inode.inline_data;
    if (end_bytes >= data.size()) {
      data.resize(begin_bytes);
    } else {
      std::memset(data.data() + begin_bytes, 0, end_bytes - begin_bytes);
    }
    SetInline(op, inode, std::move(data));
    return {};
  }
  const uint64_t block_size = BlockSize(op);
  const uint64_t whole_begin = RoundUp(begin_bytes, block_size);
  // The last block of the file is whole where its bytes end.
  const uint64_t whole_end = end_bytes == inode.size_bytes ? RoundUp(end_bytes, block_size)
                                                           : end_bytes / block_size * block_size;
  if (whole_begin >= whole_end) return Zero(op, inode, begin_bytes, end_bytes);
  TRY(Zero(op, inode, begin_bytes, whole_begin));
  TRY(ClearBlocks(op, inode, {{whole_begin / block_size}, {whole_end / block_size}}));
  return Zero(op, inode, whole_end, end_bytes);
}

Result<uint64_t> Preallocate(Operation& op, InodeRecord& inode, uint64_t begin_bytes,
                             uint64_t end_bytes) {
  if (!inode.inline_data.empty()) {
    const std::string data = inode.inline_data;
    TRY(LeaveInline(op, inode, 0, data));
  }
  const uint64_t block_size = BlockSize(op);
  const BlockIndex first{begin_bytes / block_size};
  const BlockIndex last{RoundUp(end_bytes, block_size) / block_size};
  BlockRange range{first, last};
  TRY(ChangePreallocation(op, inode, range, [&] { return AddPreallocated(inode, range); }));
  return std::min(range.end.value * block_size, std::max(end_bytes, begin_bytes));
}

Result<bool> GiveUpPreallocation(Operation& op, InodeRecord& inode, uint64_t begin_bytes,
                                 uint64_t end_bytes) {
  const uint64_t block_size = BlockSize(op);
  const BlockRange whole{{RoundUp(begin_bytes, block_size) / block_size}, {end_bytes / block_size}};
  for (const BlockRange& reserved : inode.preallocated) {
    const BlockRange common{std::max(reserved.begin, whole.begin),
                            std::min(reserved.end, whole.end)};
    if (common.empty()) continue;
    BlockRange range = common;
    TRY(ChangePreallocation(op, inode, range, [&] { return RemovePreallocated(inode, range); }));
    // `reserved` is gone: the ranges are others now.
    return range == common && std::ranges::none_of(inode.preallocated, [&](const BlockRange& r) {
             return whole.begin < r.end && r.begin < whole.end;
           });
  }
  return true;
}

Result<uint64_t> Seek(Operation& op, const InodeRecord& inode, uint64_t offset_bytes,
                      SeekWhence whence) {
  if (offset_bytes >= inode.size_bytes) return Error(ErrorCode::kNoSuchOffset, "seek");
  const bool wants_data = whence == SeekWhence::kData;
  if (!inode.Has(InodeRecord::kHasBlocks)) {
    if (offset_bytes < inode.inline_data.size()) {
      return wants_data ? offset_bytes : uint64_t{inode.inline_data.size()};
    }
    if (wants_data) return Error(ErrorCode::kNoSuchOffset, "no data follows");
    return offset_bytes;
  }
  const uint64_t block_size = BlockSize(op);
  // Where the data found so far ends without a gap; a hole is sought there.
  uint64_t position = offset_bytes;
  std::optional<uint64_t> found;
  TRY(op.mount.blocks->Scan(op.blocks, inode.number, {{offset_bytes / block_size}, kNoMoreBlocks},
                            [&](const StoredBlock& block) {
                              if (!inode.IsLive(block.index, block.epoch)) return true;
                              const uint64_t start = block.index.value * block_size;
                              const uint64_t end = start + block.length_bytes;
                              if (end <= position) return true;
                              if (wants_data) {
                                found = std::max(start, offset_bytes);
                                return false;
                              }
                              if (start > position) return false;
                              position = end;
                              return true;
                            }));
  if (!wants_data) return std::min(position, inode.size_bytes);
  if (!found || *found >= inode.size_bytes) {
    return Error(ErrorCode::kNoSuchOffset, "no data follows");
  }
  return *found;
}

Result<bool> ClearStep(Operation& op, InodeRecord& inode) {
  if (inode.pending_clears.empty()) return true;
  const PendingClear clear = inode.pending_clears.front();
  const uint64_t block_size = BlockSize(op);
  uint64_t seen = 0;
  BlockIndex next = clear.range.end;
  Status deleted;
  TRY(op.mount.blocks->Scan(op.blocks, inode.number, clear.range, [&](const StoredBlock& block) {
    if (seen == kMaxBlocksAtOnce) {
      next = block.index;
      return false;
    }
    ++seen;
    if (block.epoch >= clear.epoch) return true;  // written since
    deleted = op.mount.blocks->Delete(op.blocks, inode.number, block);
    op.Charge(inode, static_cast<int64_t>(inode.ChargeOf(block.index, 0, block_size)) -
                         static_cast<int64_t>(
                             inode.ChargeOf(block.index, block.length_bytes, block_size)));
    return deleted.ok();
  }));
  TRY(std::move(deleted));
  op.mount.metrics.cleared_blocks.Add(seen);
  if (next == clear.range.end) {
    inode.pending_clears.erase(inode.pending_clears.begin());
  } else {
    inode.pending_clears.front().range.begin = next;
  }
  return inode.pending_clears.empty();
}

Result<bool> DeleteStep(Operation& op, InodeRecord& inode) {
  inode.pending_clears.clear();
  inode.preallocated.clear();
  uint64_t seen = 0;
  bool done = true;
  Status deleted;
  TRY(op.mount.blocks->Scan(
      op.blocks, inode.number, {{0}, kNoMoreBlocks}, [&](const StoredBlock& block) {
        if (seen == kMaxBlocksAtOnce) {
          done = false;
          return false;
        }
        ++seen;
        deleted = op.mount.blocks->Delete(op.blocks, inode.number, block);
        // Gives space back step by step; the last step corrects the sum.
        op.Charge(inode, -static_cast<int64_t>(
                             std::min<uint64_t>(inode.charged_bytes, block.length_bytes)));
        return deleted.ok();
      }));
  TRY(std::move(deleted));
  op.mount.metrics.cleared_blocks.Add(seen);
  return done;
}

}  // namespace tifs::fs::file_data
