#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/volume_format.h"

namespace tifs::volume {

class GuardedDevice;

// Where everything lies, and who it is: one block, kept twice. Invariants: what DecodeSuperblock
// lets through has areas that are aligned, lie within `device_bytes` and are disjoint; of the two
// copies on a device one is whole at any instant, because one is flushed before the other is
// written.
struct Superblock {
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kMaxVolumeNameBytes = 64;
  static constexpr size_t kMaxOwnerBytes = 255;
  static constexpr size_t kCheckpointSlots = 3;
  static constexpr uint64_t kMinJournalBlocks = 32;
  // Incompatible features.
  static constexpr uint64_t kSparseFiles = 1;

  Uuid uuid{};
  uint64_t generation = 1;
  uint64_t compatible = 0;
  uint64_t read_only_compatible = 0;
  uint64_t incompatible = 0;
  uint64_t device_bytes = 0;
  uint64_t extent_unit_bytes = 0;
  uint64_t journal_blocks = 0;
  std::array<uint64_t, 2> journal_offsets{};
  uint64_t checkpoint_blocks = 0;
  std::array<uint64_t, kCheckpointSlots> checkpoint_offsets{};
  uint64_t second_offset = 0;
  int64_t formatted_ns = 0;
  uint64_t closed_at_sequence = 0;  // 0: open, or not closed
  // Journal blocks from this number on are of exactly this generation: what the last opening wrote.
  // All below were there when it read them.
  uint64_t journal_from_sequence = 1;
  uint64_t journal_generation = 1;
  std::string name;
  std::string owner;

  // Runs of extent units that no area overlaps, ascending.
  std::vector<UnitRange> DataRegions() const;
  uint64_t checkpoint_capacity_bytes() const { return checkpoint_blocks * kPayloadBytes; }
  bool operator==(const Superblock&) const = default;
};

// Where copy 1 is on a device of this size; 0 if it is too small to have one.
uint64_t SecondSuperblockOffset(uint64_t device_bytes);

// Puts the areas of a new volume on a device. The sizes in bytes, 0 for the default. kInvalid: too
// small.
Status LayOut(Superblock& superblock, uint64_t device_bytes, uint64_t journal_bytes,
              uint64_t checkpoint_bytes);

// The block that goes to `offset_bytes`.
std::string EncodeSuperblock(const Superblock& superblock, uint64_t offset_bytes);
// kNotFound: not a superblock. kCorrupt. kNotSupported: a newer format version, or features that
// cannot be ignored.
Result<Superblock> DecodeSuperblock(std::string_view block, uint64_t offset_bytes);

// What was found where the copies are.
struct SuperblockCopies {
  // The valid one of the higher generation, and which it is.
  Superblock best;
  size_t best_copy = 0;
  // Per copy, what is wrong with it; empty: sound, and of the same generation.
  std::array<std::string, 2> faults;
  // Copy 0 was overwritten by somebody else.
  bool foreign = false;
};

// kNotFound: no volume here. kCorrupt: both copies are bad. kNotSupported, as above. kInvalid: the
// device is smaller than the volume.
Result<SuperblockCopies> ReadSuperblocks(block::BlockDevice& device);
// One copy, and a flush.
Status WriteSuperblock(GuardedDevice& device, const Superblock& superblock, uint64_t offset_bytes);
// One copy, flush, the other, flush. `first_copy` is the one that is worse, if one is: so that a
// good one is never written while the other is bad, and a crash leaves them at most one generation
// apart.
Status WriteSuperblocks(GuardedDevice& device, const Superblock& superblock, size_t first_copy);

}  // namespace tifs::volume
