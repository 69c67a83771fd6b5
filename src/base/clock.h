#pragma once

#include <chrono>
#include <cstdint>

#include "base/sync.h"

namespace tifs {

// A point on the wall clock, nanoseconds in [0, 1e9). Seconds may be negative: files of before
// 1970.
struct Timespec {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  auto operator<=>(const Timespec&) const = default;
};

// All waits, deadlines and times of day of the product come through a Clock, so that a simulation
// can own time. Safe for use by several threads.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; starts anywhere.
  virtual std::chrono::nanoseconds Monotonic() = 0;
  virtual Timespec RealTime() = 0;
  virtual void SleepFor(std::chrono::nanoseconds duration) = 0;
  // Waits on `condition` for at most `timeout`; false if that passed without a wake-up.
  virtual bool WaitFor(CondVar& condition, Mutex& mutex, std::chrono::nanoseconds timeout)
      REQUIRES(mutex) = 0;
};

// The operating system's clocks. The object lives for ever and has no state.
Clock& SystemClock();

// Stands still until told otherwise; a sleep advances it.
class ManualClock : public Clock {
 public:
  std::chrono::nanoseconds Monotonic() override;
  Timespec RealTime() override;
  void SleepFor(std::chrono::nanoseconds duration) override;
  bool WaitFor(CondVar& condition, Mutex& mutex, std::chrono::nanoseconds timeout)
      REQUIRES(mutex) override;
  void Advance(std::chrono::nanoseconds duration);

 private:
  Mutex mutex_;
  std::chrono::nanoseconds now_ GUARDED_BY(mutex_){1'700'000'000'000'000'000};
};

}  // namespace tifs
