#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/file_table.h"

namespace tifs::volume {

// Transfers that together read pieces of a file, straight into the caller's memory where its
// alignment allows that, else through memory of their own. Each request's tag is the index of the
// piece that it belongs to.
class ReadPlan {
 public:
  ReadPlan(const block::Geometry& geometry, uint64_t unit_bytes)
      : geometry_(geometry), unit_bytes_(unit_bytes) {}

  // [offset_bytes, offset_bytes + out.size()) of a file with these extents, which cover it.
  void Add(const std::vector<Extent>& extents, uint64_t offset_bytes, std::span<char> out,
           uint64_t tag);
  // After the last Add: gets the memory. kNoMemory.
  Status Bind(block::BlockDevice& device);
  std::span<block::IoRequest> requests() { return requests_; }
  // After all requests are done well.
  void CopyOut();

 private:
  struct Copy {
    size_t bounce_offset_bytes = 0;
    std::span<char> to;
  };

  const block::Geometry& geometry_;
  const uint64_t unit_bytes_;
  std::vector<block::IoRequest> requests_;
  // Of the requests that go through `bounce_`: which, and where in it.
  std::vector<std::pair<size_t, size_t>> bounced_;
  std::vector<Copy> copies_;
  size_t bounce_bytes_ = 0;
  block::DmaBuffer bounce_;
};

// Where bytes of a file lie: as many as lie together.
struct Placement {
  uint64_t device_offset_bytes = 0;
  uint64_t size_bytes = 0;
};
// `offset_bytes` lies within the extents.
Placement FindPlacement(const std::vector<Extent>& extents, uint64_t unit_bytes,
                        uint64_t offset_bytes, uint64_t size_bytes);

}  // namespace tifs::volume
