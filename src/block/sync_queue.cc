#include "block/sync_queue.h"

#include <algorithm>
#include <string>

namespace tifs::block {

size_t SyncQueue::Submit(std::span<IoRequest* const> requests) {
  const size_t taken = std::min<size_t>(requests.size(), depth_ - done_.size());
  for (IoRequest* request : requests.first(taken)) {
    // The error, if any, stays in the request.
    (void)device_.Run({request, 1});
    done_.push_back(request);
  }
  return taken;
}

size_t SyncQueue::Poll(size_t /*at_least*/, std::span<IoRequest*> done) {
  const size_t count = std::min(done.size(), done_.size());
  std::copy_n(done_.begin(), count, done.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

Status CheckDepth(uint32_t depth) {
  if (depth >= 1 && depth <= 4096) return {};
  return Error(ErrorCode::kInvalid, "I/O queue", "depth " + std::to_string(depth));
}

}  // namespace tifs::block
