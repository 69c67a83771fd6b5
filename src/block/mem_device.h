#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "block/block_device.h"

namespace tifs::block {

struct MemDeviceOptions {
  uint64_t size_bytes = 0;  // at least one block, whole blocks
  // The largest that Resize can make it; address space, not memory. 0: `size_bytes`.
  uint64_t capacity_bytes = 0;
  uint32_t block_bytes = 512;
  std::string identity = "mem:";
  bool read_only = false;
};

// A disk in memory, which reads as zeros where nobody wrote and takes no memory there. It loses
// nothing while the process lives and keeps nothing beyond: whatever is done counts as durable. A
// disk that loses power is sim::SimBlockDevice.
//
// Calls take no lock. Reading a block while another thread writes it is a race, as on a disk; a
// race detector says so here.
class MemDevice : public BlockDevice {
 public:
  // kInvalid for a size that is none, kNoMemory.
  static Result<std::unique_ptr<MemDevice>> Open(const MemDeviceOptions& options);
  ~MemDevice() override;

  Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) override;

  // The disk grows or shrinks by itself; size_bytes() follows at the next RefreshSize. What a
  // shrink cuts off is lost. kInvalid beyond the capacity.
  Status Resize(uint64_t size_bytes);

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override;
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data, Durability durability) override;
  Status DoFlush() override { return {}; }
  Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) override;
  Result<uint64_t> DoRefreshSize() override { return medium_bytes_.load(); }

 private:
  MemDevice(const MemDeviceOptions& options, const Geometry& geometry, char* bytes,
            uint64_t capacity_bytes);
  // Zeros again, and the memory is the system's again.
  Status Clear(uint64_t offset_bytes, uint64_t size_bytes);

  char* const bytes_;
  const uint64_t capacity_bytes_;
  std::atomic<uint64_t> medium_bytes_;
};

}  // namespace tifs::block
