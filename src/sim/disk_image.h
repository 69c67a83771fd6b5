#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace tifs::sim {

// The bytes of a disk: zeros where nobody wrote. A copy shares what neither changes, so copies are
// cheap: a crash test makes thousands. Not safe for use by several threads; copies are independent.
class DiskImage {
 public:
  explicit DiskImage(uint64_t size_bytes);

  uint64_t size_bytes() const { return size_bytes_; }
  // Zeros are added, or the end is cut off.
  void Resize(uint64_t size_bytes);
  // Within the size.
  void Read(uint64_t offset_bytes, std::span<char> out) const;
  void Write(uint64_t offset_bytes, std::string_view data);
  void Fill(uint64_t offset_bytes, uint64_t size_bytes, char byte);

  bool operator==(const DiskImage& other) const;

 private:
  static constexpr uint64_t kChunkBytes = 32 << 10;
  using Chunk = std::array<char, kChunkBytes>;

  Chunk& Own(uint64_t index);

  uint64_t size_bytes_;
  std::vector<std::shared_ptr<Chunk>> chunks_;  // null: zeros
};

}  // namespace tifs::sim
