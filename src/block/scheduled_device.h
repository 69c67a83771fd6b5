#pragma once

#include <memory>
#include <span>

#include "base/clock.h"
#include "block/block_device.h"
#include "block/io_scheduler.h"

namespace tifs::block {

// A device whose transfers are counted and, once its scheduler is configured, scheduled, by the
// class that the calling thread's IoScope says. Large background transfers are made in pieces;
// queues are foreground. Flushes and discards pass.
class ScheduledDevice : public ForwardingDevice {
 public:
  ScheduledDevice(std::unique_ptr<BlockDevice> base, Clock& clock);

  Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) override;
  // Lives as long as the device.
  IoScheduler& scheduler() { return scheduler_; }

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override;
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data, Durability durability) override;
  void DoRun(std::span<IoRequest> requests) override;

 private:
  bool IsHeldBack() const {
    return IoScope::CurrentClass() != IoClass::kForeground && scheduler_.enabled();
  }
  // One after the other, each when it may begin.
  Status ReadInPieces(uint64_t offset_bytes, std::span<char> out);
  Status WriteInPieces(uint64_t offset_bytes, std::span<const char> data, Durability durability);
  void RunInPieces(std::span<IoRequest> requests);
  void RunGroup(std::span<IoRequest> group);
  void RunAlone(IoRequest& request);

  const std::unique_ptr<BlockDevice> owned_;
  IoScheduler scheduler_;
};

}  // namespace tifs::block
