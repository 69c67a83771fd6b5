#include "kv/tikv/backoff.h"

#include <algorithm>
#include <string>

namespace tifs::kv::tikv {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

struct Schedule {
  nanoseconds first;
  nanoseconds cap;
};

Schedule ScheduleOf(BackoffKind kind) {
  switch (kind) {
    case BackoffKind::kTransport: return {milliseconds(20), milliseconds(1000)};
    case BackoffKind::kLeader: return {milliseconds(2), milliseconds(500)};
    case BackoffKind::kRegion: return {milliseconds(1), milliseconds(500)};
    case BackoffKind::kServerBusy: return {milliseconds(50), milliseconds(2000)};
    case BackoffKind::kNotReady: return {milliseconds(2), milliseconds(200)};
    case BackoffKind::kLock: return {microseconds(500), milliseconds(100)};
    case BackoffKind::kPd: return {milliseconds(20), milliseconds(1000)};
  }
  return {milliseconds(100), milliseconds(1000)};
}

}  // namespace

void StopSignal::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

bool StopSignal::stopped() {
  MutexLock lock(mutex_);
  return stopped_;
}

bool StopSignal::SleepFor(Clock& clock, nanoseconds duration) {
  const nanoseconds until = clock.Monotonic() + duration;
  MutexLock lock(mutex_);
  while (!stopped_) {
    const nanoseconds left = until - clock.Monotonic();
    if (left <= nanoseconds(0)) return true;
    clock.WaitFor(changed_, mutex_, left);
  }
  return false;
}

Backoff::Backoff(Clock& clock, StopSignal& stop, nanoseconds timeout, uint64_t seed)
    : clock_(clock), stop_(stop), deadline_(clock.Monotonic() + timeout), random_(seed) {}

nanoseconds Backoff::remaining() {
  return std::max(deadline_ - clock_.Monotonic(), nanoseconds(0));
}

nanoseconds Backoff::Next(BackoffKind kind) {
  uint32_t& attempt = attempts_[static_cast<size_t>(kind)];
  const Schedule schedule = ScheduleOf(kind);
  const nanoseconds wait =
      std::min(schedule.first * (int64_t{1} << std::min(attempt, 20U)), schedule.cap);
  ++attempt;
  const auto half = static_cast<uint64_t>(wait.count()) / 2;
  return nanoseconds(half + random_.Below(half + 1));
}

Status Backoff::Sleep(nanoseconds wait, const Error& cause) {
  if (wait > remaining()) {
    return Error(ErrorCode::kUnavailable, "tikv: gave up", cause.ToString());
  }
  if (!stop_.SleepFor(clock_, wait)) {
    return Error(ErrorCode::kUnavailable, "tikv: the client is closing");
  }
  return {};
}

Status Backoff::Wait(BackoffKind kind, const Error& cause, nanoseconds at_least) {
  return Sleep(std::max(Next(kind), at_least), cause);
}

Status Backoff::WaitAtMost(BackoffKind kind, const Error& cause, nanoseconds at_most) {
  return Sleep(std::min(Next(kind), at_most), cause);
}

}  // namespace tifs::kv::tikv
