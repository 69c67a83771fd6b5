#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"
#include "block/block_device.h"

namespace tifs::block {

// A device's queues for its blocking calls, one for each thread that makes such calls, made at the
// thread's first. A queue is destroyed when its thread ends or when this object does, whichever is
// first; so there are never more than threads. Safe from any thread; calls must have returned
// before the destruction begins.
class ThreadQueues {
 public:
  using Open = std::function<Result<std::unique_ptr<IoQueue>>()>;

  explicit ThreadQueues(Open open);
  ~ThreadQueues();
  ThreadQueues(const ThreadQueues&) = delete;
  ThreadQueues& operator=(const ThreadQueues&) = delete;

  // The calling thread's queue; null if there is none and none can be made now.
  IoQueue* ForThisThread();
  size_t size() const;

 private:
  class Set;
  class OfThisThread;

  const Open open_;
  // Threads that end hold it for a moment.
  const std::shared_ptr<Set> set_;
};

}  // namespace tifs::block
