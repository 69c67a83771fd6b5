#include "volume/read_plan.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace tifs::volume {

Placement FindPlacement(const std::vector<Extent>& extents, uint64_t unit_bytes,
                        uint64_t offset_bytes, uint64_t size_bytes) {
  const uint64_t unit = offset_bytes / unit_bytes;
  auto at = extents.begin();
  if (extents.size() != 1) {
    at = std::prev(std::ranges::upper_bound(extents, unit, {}, &Extent::file_unit));
  }
  CHECK(unit < at->file_end());
  const uint64_t skipped = offset_bytes - at->file_unit * unit_bytes;
  return {.device_offset_bytes = at->units.start * unit_bytes + skipped,
          .size_bytes = std::min(size_bytes, at->units.count * unit_bytes - skipped)};
}

void ReadPlan::Add(const std::vector<Extent>& extents, uint64_t offset_bytes, std::span<char> out,
                   uint64_t tag) {
  if (out.empty()) return;
  const uint64_t block = geometry_.block_bytes;
  const bool direct =
      (offset_bytes | out.size()) % block == 0 &&
      reinterpret_cast<uintptr_t>(out.data()) % geometry_.buffer_alignment_bytes == 0;
  const uint64_t begin = RoundDown(offset_bytes, block);
  const uint64_t end = RoundUp(offset_bytes + out.size(), block);
  if (!direct) copies_.push_back({bounce_bytes_ + (offset_bytes - begin), out});
  for (uint64_t at = begin; at < end;) {
    const Placement place = FindPlacement(extents, unit_bytes_, at, end - at);
    auto request = block::IoRequest::Read(place.device_offset_bytes, {});
    request.size_bytes = place.size_bytes;
    request.tag = tag;
    if (direct) {
      request.buffer = out.data() + (at - begin);
    } else {
      bounced_.emplace_back(requests_.size(), bounce_bytes_);
      bounce_bytes_ += place.size_bytes;
    }
    requests_.push_back(std::move(request));
    at += place.size_bytes;
  }
  // The next piece begins aligned for the device as well.
  bounce_bytes_ = RoundUp(bounce_bytes_, std::max<uint64_t>(geometry_.buffer_alignment_bytes, 64));
}

Status ReadPlan::Bind(block::BlockDevice& device) {
  if (bounce_bytes_ == 0) return {};
  bounce_ = TRY(device.AllocateBuffer(bounce_bytes_));
  for (const auto& [request, offset] : bounced_) {
    requests_[request].buffer = bounce_.data() + offset;
  }
  return {};
}

void ReadPlan::CopyOut() {
  for (const Copy& copy : copies_) {
    std::memcpy(copy.to.data(), bounce_.data() + copy.bounce_offset_bytes, copy.to.size());
  }
}

}  // namespace tifs::volume
