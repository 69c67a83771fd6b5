#include "block/io_scheduler.h"

#include <time.h>

#include <algorithm>

namespace tifs::block {
namespace {

constexpr uint32_t kTimedOneIn = 16;
// Who waits looks again after so long at the latest: foreground reads may have ended meanwhile.
constexpr auto kLongestWait = std::chrono::milliseconds(10);

std::chrono::nanoseconds ThreadCpuTime() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

void IoScheduler::Apply(const IoSchedulerSettings& settings) {
  options_ = settings.options;
  arbiter_.Configure(options_);
  goal_ns_ = static_cast<int64_t>(options_.profile.latency_goal_ns);
  read_piece_bytes_ = settings.enabled ? arbiter_.PieceBytes(IoKind::kRead) : UINT64_MAX;
  write_piece_bytes_ = settings.enabled ? arbiter_.PieceBytes(IoKind::kWrite) : UINT64_MAX;
  enabled_ = settings.enabled;
  begun_.NotifyAll();
}

Status IoScheduler::Configure(const IoSchedulerOptions& options) {
  return Change([&options](IoSchedulerSettings& settings) -> Status {
    settings = {.enabled = true, .options = options};
    return {};
  });
}

void IoScheduler::Disable() {
  MutexLock lock(mutex_);
  Apply({.enabled = false, .options = options_});
}

IoSchedulerSettings IoScheduler::Settings() const {
  MutexLock lock(mutex_);
  return {.enabled = enabled(), .options = options_};
}

Status IoScheduler::Change(const std::function<Status(IoSchedulerSettings&)>& change) {
  MutexLock lock(mutex_);
  IoSchedulerSettings settings{.enabled = enabled(), .options = options_};
  TRY(change(settings));
  TRY(settings.options.Validate());
  Apply(settings);
  return {};
}

// --- foreground ---

IoScheduler::ForegroundShelf& IoScheduler::ShelfOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return foreground_[number % kShelves];
}

IoArbiter::Foreground IoScheduler::SumForeground() const {
  IoArbiter::Foreground sum;
  for (const ForegroundShelf& shelf : foreground_) {
    sum.reads += shelf.reads.load(std::memory_order_relaxed);
    // Slow ones first, so that they are never more than those that were timed.
    sum.slow += shelf.slow.load(std::memory_order_relaxed);
    sum.timed += shelf.timed.load(std::memory_order_relaxed);
  }
  return sum;
}

IoScheduler::ForegroundRead::ForegroundRead(IoScheduler& scheduler) : scheduler_(scheduler) {
  const uint64_t number = scheduler_.ShelfOfThread().reads.fetch_add(1, std::memory_order_relaxed);
  if (number % kTimedOneIn == 0 || scheduler_.contended_.load(std::memory_order_relaxed)) {
    began_ = scheduler_.clock_.Monotonic();
  }
}

IoScheduler::ForegroundRead::~ForegroundRead() {
  if (began_.count() < 0) return;
  const auto took = scheduler_.clock_.Monotonic() - began_;
  scheduler_.read_latency_.Record(took);
  ForegroundShelf& shelf = scheduler_.ShelfOfThread();
  shelf.timed.fetch_add(1, std::memory_order_relaxed);
  if (took.count() > scheduler_.goal_ns_.load(std::memory_order_relaxed)) {
    shelf.slow.fetch_add(1, std::memory_order_relaxed);
  }
}

// --- background ---

IoScheduler::Admission::Admission(IoScheduler& scheduler, IoClass io_class, IoKind kind,
                                  uint64_t bytes)
    : scheduler_(scheduler), transfer_{.io_class = io_class, .kind = kind, .bytes = bytes} {
  scheduler_.Enter(transfer_);
}

IoScheduler::Admission::~Admission() { scheduler_.Leave(transfer_); }

void IoScheduler::Enter(IoArbiter::Transfer& transfer) {
  MutexLock lock(mutex_);
  arbiter_.Enqueue(transfer);
  contended_.store(true, std::memory_order_relaxed);
  const auto arrived = clock_.Monotonic();
  auto now = arrived;
  bool waited = false;
  while (true) {
    arbiter_.Observe(now, SumForeground());
    const auto wake = arbiter_.Begin(now);
    if (transfer.begun) break;
    if (!enabled_.load(std::memory_order_relaxed)) {
      arbiter_.BeginAll();
      begun_.NotifyAll();
      break;
    }
    waited = true;
    (void)clock_.WaitFor(begun_, mutex_,
                         std::min<std::chrono::nanoseconds>(wake - now, kLongestWait));
    if (transfer.begun) break;
    now = clock_.Monotonic();
  }
  if (!waited) return;
  const auto index = static_cast<size_t>(transfer.io_class);
  ++waits_[index];
  waited_ns_[index] += static_cast<uint64_t>((clock_.Monotonic() - arrived).count());
  // Others may have been let in by the same look.
  begun_.NotifyAll();
}

void IoScheduler::Leave(const IoArbiter::Transfer& transfer) {
  MutexLock lock(mutex_);
  arbiter_.Finish(transfer);
  if (arbiter_.idle()) {
    contended_.store(false, std::memory_order_relaxed);
  } else if (arbiter_.has_waiting()) {
    const auto now = clock_.Monotonic();
    arbiter_.Observe(now, SumForeground());
    (void)arbiter_.Begin(now);
    begun_.NotifyAll();
  }
}

void IoScheduler::Pace(IoClass io_class) {
  thread_local constinit std::chrono::nanoseconds seen{0};
  if (!enabled()) return;
  const auto cpu = ThreadCpuTime();
  const auto worked = std::min<std::chrono::nanoseconds>(cpu - seen, kLongestWait);
  seen = cpu;
  MutexLock lock(mutex_);
  const auto began = clock_.Monotonic();
  arbiter_.Observe(began, SumForeground());
  const auto until = began + arbiter_.PauseAfter(began, worked);
  auto now = began;
  // Until then, or until there are no foreground reads.
  while (enabled() && now < until && arbiter_.PauseAfter(now, worked).count() != 0) {
    (void)clock_.WaitFor(begun_, mutex_,
                         std::min<std::chrono::nanoseconds>(until - now, kLongestWait));
    now = clock_.Monotonic();
    arbiter_.Observe(now, SumForeground());
  }
  if (now == began) return;
  const auto index = static_cast<size_t>(io_class);
  ++waits_[index];
  waited_ns_[index] += static_cast<uint64_t>((now - began).count());
}

// --- figures ---

void IoScheduler::Count(IoKind kind, uint64_t bytes) {
  const IoClass io_class = IoScope::CurrentClass();
  total_.Add(io_class, kind, bytes);
  IoCounter* const instance = IoScope::CurrentInstance();
  (instance != nullptr ? *instance : unclaimed_).Add(io_class, kind, bytes);
}

IoSchedulerCounts IoScheduler::Counts() const {
  IoSchedulerCounts counts;
  counts.read_p50_ns = read_latency_.QuantileNs(0.5);
  counts.read_p99_ns = read_latency_.QuantileNs(0.99);
  counts.read_p999_ns = read_latency_.QuantileNs(0.999);
  counts.enabled = enabled();
  counts.unclaimed = unclaimed_.All();
  MutexLock lock(mutex_);
  for (size_t i = 0; i < kIoClasses; ++i) {
    counts.classes[i] = {.transfers = total_.Counts(static_cast<IoClass>(i)),
                         .waits = waits_[i],
                         .waited_ns = waited_ns_[i]};
  }
  counts.background_share_percent = arbiter_.share_percent();
  return counts;
}

}  // namespace tifs::block
