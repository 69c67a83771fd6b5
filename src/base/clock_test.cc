#include "base/clock.h"

#include <gtest/gtest.h>

namespace tifs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ManualClockTest, StandsStillUntilAdvanced) {
  ManualClock clock;
  const auto start = clock.Monotonic();
  EXPECT_EQ(clock.Monotonic(), start);
  clock.Advance(milliseconds(1500));
  EXPECT_EQ(clock.Monotonic() - start, milliseconds(1500));
}

TEST(ManualClockTest, ASleepTakesNoTimeButItsOwn) {
  ManualClock clock;
  const auto start = clock.Monotonic();
  clock.SleepFor(std::chrono::hours(24));
  EXPECT_EQ(clock.Monotonic() - start, std::chrono::hours(24));
}

TEST(ManualClockTest, AWaitTimesOutWithTheMutexHeldAgain) {
  ManualClock clock;
  Mutex mutex;
  CondVar condition;
  const auto start = clock.Monotonic();
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(clock.WaitFor(condition, mutex, seconds(5)));
  }
  EXPECT_EQ(clock.Monotonic() - start, seconds(5));
}

TEST(ManualClockTest, TheWallClockMovesAlong) {
  ManualClock clock;
  const Timespec before = clock.RealTime();
  clock.Advance(seconds(2) + std::chrono::nanoseconds(7));
  const Timespec after = clock.RealTime();
  EXPECT_EQ(after.seconds, before.seconds + 2);
  EXPECT_EQ(after.nanoseconds, before.nanoseconds + 7);
}

TEST(SystemClockTest, MonotonicNeverGoesBack) {
  auto last = SystemClock().Monotonic();
  for (int i = 0; i < 1000; ++i) {
    const auto now = SystemClock().Monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SystemClockTest, RealTimeIsWellFormed) {
  const Timespec now = SystemClock().RealTime();
  EXPECT_GT(now.seconds, 1'600'000'000);
  EXPECT_LT(now.nanoseconds, 1'000'000'000u);
}

TEST(TimespecTest, OrdersBySecondsFirst) {
  EXPECT_LT((Timespec{-1, 999'999'999}), (Timespec{0, 0}));
  EXPECT_LT((Timespec{5, 1}), (Timespec{5, 2}));
}

}  // namespace
}  // namespace tifs
