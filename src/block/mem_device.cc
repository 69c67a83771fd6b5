#include "block/mem_device.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "block/sync_queue.h"

namespace tifs::block {
namespace {

constexpr uint64_t kPageBytes = 4096;

Geometry GeometryOf(uint32_t block_bytes) {
  return {.block_bytes = block_bytes,
          .buffer_alignment_bytes = 1,
          .atomic_write_bytes = block_bytes,
          .max_transfer_bytes = 1 << 30,
          .has_flush = false,
          .has_fua = true,
          .has_discard = true,
          .discard_reads_zeros = true};
}

Error NoSize(std::string_view identity, uint64_t size_bytes, uint32_t block_bytes) {
  return Error(ErrorCode::kInvalid, "device",
               fmt::format("{}: {} bytes are not a whole number of blocks of {}", identity,
                           size_bytes, block_bytes));
}

}  // namespace

Result<std::unique_ptr<MemDevice>> MemDevice::Open(const MemDeviceOptions& options) {
  const uint32_t block_bytes = options.block_bytes;
  if (!std::has_single_bit(block_bytes) || block_bytes < 512) {
    return Error(ErrorCode::kInvalid, "device",
                 fmt::format("{}: a block of {} bytes", options.identity, block_bytes));
  }
  if (options.size_bytes == 0 || options.size_bytes % block_bytes != 0) {
    return NoSize(options.identity, options.size_bytes, block_bytes);
  }
  const uint64_t capacity_bytes = std::max(options.size_bytes, options.capacity_bytes);
  void* bytes = mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) {
    return Error(ErrorCode::kNoMemory, "device",
                 fmt::format("{}: no memory for {} bytes", options.identity, capacity_bytes));
  }
  return std::unique_ptr<MemDevice>(
      new MemDevice(options, GeometryOf(block_bytes), static_cast<char*>(bytes), capacity_bytes));
}

MemDevice::MemDevice(const MemDeviceOptions& options, const Geometry& geometry, char* bytes,
                     uint64_t capacity_bytes)
    : BlockDevice(geometry, options.size_bytes, options.identity, options.read_only),
      bytes_(bytes),
      capacity_bytes_(capacity_bytes),
      medium_bytes_(options.size_bytes) {}

MemDevice::~MemDevice() { munmap(bytes_, capacity_bytes_); }

Result<std::unique_ptr<IoQueue>> MemDevice::OpenQueue(uint32_t depth) {
  TRY(CheckDepth(depth));
  return std::unique_ptr<IoQueue>(std::make_unique<SyncQueue>(*this, depth));
}

Status MemDevice::Resize(uint64_t size_bytes) {
  const uint32_t block_bytes = geometry().block_bytes;
  if (size_bytes == 0 || size_bytes % block_bytes != 0) {
    return NoSize(identity(), size_bytes, block_bytes);
  }
  if (size_bytes > capacity_bytes_) {
    return Error(ErrorCode::kInvalid, "device",
                 fmt::format("{}: {} bytes are more than its capacity of {}", identity(),
                             size_bytes, capacity_bytes_));
  }
  const uint64_t before = medium_bytes_.exchange(size_bytes);
  if (size_bytes < before) return Clear(size_bytes, before - size_bytes);
  return {};
}

Status MemDevice::DoRead(uint64_t offset_bytes, std::span<char> out) {
  std::memcpy(out.data(), bytes_ + offset_bytes, out.size());
  return {};
}

Status MemDevice::DoWrite(uint64_t offset_bytes, std::span<const char> data,
                          Durability /*durability*/) {
  std::memcpy(bytes_ + offset_bytes, data.data(), data.size());
  return {};
}

Status MemDevice::DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) {
  return Clear(offset_bytes, size_bytes);
}

Status MemDevice::Clear(uint64_t offset_bytes, uint64_t size_bytes) {
  const uint64_t end = offset_bytes + size_bytes;
  const uint64_t first_page = (offset_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uint64_t end_page = end / kPageBytes * kPageBytes;
  if (first_page >= end_page) {
    std::memset(bytes_ + offset_bytes, 0, size_bytes);
    return {};
  }
  std::memset(bytes_ + offset_bytes, 0, first_page - offset_bytes);
  std::memset(bytes_ + end_page, 0, end - end_page);
  if (madvise(bytes_ + first_page, end_page - first_page, MADV_DONTNEED) != 0) {
    return ErrorFromErrno(errno, "device", identity());
  }
  return {};
}

}  // namespace tifs::block
