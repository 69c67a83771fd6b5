#include "block/dma_buffer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string>

#include "base/check.h"

namespace tifs::block {

DmaBuffer& DmaBuffer::operator=(DmaBuffer&& other) noexcept {
  if (this != &other) {
    if (bytes_ != nullptr) free_(bytes_, size_bytes_);
    bytes_ = std::exchange(other.bytes_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    free_ = other.free_;
  }
  return *this;
}

Result<DmaBuffer> DmaBuffer::Allocate(size_t size_bytes, size_t alignment) {
  CHECK(std::has_single_bit(alignment));
  void* bytes = nullptr;
  if (posix_memalign(&bytes, std::max(alignment, sizeof(void*)), std::max<size_t>(size_bytes, 1)) !=
      0) {
    return Error(ErrorCode::kNoMemory, "buffer", std::to_string(size_bytes) + " bytes");
  }
  return DmaBuffer(static_cast<char*>(bytes), size_bytes,
                   [](char* memory, size_t) { std::free(memory); });
}

}  // namespace tifs::block
