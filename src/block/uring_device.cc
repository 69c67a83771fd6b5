#include "block/uring_device.h"

#include <liburing.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/check.h"
#include "block/sync_queue.h"
#include "block/transfer.h"

namespace tifs::block {
namespace {

// Of the rings of blocking calls. A batch of 64 reads has a system call's cost spread thin.
constexpr uint32_t kRunDepth = 64;

// From what costs least to what every kernel with a ring takes.
constexpr unsigned kSetupFlags[] = {
    // Completions are worked off when their owner looks for them, not by interrupting it (6.1).
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_COOP_TASKRUN,  // 5.19
    0,
};

class Ring {
 public:
  Ring() = default;
  ~Ring() {
    if (is_open_) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  Status Open(uint32_t depth) {
    int result = 0;
    for (unsigned flags : kSetupFlags) {
      io_uring_params parameters = {};
      parameters.flags = flags;
      result = io_uring_queue_init_params(depth, &ring_, &parameters);
      if (result != -EINVAL) break;
    }
    if (result < 0) return ErrorFromErrno(-result, "io_uring");
    is_open_ = true;
    return {};
  }
  io_uring* get() { return &ring_; }

 private:
  io_uring ring_ = {};
  bool is_open_ = false;
};

class UringQueue : public IoQueue {
 public:
  UringQueue(const FileDevice& device, int fd, uint32_t depth)
      : device_(device), fd_(fd), depth_(depth), slots_(depth) {
    for (uint32_t i = 0; i < depth; ++i) free_slots_.push_back(depth - 1 - i);
    ready_.reserve(depth);
  }
  ~UringQueue() override {
    if (unfinished() > 0) Enter(unfinished());
    // The kernel takes a ring down later, and a file that is registered with it, and so its lock,
    // stays open until then. (Some kernels refuse this to other threads than the ring's.)
    if (is_registered_) io_uring_unregister_files(ring_.get());
  }

  Status Open() {
    TRY(ring_.Open(depth_));
    is_registered_ = io_uring_register_files(ring_.get(), &fd_, 1) == 0;
    return {};
  }

  size_t Submit(std::span<IoRequest* const> requests) override;
  size_t Poll(size_t at_least, std::span<IoRequest*> done) override;
  size_t in_flight() const override { return unfinished() + ready_.size(); }
  size_t depth() const override { return depth_; }

  // Takes one that Prepare let through, without telling the kernel yet.
  void Start(IoRequest& request);
  // With the kernel, or about to be.
  size_t unfinished() const { return depth_ - free_slots_.size(); }
  // Tells the kernel, waits until at least that many more (or all) are finished, and puts those
  // into `ready_`.
  void Enter(size_t at_least);
  void DropReady() { ready_.clear(); }

 private:
  void Push(uint32_t slot);
  void Reap();

  const FileDevice& device_;
  const int fd_;
  const uint32_t depth_;
  bool is_registered_ = false;
  Ring ring_;
  // The transfer of a submission lies in the slot that its user_data names. No more submissions
  // than slots, so neither of the ring's two queues can overflow.
  std::vector<Transfer> slots_;
  std::vector<uint32_t> free_slots_;
  // Done, and not yet given back.
  std::vector<IoRequest*> ready_;
};

size_t UringQueue::Submit(std::span<IoRequest* const> requests) {
  const size_t taken = std::min(requests.size(), depth_ - in_flight());
  for (IoRequest* request : requests.first(taken)) {
    if (device_.Prepare(*request)) {
      Start(*request);
    } else {
      ready_.push_back(request);
    }
  }
  Enter(0);
  return taken;
}

size_t UringQueue::Poll(size_t at_least, std::span<IoRequest*> done) {
  at_least = std::min({at_least, done.size(), in_flight()});
  if (ready_.empty() || ready_.size() < at_least) {
    Enter(at_least - std::min(at_least, ready_.size()));
  }
  const size_t count = std::min(done.size(), ready_.size());
  std::copy_n(ready_.begin(), count, done.begin());
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

void UringQueue::Start(IoRequest& request) {
  if (request.kind == IoKind::kDiscard) {
    // io_uring has this for files only, and hands it to a thread of its own.
    device_.Execute(request);
    ready_.push_back(&request);
    return;
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = Transfer(device_, request);
  Push(slot);
}

void UringQueue::Push(uint32_t slot) {
  Transfer& transfer = slots_[slot];
  io_uring_sqe* const entry = io_uring_get_sqe(ring_.get());
  CHECK(entry != nullptr);
  const int fd = is_registered_ ? 0 : fd_;
  const auto size = static_cast<unsigned>(transfer.size_bytes());
  switch (transfer.request().kind) {
    case IoKind::kRead:
      io_uring_prep_read(entry, fd, transfer.buffer(), size, transfer.offset_bytes());
      break;
    case IoKind::kWrite:
      io_uring_prep_write(entry, fd, transfer.buffer(), size, transfer.offset_bytes());
      if (transfer.request().durability == Durability::kThrough) entry->rw_flags = RWF_DSYNC;
      break;
    case IoKind::kFlush: io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC); break;
    case IoKind::kDiscard: CHECK(false);
  }
  if (is_registered_) io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
  io_uring_sqe_set_data64(entry, slot);
}

void UringQueue::Enter(size_t at_least) {
  const size_t enough = ready_.size() + std::min(at_least, unfinished());
  do {
    const auto missing = static_cast<unsigned>(enough - std::min(enough, ready_.size()));
    const int result = missing > 0 ? io_uring_submit_and_wait(ring_.get(), missing)
                                   : io_uring_submit_and_get_events(ring_.get());
    // The kernel is out of memory, or has completions that it wants taken first: both pass. Any
    // other answer is our mistake, and requests in flight own memory that we could not give back.
    const bool passes = result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
    CHECK(result >= 0 || result == -EINTR || passes);
    if (passes) sched_yield();
    Reap();
  } while (ready_.size() < enough || io_uring_sq_ready(ring_.get()) > 0);
}

void UringQueue::Reap() {
  io_uring_cqe* entry = nullptr;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_for_each_cqe(ring_.get(), head, entry) {
    ++count;
    const auto slot = static_cast<uint32_t>(io_uring_cqe_get_data64(entry));
    if (slots_[slot].Advance(entry->res)) {
      ready_.push_back(&slots_[slot].request());
      free_slots_.push_back(slot);
    } else {
      Push(slot);
    }
  }
  io_uring_cq_advance(ring_.get(), count);
}

}  // namespace

Status UringDevice::Probe() {
  Ring ring;
  return ring.Open(1);
}

UringDevice::UringDevice(DiskFile file)
    : FileDevice(std::move(file)), queues_([this] { return OpenQueue(kRunDepth); }) {}

Result<std::unique_ptr<IoQueue>> UringDevice::OpenQueue(uint32_t depth) {
  TRY(CheckDepth(depth));
  auto queue = std::make_unique<UringQueue>(*this, fd(), depth);
  TRY(queue->Open());
  return std::unique_ptr<IoQueue>(std::move(queue));
}

void UringDevice::DoRun(std::span<IoRequest> requests) {
  const auto undone = [](const IoRequest& request) { return !request.done; };
  const auto first = std::ranges::find_if(requests, undone);
  if (first == requests.end()) return;
  const bool is_batch = std::find_if(first + 1, requests.end(), undone) != requests.end();
  auto* const queue = is_batch ? static_cast<UringQueue*>(queues_.ForThisThread()) : nullptr;
  if (queue == nullptr) {
    for (IoRequest& request : requests) {
      if (!request.done) Execute(request);
    }
    return;
  }
  size_t next = 0;
  do {
    while (next < requests.size() && queue->in_flight() < kRunDepth) {
      if (!requests[next].done) queue->Start(requests[next]);
      ++next;
    }
    // All of the rest at once; of a long batch half, so that the device always has the other.
    queue->Enter(next == requests.size() ? kRunDepth : kRunDepth / 2);
    queue->DropReady();
  } while (next < requests.size() || queue->in_flight() > 0);
}

}  // namespace tifs::block
