#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "block/block_device.h"

namespace tifs::block {

// A queue for devices that have none of their own: each request is done by a blocking call when it
// is submitted. Through the device's public calls, so that a decorator's effects show.
class SyncQueue : public IoQueue {
 public:
  SyncQueue(BlockDevice& device, uint32_t depth) : device_(device), depth_(depth) {}

  size_t Submit(std::span<IoRequest* const> requests) override;
  size_t Poll(size_t at_least, std::span<IoRequest*> done) override;
  size_t in_flight() const override { return done_.size(); }
  size_t depth() const override { return depth_; }

 private:
  BlockDevice& device_;
  const uint32_t depth_;
  std::deque<IoRequest*> done_;
};

// kInvalid for a depth that OpenQueue does not take.
Status CheckDepth(uint32_t depth);

}  // namespace tifs::block
