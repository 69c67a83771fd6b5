#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/result.h"

namespace tifs::block {

// Memory that a device can transfer to and from: aligned, owned, of fixed size. Its bytes are
// uninitialised, so whoever writes one to a device fills all of what is written. Move-only; an
// object moved from is empty. Make one with BlockDevice::AllocateBuffer, which knows where a
// device's memory must lie.
class DmaBuffer {
 public:
  // How the memory goes back to where it came from.
  using Free = void (*)(char* bytes, size_t size_bytes);

  DmaBuffer() = default;
  DmaBuffer(char* bytes, size_t size_bytes, Free free)
      : bytes_(bytes), size_bytes_(size_bytes), free_(free) {}
  DmaBuffer(DmaBuffer&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        free_(other.free_) {}
  DmaBuffer& operator=(DmaBuffer&& other) noexcept;
  ~DmaBuffer() {
    if (bytes_ != nullptr) free_(bytes_, size_bytes_);
  }

  // From the heap. `alignment` is a power of two; it and `size_bytes` are rounded up to what the
  // heap takes. kNoMemory.
  static Result<DmaBuffer> Allocate(size_t size_bytes, size_t alignment);

  std::span<char> bytes() { return {bytes_, size_bytes_}; }
  std::span<const char> bytes() const { return {bytes_, size_bytes_}; }
  char* data() { return bytes_; }
  const char* data() const { return bytes_; }
  size_t size() const { return size_bytes_; }
  bool empty() const { return size_bytes_ == 0; }

 private:
  char* bytes_ = nullptr;
  size_t size_bytes_ = 0;
  Free free_ = nullptr;
};

}  // namespace tifs::block
