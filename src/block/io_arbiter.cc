#include "block/io_arbiter.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace tifs::block {
namespace {

constexpr uint32_t kMaxWeight = 1000;
constexpr uint64_t kLeastPieceBytes = 64 << 10;
constexpr uint64_t kMostPieceBytes = 1 << 20;
constexpr double kShareFactor = 0.75;
constexpr double kShareStep = 0.05;

// The time that an amount takes at a rate; nothing if there is no limit.
IoArbiter::Time TimeAt(uint64_t amount, uint64_t rate) {
  if (rate == 0) return {};
  return IoArbiter::Time(
      static_cast<int64_t>(static_cast<double>(amount) / static_cast<double>(rate) * 1e9));
}

}  // namespace

Status IoSchedulerOptions::Validate() const {
  TRY(profile.Validate());
  for (const IoClassOptions& one : classes) {
    if (one.weight == 0 || one.weight > kMaxWeight) {
      return Error(ErrorCode::kInvalid, "I/O scheduler", "a weight is not in [1, 1000]");
    }
  }
  if (min_background_percent == 0 || min_background_percent > 100) {
    return Error(ErrorCode::kInvalid, "I/O scheduler",
                 "the background's least share is not in [1, 100] percent");
  }
  return {};
}

IoArbiter::IoArbiter(const IoSchedulerOptions& options) : options_(options) {}

void IoArbiter::Configure(const IoSchedulerOptions& options) {
  options_ = options;
  share_ = std::max(share_, options_.min_background_percent / 100.0);
  for (Class& one : classes_) {
    one.limited_until = Time(0);
    for (Transfer* transfer : one.waiting) {
      transfer->cost = options_.profile.CostOf(transfer->kind, transfer->bytes);
    }
  }
}

uint64_t IoArbiter::PieceBytes(IoKind kind) const {
  const DeviceProfile& profile = options_.profile;
  const uint64_t rate =
      kind == IoKind::kRead ? profile.read_bytes_per_s : profile.write_bytes_per_s;
  const double bytes =
      static_cast<double>(rate) * static_cast<double>(profile.latency_goal_ns) / 4e9;
  const auto whole = static_cast<uint64_t>(std::min<double>(bytes, kMostPieceBytes));
  return std::max(whole / kLeastPieceBytes * kLeastPieceBytes, kLeastPieceBytes);
}

void IoArbiter::Enqueue(Transfer& transfer) {
  CHECK(transfer.io_class != IoClass::kForeground);
  transfer.begun = false;
  transfer.cost = options_.profile.CostOf(transfer.kind, transfer.bytes);
  Class& one = classes_[static_cast<size_t>(transfer.io_class)];
  // Who wanted nothing for a while has not saved up anything.
  if (one.waiting.empty()) one.virtual_start = std::max(one.virtual_start, virtual_now_);
  one.waiting.push_back(&transfer);
  ++waiting_count_;
}

void IoArbiter::Observe(Time now, const Foreground& foreground) {
  if (foreground.reads != seen_.reads) foreground_until_ = now + kForegroundLinger;
  window_timed_ += foreground.timed - seen_.timed;
  window_slow_ += foreground.slow - seen_.slow;
  seen_ = foreground;
  if (now - window_began_ >= kWindow && window_timed_ >= kWindowReads) {
    CloseWindow();
    window_began_ = now;
  } else if (now - window_began_ >= 20 * kWindow) {
    // So few reads that they say nothing.
    share_ = std::min(1.0, share_ + kShareStep);
    window_timed_ = window_slow_ = 0;
    window_began_ = now;
    window_has_background_ = false;
  }
  window_has_background_ = window_has_background_ || begun_count_ != 0;
}

void IoArbiter::CloseWindow() {
  const double slow = static_cast<double>(window_slow_) / static_cast<double>(window_timed_);
  if (!window_has_background_) {
    slow_alone_ = (slow_alone_ + slow) / 2;
  } else if (slow > std::max(1.0 / kSlowAllowedOneIn, 2 * slow_alone_)) {
    share_ = std::max(options_.min_background_percent / 100.0, share_ * kShareFactor);
  } else {
    share_ = std::min(1.0, share_ + kShareStep);
  }
  window_timed_ = window_slow_ = 0;
  window_has_background_ = false;
}

size_t IoArbiter::NextClass(Time now, Time& wake) const {
  size_t next = kIoClasses;
  for (size_t i = 0; i < kIoClasses; ++i) {
    const Class& one = classes_[i];
    if (one.waiting.empty()) continue;
    if (one.limited_until > now) {
      wake = std::min(wake, one.limited_until);
    } else if (next == kIoClasses || one.virtual_start < classes_[next].virtual_start) {
      next = i;
    }
  }
  return next;
}

void IoArbiter::BeginFirst(size_t io_class, Time now) {
  Class& one = classes_[io_class];
  const IoClassOptions& options = OptionsOf(io_class);
  Transfer& transfer = *one.waiting.front();
  one.waiting.pop_front();
  --waiting_count_;
  transfer.begun = true;
  ++begun_count_;
  begun_cost_ += transfer.cost;
  window_has_background_ = true;
  virtual_now_ = one.virtual_start;
  one.virtual_start += static_cast<double>(transfer.cost.count()) / options.weight;
  one.limited_until =
      std::max(one.limited_until, now) +
      std::max(TimeAt(transfer.bytes, options.max_bytes_per_s), TimeAt(1, options.max_iops));
  const auto taken = static_cast<int64_t>(static_cast<double>(transfer.cost.count()) / share_);
  if (foreground_until_ > now) share_used_until_ = std::max(share_used_until_, now) + Time(taken);
}

IoArbiter::Time IoArbiter::Begin(Time now) {
  Time wake = kNever;
  while (waiting_count_ != 0) {
    const size_t next = NextClass(now, wake);
    if (next == kIoClasses) return wake;
    const Time cost = classes_[next].waiting.front()->cost;
    if (begun_count_ != 0 && begun_cost_ + cost > latency_goal()) return wake;
    if (foreground_until_ > now && share_used_until_ > now) {
      return std::min({wake, share_used_until_, foreground_until_});
    }
    BeginFirst(next, now);
  }
  return wake;
}

IoArbiter::Time IoArbiter::PauseAfter(Time now, Time worked) const {
  if (foreground_until_ <= now) return Time(0);
  return Time(static_cast<int64_t>(static_cast<double>(worked.count()) * (1 / share_ - 1)));
}

void IoArbiter::BeginAll() {
  for (size_t i = 0; i < kIoClasses; ++i) {
    while (!classes_[i].waiting.empty()) BeginFirst(i, Time(0));
  }
}

void IoArbiter::Finish(const Transfer& transfer) {
  CHECK(transfer.begun && begun_count_ > 0);
  --begun_count_;
  // Its own cost, whatever the profile is by now.
  begun_cost_ -= transfer.cost;
}

}  // namespace tifs::block
