#include "block/scheduled_device.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace tifs::block {
namespace {

// Counts what passes.
class CountedQueue : public IoQueue {
 public:
  CountedQueue(std::unique_ptr<IoQueue> base, IoScheduler& scheduler)
      : base_(std::move(base)), scheduler_(scheduler) {}

  size_t Submit(std::span<IoRequest* const> requests) override {
    const size_t taken = base_->Submit(requests);
    for (const IoRequest* request : requests.first(taken)) {
      scheduler_.Count(request->kind, request->size_bytes);
    }
    return taken;
  }
  size_t Poll(size_t at_least, std::span<IoRequest*> done) override {
    return base_->Poll(at_least, done);
  }
  size_t in_flight() const override { return base_->in_flight(); }
  size_t depth() const override { return base_->depth(); }

 private:
  const std::unique_ptr<IoQueue> base_;
  IoScheduler& scheduler_;
};

bool IsTransfer(const IoRequest& request) {
  return request.kind == IoKind::kRead || request.kind == IoKind::kWrite;
}

}  // namespace

ScheduledDevice::ScheduledDevice(std::unique_ptr<BlockDevice> base, Clock& clock)
    : ForwardingDevice(*base), owned_(std::move(base)), scheduler_(clock) {}

Result<std::unique_ptr<IoQueue>> ScheduledDevice::OpenQueue(uint32_t depth) {
  return std::unique_ptr<IoQueue>(
      std::make_unique<CountedQueue>(TRY(base().OpenQueue(depth)), scheduler_));
}

Status ScheduledDevice::DoRead(uint64_t offset_bytes, std::span<char> out) {
  if (IsHeldBack()) return ReadInPieces(offset_bytes, out);
  scheduler_.Count(IoKind::kRead, out.size());
  if (IoScope::CurrentClass() != IoClass::kForeground) return base().Read(offset_bytes, out);
  const IoScheduler::ForegroundRead read(scheduler_);
  return base().Read(offset_bytes, out);
}

Status ScheduledDevice::DoWrite(uint64_t offset_bytes, std::span<const char> data,
                                Durability durability) {
  if (IsHeldBack()) return WriteInPieces(offset_bytes, data, durability);
  scheduler_.Count(IoKind::kWrite, data.size());
  return base().Write(offset_bytes, data, durability);
}

void ScheduledDevice::DoRun(std::span<IoRequest> requests) {
  if (IsHeldBack()) return RunInPieces(requests);
  bool has_reads = false;
  for (const IoRequest& request : requests) {
    has_reads = has_reads || request.kind == IoKind::kRead;
    scheduler_.Count(request.kind, request.size_bytes);
  }
  std::optional<IoScheduler::ForegroundRead> read;
  if (has_reads && IoScope::CurrentClass() == IoClass::kForeground) read.emplace(scheduler_);
  (void)base().Run(requests);
}

Status ScheduledDevice::ReadInPieces(uint64_t offset_bytes, std::span<char> out) {
  while (!out.empty()) {
    const size_t size = std::min<uint64_t>(out.size(), scheduler_.PieceBytes(IoKind::kRead));
    const IoScheduler::Admission admission(scheduler_, IoScope::CurrentClass(), IoKind::kRead,
                                           size);
    scheduler_.Count(IoKind::kRead, size);
    TRY(base().Read(offset_bytes, out.first(size)));
    out = out.subspan(size);
    offset_bytes += size;
  }
  return {};
}

Status ScheduledDevice::WriteInPieces(uint64_t offset_bytes, std::span<const char> data,
                                      Durability durability) {
  while (!data.empty()) {
    const size_t size = std::min<uint64_t>(data.size(), scheduler_.PieceBytes(IoKind::kWrite));
    const IoScheduler::Admission admission(scheduler_, IoScope::CurrentClass(), IoKind::kWrite,
                                           size);
    scheduler_.Count(IoKind::kWrite, size);
    TRY(base().Write(offset_bytes, data.first(size), durability));
    data = data.subspan(size);
    offset_bytes += size;
  }
  return {};
}

// Neighbours that together are no larger than a piece go together.
void ScheduledDevice::RunInPieces(std::span<IoRequest> requests) {
  for (size_t begin = 0; begin < requests.size();) {
    const IoRequest& first = requests[begin];
    if (first.done) {
      ++begin;
      continue;
    }
    const uint64_t most = scheduler_.PieceBytes(first.kind);
    uint64_t bytes = first.size_bytes;
    size_t end = begin + 1;
    while (end < requests.size() && !requests[end].done && requests[end].kind == first.kind &&
           requests[end].size_bytes <= most - std::min(most, bytes)) {
      bytes += requests[end++].size_bytes;
    }
    if (end == begin + 1) {
      RunAlone(requests[begin]);
    } else {
      RunGroup(requests.subspan(begin, end - begin));
    }
    begin = end;
  }
}

void ScheduledDevice::RunGroup(std::span<IoRequest> group) {
  std::optional<IoScheduler::Admission> admission;
  uint64_t bytes = 0;
  for (const IoRequest& request : group) {
    bytes += request.size_bytes;
    scheduler_.Count(request.kind, request.size_bytes);
  }
  if (IsTransfer(group.front())) {
    admission.emplace(scheduler_, IoScope::CurrentClass(), group.front().kind, bytes);
  }
  (void)base().Run(group);
}

void ScheduledDevice::RunAlone(IoRequest& request) {
  if (!IsTransfer(request)) {
    (void)base().Run({&request, 1});
    return;
  }
  request.status = request.kind == IoKind::kRead
                       ? ReadInPieces(request.offset_bytes, {request.buffer, request.size_bytes})
                       : WriteInPieces(request.offset_bytes, {request.buffer, request.size_bytes},
                                       request.durability);
  request.done = true;
}

}  // namespace tifs::block
