#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/data/block_store.h"

namespace tifs::fs {

// How a block's value says where its bytes are.
enum class BlockEncoding : uint8_t {
  kRaw = 0,     // they follow
  kExtent = 1,  // a reference into a data file follows
};

// The common head of every block value: version, encoding, clear epoch.
struct BlockValue {
  static constexpr size_t kHeadBytes = 6;

  BlockEncoding encoding = BlockEncoding::kRaw;
  uint32_t epoch = 0;
  std::string_view payload;  // after the head

  // Appends the head to `out`.
  static void AppendHead(std::string& out, BlockEncoding encoding, uint32_t epoch);
  // kCorrupt if it is not a block's value.
  static Result<BlockValue> Decode(std::string_view value);
};

// What a kExtent block's payload says.
struct ExtentReference {
  static constexpr size_t kBytes = 12;
  // Slots above it are taken for corruption: the data file ends before.
  static constexpr uint64_t kMaxSlot = uint64_t{1} << 40;

  uint64_t slot = 0;  // in units of the block size, from the start of the data file
  uint32_t length_bytes = 0;

  void Append(std::string& out) const;
  // kCorrupt unless it is the payload of an extent block.
  static Result<ExtentReference> Decode(const BlockValue& block);
  // Of a payload that Decode has accepted.
  static ExtentReference FromPayload(std::string_view payload);
};

// From which slot on none can be in a data file of so many bytes, as it is found when the store is
// opened. After a crash it may have been longer: by what was written since its last sync. Slots
// beyond are taken for corruption, not for a reason to allocate memory.
uint64_t SlotLimit(uint64_t data_file_bytes, uint32_t block_size_bytes);

// How many bytes of the block it holds. kCorrupt.
Result<uint32_t> BlockLength(const BlockValue& block);

}  // namespace tifs::fs
