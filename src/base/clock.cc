#include "base/clock.h"

#include <ctime>
#include <thread>

namespace tifs {
namespace {

class OsClock : public Clock {
 public:
  std::chrono::nanoseconds Monotonic() override {
    return std::chrono::steady_clock::now().time_since_epoch();
  }
  Timespec RealTime() override {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return {now.tv_sec, static_cast<uint32_t>(now.tv_nsec)};
  }
  void SleepFor(std::chrono::nanoseconds duration) override {
    std::this_thread::sleep_for(duration);
  }
  bool WaitFor(CondVar& condition, Mutex& mutex, std::chrono::nanoseconds timeout)
      REQUIRES(mutex) override {
    return condition.WaitFor(mutex, timeout);
  }
};

}  // namespace

Clock& SystemClock() {
  static OsClock clock;
  return clock;
}

std::chrono::nanoseconds ManualClock::Monotonic() {
  MutexLock lock(mutex_);
  return now_;
}

Timespec ManualClock::RealTime() {
  const auto now = Monotonic().count();
  return {now / 1'000'000'000, static_cast<uint32_t>(now % 1'000'000'000)};
}

void ManualClock::SleepFor(std::chrono::nanoseconds duration) { Advance(duration); }

bool ManualClock::WaitFor(CondVar&, Mutex& mutex, std::chrono::nanoseconds timeout) {
  mutex.Unlock();
  Advance(timeout);
  mutex.Lock();
  return false;
}

void ManualClock::Advance(std::chrono::nanoseconds duration) {
  MutexLock lock(mutex_);
  now_ += duration;
}

}  // namespace tifs
