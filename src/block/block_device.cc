#include "block/block_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace tifs::block {
namespace {

constexpr size_t kPageBytes = 4096;

Error Refused(const BlockDevice& device, const IoRequest& request, const char* why) {
  return Error(ErrorCode::kInvalid, "block device",
               fmt::format("{}: offset {}, length {}: {}", device.identity(), request.offset_bytes,
                           request.size_bytes, why));
}

bool IsMultipleOf(uint64_t value, uint32_t power_of_two) {
  return (value & (power_of_two - 1)) == 0;
}

}  // namespace

BlockDevice::BlockDevice(const Geometry& geometry, uint64_t size_bytes, std::string identity,
                         bool read_only)
    : geometry_(geometry),
      size_bytes_(size_bytes),
      identity_(std::move(identity)),
      read_only_(read_only) {
  CHECK(std::has_single_bit(geometry.block_bytes) && geometry.block_bytes >= 512);
  CHECK(std::has_single_bit(geometry.buffer_alignment_bytes));
  CHECK(std::has_single_bit(geometry.atomic_write_bytes) &&
        geometry.atomic_write_bytes >= geometry.block_bytes);
  CHECK(geometry.max_transfer_bytes >= geometry.block_bytes &&
        IsMultipleOf(geometry.max_transfer_bytes, geometry.block_bytes));
  CHECK(IsMultipleOf(size_bytes, geometry.block_bytes));
}

Status BlockDevice::Check(const IoRequest& request) const {
  if (request.kind != IoKind::kRead && read_only_) {
    if (request.kind == IoKind::kFlush) return {};  // there is nothing to flush
    return Error(ErrorCode::kReadOnly, "block device", identity_ + ": opened for reading only");
  }
  if (request.kind == IoKind::kFlush) return {};
  if (!IsMultipleOf(request.offset_bytes | request.size_bytes, geometry_.block_bytes)) {
    return Refused(*this, request, "not in whole blocks");
  }
  const uint64_t size_bytes = this->size_bytes();
  if (request.offset_bytes > size_bytes || request.size_bytes > size_bytes - request.offset_bytes) {
    return Refused(*this, request, "beyond the end");
  }
  if (request.kind == IoKind::kDiscard) {
    if (geometry_.has_discard) return {};
    return Error(ErrorCode::kNotSupported, "block device", identity_ + ": cannot discard");
  }
  if (!IsMultipleOf(reinterpret_cast<uintptr_t>(request.buffer),
                    geometry_.buffer_alignment_bytes)) {
    return Refused(*this, request, "the buffer is not aligned");
  }
  return {};
}

bool BlockDevice::Prepare(IoRequest& request) const {
  request.status = Check(request);
  const bool is_flush = request.kind == IoKind::kFlush;
  const bool is_empty = is_flush ? read_only_ || !geometry_.has_flush : request.size_bytes == 0;
  request.done = !request.status || is_empty;
  return !request.done;
}

Status BlockDevice::Read(uint64_t offset_bytes, std::span<char> out) {
  TRY(Check(IoRequest::Read(offset_bytes, out)));
  if (out.empty()) return {};
  return DoRead(offset_bytes, out);
}

Status BlockDevice::Write(uint64_t offset_bytes, std::span<const char> data,
                          Durability durability) {
  TRY(Check(IoRequest::Write(offset_bytes, data)));
  if (data.empty()) return {};
  return DoWrite(offset_bytes, data, durability);
}

Status BlockDevice::Flush() {
  if (read_only_ || !geometry_.has_flush) return {};
  return DoFlush();
}

Status BlockDevice::Discard(uint64_t offset_bytes, uint64_t size_bytes) {
  TRY(Check(IoRequest::Discard(offset_bytes, size_bytes)));
  if (size_bytes == 0) return {};
  return DoDiscard(offset_bytes, size_bytes);
}

Status BlockDevice::Run(std::span<IoRequest> requests) {
  for (IoRequest& request : requests) (void)Prepare(request);
  DoRun(requests);
  for (IoRequest& request : requests) {
    CHECK(request.done);
    if (!request.status) return request.status.error().Clone();
  }
  return {};
}

void BlockDevice::DoRun(std::span<IoRequest> requests) {
  for (IoRequest& request : requests) {
    if (request.done) continue;
    switch (request.kind) {
      case IoKind::kRead:
        request.status = DoRead(request.offset_bytes, {request.buffer, request.size_bytes});
        break;
      case IoKind::kWrite:
        request.status =
            DoWrite(request.offset_bytes, {request.buffer, request.size_bytes}, request.durability);
        break;
      case IoKind::kFlush: request.status = DoFlush(); break;
      case IoKind::kDiscard:
        request.status = DoDiscard(request.offset_bytes, request.size_bytes);
        break;
    }
    request.done = true;
  }
}

Result<uint64_t> BlockDevice::RefreshSize() {
  const uint64_t size_bytes = TRY(DoRefreshSize());
  size_bytes_.store(size_bytes, std::memory_order_release);
  return size_bytes;
}

Result<DmaBuffer> BlockDevice::AllocateBuffer(size_t size_bytes) {
  // A page or more begins with a page: a segment less for the disk, and there are drivers that take
  // less and then write past the end (zram of Linux 6.18, of pages that it did not compress).
  const size_t wanted = size_bytes < kPageBytes ? 1 : kPageBytes;
  return DmaBuffer::Allocate(size_bytes,
                             std::max<size_t>(geometry_.buffer_alignment_bytes, wanted));
}

ForwardingDevice::ForwardingDevice(BlockDevice& base)
    : BlockDevice(base.geometry(), base.size_bytes(), base.identity(), base.read_only()),
      base_(base) {}

Result<std::unique_ptr<IoQueue>> ForwardingDevice::OpenQueue(uint32_t depth) {
  return base_.OpenQueue(depth);
}

Result<DmaBuffer> ForwardingDevice::AllocateBuffer(size_t size_bytes) {
  return base_.AllocateBuffer(size_bytes);
}

Status ForwardingDevice::DoRead(uint64_t offset_bytes, std::span<char> out) {
  return base_.Read(offset_bytes, out);
}

Status ForwardingDevice::DoWrite(uint64_t offset_bytes, std::span<const char> data,
                                 Durability durability) {
  return base_.Write(offset_bytes, data, durability);
}

Status ForwardingDevice::DoFlush() { return base_.Flush(); }

Status ForwardingDevice::DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) {
  return base_.Discard(offset_bytes, size_bytes);
}

void ForwardingDevice::DoRun(std::span<IoRequest> requests) { (void)base_.Run(requests); }

Result<uint64_t> ForwardingDevice::DoRefreshSize() { return base_.RefreshSize(); }

}  // namespace tifs::block
