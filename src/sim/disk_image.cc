#include "sim/disk_image.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace tifs::sim {
namespace {

// Calls `piece(chunk, offset within it, offset within the range, size)` for each chunk of a range.
template <typename Piece>
void ForEachChunk(uint64_t chunk_bytes, uint64_t offset_bytes, uint64_t size_bytes, Piece piece) {
  for (uint64_t done = 0; done < size_bytes;) {
    const uint64_t at = offset_bytes + done;
    const uint64_t size = std::min(chunk_bytes - at % chunk_bytes, size_bytes - done);
    piece(at / chunk_bytes, at % chunk_bytes, done, size);
    done += size;
  }
}

}  // namespace

DiskImage::DiskImage(uint64_t size_bytes)
    : size_bytes_(size_bytes), chunks_((size_bytes + kChunkBytes - 1) / kChunkBytes) {}

void DiskImage::Resize(uint64_t size_bytes) {
  if (size_bytes < size_bytes_) Fill(size_bytes, size_bytes_ - size_bytes, 0);
  size_bytes_ = size_bytes;
  chunks_.resize((size_bytes + kChunkBytes - 1) / kChunkBytes);
}

DiskImage::Chunk& DiskImage::Own(uint64_t index) {
  std::shared_ptr<Chunk>& chunk = chunks_[index];
  if (!chunk) {
    chunk = std::make_shared<Chunk>();
  } else if (chunk.use_count() > 1) {
    chunk = std::make_shared<Chunk>(*chunk);
  }
  return *chunk;
}

void DiskImage::Read(uint64_t offset_bytes, std::span<char> out) const {
  CHECK(offset_bytes + out.size() <= size_bytes_);
  ForEachChunk(kChunkBytes, offset_bytes, out.size(),
               [&](uint64_t chunk, uint64_t within, uint64_t done, uint64_t size) {
                 if (chunks_[chunk]) {
                   std::memcpy(out.data() + done, chunks_[chunk]->data() + within, size);
                 } else {
                   std::memset(out.data() + done, 0, size);
                 }
               });
}

void DiskImage::Write(uint64_t offset_bytes, std::string_view data) {
  CHECK(offset_bytes + data.size() <= size_bytes_);
  ForEachChunk(kChunkBytes, offset_bytes, data.size(),
               [&](uint64_t chunk, uint64_t within, uint64_t done, uint64_t size) {
                 std::memcpy(Own(chunk).data() + within, data.data() + done, size);
               });
}

void DiskImage::Fill(uint64_t offset_bytes, uint64_t size_bytes, char byte) {
  CHECK(offset_bytes + size_bytes <= size_bytes_);
  ForEachChunk(kChunkBytes, offset_bytes, size_bytes,
               [&](uint64_t chunk, uint64_t within, uint64_t, uint64_t size) {
                 if (byte == 0 && (size == kChunkBytes || !chunks_[chunk])) {
                   chunks_[chunk] = nullptr;
                 } else {
                   std::memset(Own(chunk).data() + within, byte, size);
                 }
               });
}

bool DiskImage::operator==(const DiskImage& other) const {
  if (size_bytes_ != other.size_bytes_) return false;
  static constexpr Chunk kZeros = {};
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i] == other.chunks_[i]) continue;
    if ((chunks_[i] ? *chunks_[i] : kZeros) != (other.chunks_[i] ? *other.chunks_[i] : kZeros)) {
      return false;
    }
  }
  return true;
}

}  // namespace tifs::sim
