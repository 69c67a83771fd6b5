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

// How many bytes of the block it holds. kCorrupt.
Result<uint32_t> BlockLength(const BlockValue& block);

}  // namespace tifs::fs
