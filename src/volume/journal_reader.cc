#include "volume/journal_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kReadBlocks = 256;

struct Candidates {
  const SeenBlock* best = nullptr;
  uint8_t copy = 0;
  bool both = false;
};

// The blocks of a sequence number. Where the last opening has written, only its own count: a torn
// block of a crash before may be whole again by now, if the same place was torn once more. Before
// that, a later generation may have written over one copy only.
Candidates Find(const SeenJournal& seen, uint64_t sequence, uint64_t generation,
                const JournalStart& start) {
  Candidates found;
  const bool is_last_opening = sequence >= start.from_sequence;
  for (uint8_t copy = 0; copy < 2; ++copy) {
    const SeenBlock& block = seen[copy][sequence % seen[copy].size()];
    if (block.sequence != sequence || block.generation < generation) continue;
    if (is_last_opening && block.generation != start.from_generation) continue;
    if (found.best == nullptr || block.generation > found.best->generation) {
      found = {&block, copy, false};
    } else if (block.generation == found.best->generation) {
      found.both = true;
    }
  }
  return found;
}

Error Damaged(uint64_t sequence, const std::string& what) {
  return Error(ErrorCode::kCorrupt, "journal", fmt::format("block {}: {}", sequence, what));
}

}  // namespace

JournalEnd FindJournalEnd(const SeenJournal& seen, const JournalStart& start) {
  // What was there at the last opening was durable when it had written its superblock.
  uint64_t durable_below = start.from_sequence;
  for (const auto& copy : seen) {
    for (const SeenBlock& block : copy) {
      if (block.sequence != 0) durable_below = std::max(durable_below, block.durable_below);
    }
  }
  const uint64_t position = start.position;
  uint64_t generation = start.generation;
  JournalEnd end{.next_sequence = position, .generation = generation};
  const uint64_t size = seen[0].size();
  uint64_t sequence = position;
  bool batch_begins = true;
  for (; sequence - position < size; ++sequence) {
    const Candidates found = Find(seen, sequence, generation, start);
    if (found.best == nullptr || found.best->first != batch_begins) break;
    if (!batch_begins && found.best->generation != generation) break;
    if (!found.both) end.single.push_back(sequence);
    if (!found.both && sequence < durable_below) ++end.bad_copies;
    end.copy.push_back(found.copy);
    generation = found.best->generation;
    batch_begins = found.best->last;
    if (batch_begins) {
      end.next_sequence = sequence + 1;
      end.generation = generation;
    }
  }
  if (sequence - position < size && durable_below > sequence) {
    end.lost = sequence;
    for (const auto& copy : seen) {
      const auto behind = std::ranges::count_if(
          copy, [&](const SeenBlock& block) { return block.sequence > sequence; });
      end.blocks_behind = std::max(end.blocks_behind, static_cast<uint64_t>(behind));
    }
  }
  end.copy.resize(end.next_sequence - position);
  std::erase_if(end.single, [&](uint64_t single) { return single >= end.next_sequence; });
  return end;
}

Status MendJournal(GuardedDevice& device, const Superblock& superblock,
                   std::span<const SingleBlock> blocks) {
  if (blocks.empty()) return {};
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlockBytes));
  const std::span<char, kBlockBytes> block(buffer.data(), kBlockBytes);
  for (const SingleBlock& single : blocks) {
    const uint64_t at = single.sequence % superblock.journal_blocks * kBlockBytes;
    const uint64_t from = superblock.journal_offsets[single.copy] + at;
    const uint64_t to = superblock.journal_offsets[1 - single.copy] + at;
    TRY(device.Read(from, block));
    const ParsedBlock parsed =
        ParseBlock({block.data(), block.size()}, BlockKind::kJournal, superblock.uuid, from);
    if (parsed.fault != BlockFault::kNone) {
      return Damaged(single.sequence, BlockFaultText(parsed.fault));
    }
    BlockHeader header = parsed.header;
    header.offset_bytes = to;
    SealBlock(header, block);
    TRY(device.Write(to, block));
  }
  return device.Flush(FlushKind::kJournal);
}

Status JournalReader::See(size_t copy, std::vector<SeenBlock>& seen) {
  block::DmaBuffer buffer = TRY(device_.AllocateBuffer(kReadBlocks * kBlockBytes));
  for (uint64_t index = 0; index < seen.size(); index += kReadBlocks) {
    const uint64_t blocks = std::min(kReadBlocks, seen.size() - index);
    const uint64_t offset = superblock_.journal_offsets[copy] + index * kBlockBytes;
    const bool readable = device_.Read(offset, buffer.bytes().first(blocks * kBlockBytes)).ok();
    for (uint64_t i = 0; i < blocks; ++i) {
      const std::span<char> block = buffer.bytes().subspan(i * kBlockBytes, kBlockBytes);
      // One block that cannot be read must not cost its neighbours.
      if (!readable && !device_.Read(offset + i * kBlockBytes, block)) continue;
      const ParsedBlock parsed = ParseBlock({block.data(), block.size()}, BlockKind::kJournal,
                                            superblock_.uuid, offset + i * kBlockBytes);
      const BlockHeader& header = parsed.header;
      if (parsed.fault != BlockFault::kNone || header.generation > superblock_.generation ||
          header.sequence % seen.size() != index + i || header.mark > header.sequence) {
        continue;
      }
      seen[index + i] = {header.sequence, header.generation, header.mark, header.first(),
                         header.last()};
    }
  }
  return {};
}

Result<JournalEnd> JournalReader::FindEnd(uint64_t position, uint64_t generation) {
  SeenJournal seen;
  for (size_t copy = 0; copy < 2; ++copy) {
    seen[copy].resize(superblock_.journal_blocks);
    TRY(See(copy, seen[copy]));
  }
  return FindJournalEnd(seen, {.position = position,
                               .generation = generation,
                               .from_sequence = superblock_.journal_from_sequence,
                               .from_generation = superblock_.journal_generation});
}

Status JournalReader::ApplyBatch(const std::string& batch, uint64_t sequence,
                                 const std::function<Status(const Record&)>& apply) {
  Decoder in(batch);
  while (in.remaining() != 0) {
    Result<Record> record = DecodeRecord(in);
    if (!record) return Damaged(sequence, record.error().ToString());
    if (Status applied = apply(*record); !applied) {
      return Damaged(sequence,
                     fmt::format("{}: {}", RecordText(*record), applied.error().ToString()));
    }
  }
  return {};
}

Status JournalReader::Replay(uint64_t position, const JournalEnd& end,
                             const std::function<Status(const Record&)>& apply) {
  CHECK(end.copy.size() == end.next_sequence - position);
  block::DmaBuffer buffer = TRY(device_.AllocateBuffer(kReadBlocks * kBlockBytes));
  std::string batch;
  for (uint64_t sequence = position; sequence < end.next_sequence;) {
    // As many as lie together in one copy.
    const uint8_t copy = end.copy[sequence - position];
    const uint64_t index = sequence % superblock_.journal_blocks;
    const uint64_t most =
        std::min({kReadBlocks, superblock_.journal_blocks - index, end.next_sequence - sequence});
    uint64_t blocks = 1;
    while (blocks < most && end.copy[sequence + blocks - position] == copy) ++blocks;
    const uint64_t offset = superblock_.journal_offsets[copy] + index * kBlockBytes;
    TRY(device_.Read(offset, buffer.bytes().first(blocks * kBlockBytes)));
    for (uint64_t i = 0; i < blocks; ++i, ++sequence) {
      const std::span<char> block = buffer.bytes().subspan(i * kBlockBytes, kBlockBytes);
      const ParsedBlock parsed = ParseBlock({block.data(), block.size()}, BlockKind::kJournal,
                                            superblock_.uuid, offset + i * kBlockBytes);
      if (parsed.fault != BlockFault::kNone) {
        return Damaged(sequence, BlockFaultText(parsed.fault));
      }
      if (parsed.header.sequence != sequence) return Damaged(sequence, "it was overwritten");
      if (parsed.header.first()) batch.clear();
      batch += parsed.payload;
      if (parsed.header.last()) TRY(ApplyBatch(batch, sequence, apply));
    }
  }
  return {};
}

}  // namespace tifs::volume
