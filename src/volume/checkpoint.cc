#include "volume/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kBlocksAtOnce = 128;

uint64_t SlotOffset(const Superblock& superblock, uint64_t number) {
  return superblock.checkpoint_offsets[number % Superblock::kCheckpointSlots];
}

Error BadBlock(uint64_t number, uint64_t index, const char* why) {
  return Error(ErrorCode::kCorrupt, "checkpoint",
               fmt::format("{}, block {}: {}", number, index, why));
}

}  // namespace

CheckpointWriter::CheckpointWriter(GuardedDevice& device, const Superblock& superblock,
                                   uint64_t number, block::DmaBuffer buffer)
    : device_(&device),
      uuid_(superblock.uuid),
      generation_(superblock.generation),
      number_(number),
      offset_bytes_(SlotOffset(superblock, number)),
      capacity_blocks_(superblock.checkpoint_blocks),
      buffer_(std::move(buffer)) {}

Result<CheckpointWriter> CheckpointWriter::Begin(GuardedDevice& device,
                                                 const Superblock& superblock, uint64_t number) {
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlocksAtOnce * kBlockBytes));
  return CheckpointWriter(device, superblock, number, std::move(buffer));
}

Status CheckpointWriter::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kBlocksAtOnce * kPayloadBytes - waiting_.size());
    waiting_ += piece;
    bytes.remove_prefix(piece.size());
    // One byte more than fits is known to come, so what is written here is not the last block.
    if (!bytes.empty()) TRY(WriteBlocks(false));
  }
  return {};
}

Status CheckpointWriter::Finish() { return WriteBlocks(true); }

Status CheckpointWriter::WriteBlocks(bool last) {
  const uint64_t count = UnitsFor(waiting_.size(), kPayloadBytes);
  CHECK(count > 0 && count <= kBlocksAtOnce);
  if (count > capacity_blocks_ - blocks_) {
    return Error(ErrorCode::kNoSpace, "checkpoint", "the slot is too small");
  }
  std::string_view rest = waiting_;
  for (uint64_t i = 0; i < count; ++i) {
    const std::span<char, kBlockBytes> block(buffer_.data() + i * kBlockBytes, kBlockBytes);
    const std::string_view payload = rest.substr(0, kPayloadBytes);
    rest.remove_prefix(payload.size());
    std::memcpy(block.data() + kHeaderBytes, payload.data(), payload.size());
    const uint64_t index = blocks_ + i;
    SealBlock({.kind = BlockKind::kCheckpoint,
               .uuid = uuid_,
               .offset_bytes = offset_bytes_ + index * kBlockBytes,
               .sequence = number_,
               .generation = generation_,
               .mark = index,
               .payload_bytes = static_cast<uint32_t>(payload.size()),
               .flags = (index == 0 ? BlockHeader::kFirst : 0) |
                        (last && i + 1 == count ? BlockHeader::kLast : 0)},
              block);
  }
  TRY(device_->Write(offset_bytes_ + blocks_ * kBlockBytes,
                     buffer_.bytes().first(count * kBlockBytes)));
  blocks_ += count;
  waiting_.clear();
  return {};
}

Status CheckpointWriter::Verify() {
  for (uint64_t index = 0; index < blocks_; index += kBlocksAtOnce) {
    const uint64_t count = std::min(kBlocksAtOnce, blocks_ - index);
    const uint64_t offset = offset_bytes_ + index * kBlockBytes;
    TRY(device_->Read(offset, buffer_.bytes().first(count * kBlockBytes)));
    for (uint64_t i = 0; i < count; ++i) {
      const ParsedBlock parsed =
          ParseBlock({buffer_.data() + i * kBlockBytes, kBlockBytes}, BlockKind::kCheckpoint, uuid_,
                     offset + i * kBlockBytes);
      if (parsed.fault != BlockFault::kNone) {
        return BadBlock(number_, index + i, BlockFaultText(parsed.fault));
      }
      if (parsed.header.sequence != number_ || parsed.header.mark != index + i ||
          parsed.header.generation != generation_) {
        return BadBlock(number_, index + i, "it is an old one");
      }
    }
  }
  return {};
}

std::array<SlotState, Superblock::kCheckpointSlots> ReadSlots(block::BlockDevice& device,
                                                              const Superblock& superblock) {
  std::array<SlotState, Superblock::kCheckpointSlots> slots;
  auto buffer = device.AllocateBuffer(kBlockBytes);
  for (size_t i = 0; i < slots.size(); ++i) {
    SlotState& slot = slots[i];
    if (!buffer) {
      slot.fault = buffer.error().ToString();
      continue;
    }
    const std::span<char> block = buffer->bytes().first(kBlockBytes);
    const uint64_t offset = superblock.checkpoint_offsets[i];
    if (Status read = device.Read(offset, block); !read) {
      slot.fault = read.error().ToString();
      continue;
    }
    const ParsedBlock parsed =
        ParseBlock({block.data(), block.size()}, BlockKind::kCheckpoint, superblock.uuid, offset);
    const BlockHeader& header = parsed.header;
    if (parsed.fault == BlockFault::kOtherVolume || parsed.fault == BlockFault::kMagic) {
      continue;  // as formatting left it, or not to be told from that
    }
    if (parsed.fault != BlockFault::kNone) {
      slot.fault = BlockFaultText(parsed.fault);
    } else if (header.sequence % slots.size() != i || header.mark != 0 || !header.first() ||
               header.generation > superblock.generation) {
      slot.fault = BlockFaultText(BlockFault::kShape);
    } else {
      slot.number = header.sequence;
      slot.generation = header.generation;
    }
  }
  return slots;
}

Result<std::string> ReadCheckpoint(block::BlockDevice& device, const Superblock& superblock,
                                   const SlotState& slot) {
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlocksAtOnce * kBlockBytes));
  const uint64_t begin = SlotOffset(superblock, slot.number);
  std::string bytes;
  for (uint64_t index = 0; index < superblock.checkpoint_blocks; index += kBlocksAtOnce) {
    const uint64_t count = std::min(kBlocksAtOnce, superblock.checkpoint_blocks - index);
    const uint64_t offset = begin + index * kBlockBytes;
    const bool readable = device.Read(offset, buffer.bytes().first(count * kBlockBytes)).ok();
    for (uint64_t i = 0; i < count; ++i) {
      const std::span<char> block = buffer.bytes().subspan(i * kBlockBytes, kBlockBytes);
      // The blocks behind the last one need not be readable.
      if (!readable) TRY(device.Read(offset + i * kBlockBytes, block));
      const ParsedBlock parsed = ParseBlock({block.data(), block.size()}, BlockKind::kCheckpoint,
                                            superblock.uuid, offset + i * kBlockBytes);
      if (parsed.fault != BlockFault::kNone) {
        return BadBlock(slot.number, index + i, BlockFaultText(parsed.fault));
      }
      const BlockHeader& header = parsed.header;
      if (header.sequence != slot.number || header.generation != slot.generation ||
          header.mark != index + i || header.first() != (index + i == 0)) {
        return BadBlock(slot.number, index + i, "it is of another checkpoint");
      }
      bytes += parsed.payload;
      if (header.last()) return bytes;
    }
  }
  return BadBlock(slot.number, superblock.checkpoint_blocks, "it has no end");
}

}  // namespace tifs::volume
