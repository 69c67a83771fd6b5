#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/guarded_device.h"
#include "volume/journal_record.h"
#include "volume/superblock.h"

namespace tifs::volume {

// One block of one journal copy, as far as finding the end needs it. sequence 0: not a valid block.
struct SeenBlock {
  uint64_t sequence = 0;
  uint64_t generation = 0;
  uint64_t durable_below = 0;
  bool first = false;
  bool last = false;
};

// What both copies hold, by index in the ring.
using SeenJournal = std::array<std::vector<SeenBlock>, 2>;

// Where the journal ends, decided from the headers alone (docs/volume_format.md, "The end, and
// damage"). Pure.
struct JournalEnd {
  // The sequence number after the last whole batch.
  uint64_t next_sequence = 0;
  // Of the last block that counts.
  uint64_t generation = 0;
  // The first missing number, if a later block proves that it was durable: damage.
  std::optional<uint64_t> lost;
  // How many later blocks there are behind the damage.
  uint64_t blocks_behind = 0;
  // Blocks that one copy has and the other lacks, by number; of these, how many were durable in
  // both.
  std::vector<uint64_t> single;
  uint64_t bad_copies = 0;
  // Which copy to read, by sequence number from the position on.
  std::vector<uint8_t> copy;
};
// What the superblock and the checkpoint say of it.
struct JournalStart {
  uint64_t position = 1;    // of the checkpoint
  uint64_t generation = 1;  // of the checkpoint: no block from there on has a lower one
  // As in the superblock.
  uint64_t from_sequence = 1;
  uint64_t from_generation = 1;
};
JournalEnd FindJournalEnd(const SeenJournal& seen, const JournalStart& start);

// A block of the journal that only one copy has.
struct SingleBlock {
  uint64_t sequence = 0;
  uint8_t copy = 0;  // the one that has it
};
// Writes such blocks to the other copy, too, and flushes.
Status MendJournal(GuardedDevice& device, const Superblock& superblock,
                   std::span<const SingleBlock> blocks);

// Reads the journal of a volume. A block that both copies have lost, the journal going on behind
// it, is never passed over.
class JournalReader {
 public:
  // Both must live longer.
  JournalReader(block::BlockDevice& device, const Superblock& superblock)
      : device_(device), superblock_(superblock) {}

  // Looks at every block. `position` and `generation` are those of the checkpoint. kIo only for
  // want of memory: what cannot be read is a bad block.
  Result<JournalEnd> FindEnd(uint64_t position, uint64_t generation);
  // Hands the records from `position` up to the end to `apply`, in order. kCorrupt, with the block,
  // if one cannot be read as it was a moment ago, does not decode or is refused by `apply`.
  Status Replay(uint64_t position, const JournalEnd& end,
                const std::function<Status(const Record&)>& apply);

 private:
  Status See(size_t copy, std::vector<SeenBlock>& seen);
  Status ApplyBatch(const std::string& batch, uint64_t sequence,
                    const std::function<Status(const Record&)>& apply);

  block::BlockDevice& device_;
  const Superblock& superblock_;
};

}  // namespace tifs::volume
