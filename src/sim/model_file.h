#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tifs::sim {

// The contents of a regular file in the model: a size and the pages that hold anything but zeros.
// What is remembered besides is only there to judge answers that POSIX leaves open: which blocks
// may count as data, and which bytes were ever written (where old bytes could show again).
class ModelFile {
 public:
  explicit ModelFile(uint64_t block_size_bytes) : block_size_bytes_(block_size_bytes) {}

  uint64_t size_bytes() const { return size_bytes_; }
  // Bytes from `offset_bytes` on, fewer at the end.
  std::string Read(uint64_t offset_bytes, uint64_t length_bytes) const;
  // Extends the file where the data ends beyond it.
  void Write(uint64_t offset_bytes, std::string_view data);
  // Cuts, or extends with zeros.
  void Resize(uint64_t size_bytes);
  // The range reads as zeros, the size stays. With `release`, whole blocks in it are holes.
  void Zero(uint64_t offset_bytes, uint64_t length_bytes, bool release);

  // The first byte at or after the offset that is not zero.
  std::optional<uint64_t> NextNonZero(uint64_t offset_bytes) const;
  // Whether the block that holds this byte was written since it was last cut or punched out.
  bool MayBeData(uint64_t offset_bytes) const;
  // The first byte at or after the offset in a block that may be data; likewise, that is not.
  std::optional<uint64_t> NextMaybeData(uint64_t offset_bytes) const;
  uint64_t NextHole(uint64_t offset_bytes) const;
  // Bounds of what the file may be charged for its bytes, without preallocation.
  uint64_t max_allocated_bytes() const { return data_blocks_.size() * block_size_bytes_; }

  // All ranges that ever held a written byte, clipped to the file: begin and length.
  std::vector<std::pair<uint64_t, uint64_t>> TouchedRanges() const;

 private:
  static constexpr uint64_t kPageBytes = 4096;

  uint64_t block_size_bytes_;
  uint64_t size_bytes_ = 0;
  std::map<uint64_t, std::string> pages_;  // by index; absent: zeros
  std::set<uint64_t> touched_pages_;
  std::set<uint64_t> data_blocks_;
};

}  // namespace tifs::sim
