#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

namespace tifs::fs {

// A set of slots of the data file whose memory is bounded by how many it holds, whatever numbers a
// damaged store makes of them: a bit each where they lie together, about 100 bytes where they
// don't.
class SparseSlots {
 public:
  // False if it was there.
  bool Insert(uint64_t slot) {
    uint64_t& word = chunks_[slot / kChunk][slot % kChunk / 64];
    const uint64_t bit = uint64_t{1} << (slot % 64);
    const bool is_new = (word & bit) == 0;
    word |= bit;
    return is_new;
  }

 private:
  static constexpr uint64_t kChunk = 512;
  std::unordered_map<uint64_t, std::array<uint64_t, kChunk / 64>> chunks_;
};

}  // namespace tifs::fs
