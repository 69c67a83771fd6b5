#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/guarded_device.h"
#include "volume/superblock.h"

namespace tifs::volume {

// Writes one checkpoint to its slot, as its bytes come. Not safe for use by several threads at
// once.
class CheckpointWriter {
 public:
  // `device` must live longer.
  static Result<CheckpointWriter> Begin(GuardedDevice& device, const Superblock& superblock,
                                        uint64_t number);

  // kNoSpace: it does not fit the slot.
  Status Add(std::string_view bytes);
  // Writes what is left; nothing is durable yet.
  Status Finish();
  // Reads all blocks back. kCorrupt.
  Status Verify();

 private:
  CheckpointWriter(GuardedDevice& device, const Superblock& superblock, uint64_t number,
                   block::DmaBuffer buffer);
  Status WriteBlocks(bool last);

  GuardedDevice* device_;
  Uuid uuid_;
  uint64_t generation_;
  uint64_t number_;
  uint64_t offset_bytes_;
  uint64_t capacity_blocks_;
  block::DmaBuffer buffer_;
  std::string waiting_;
  uint64_t blocks_ = 0;  // written
};

// What a slot holds, by its first block.
struct SlotState {
  uint64_t number = 0;  // 0: no valid first block
  uint64_t generation = 0;
  std::string fault;  // if there is none: why, unless the slot was never written
};
std::array<SlotState, Superblock::kCheckpointSlots> ReadSlots(block::BlockDevice& device,
                                                              const Superblock& superblock);

// All bytes of the checkpoint whose first block ReadSlots has found. kCorrupt, with the block, if
// one is bad, missing or of another checkpoint; kIo.
Result<std::string> ReadCheckpoint(block::BlockDevice& device, const Superblock& superblock,
                                   const SlotState& slot);

}  // namespace tifs::volume
