#include "fs/leftover_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace tifs::fs {
namespace {

constexpr std::chrono::seconds kTimeout(1);

TEST(LeftoverQueueTest, GivesWhatWasPushedInOrder) {
  LeftoverQueue queue;
  queue.Push({1, {10}, LeftoverKind::kOrphan});
  queue.Push({2, {20}, LeftoverKind::kClear});
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.Pop()->inode.value, 10u);
  EXPECT_EQ(queue.Pop()->kind, LeftoverKind::kClear);
  EXPECT_FALSE(queue.Pop());
}

TEST(LeftoverQueueTest, NobodyWaitsWhileThereIsSomething) {
  ManualClock clock;
  LeftoverQueue queue;
  const auto start = clock.Monotonic();
  queue.Push({1, {10}, LeftoverKind::kOrphan});
  queue.Wait(clock, kTimeout);
  queue.Wait();
  EXPECT_EQ(clock.Monotonic(), start);
  queue.Pop();
  queue.Wait(clock, kTimeout);
  EXPECT_EQ(clock.Monotonic(), start + kTimeout);
}

// What failed and was put back must not be tried again at once, for ever.
TEST(LeftoverQueueTest, APauseLastsWhateverThereIsToDo) {
  ManualClock clock;
  LeftoverQueue queue;
  const auto start = clock.Monotonic();
  queue.Push({1, {10}, LeftoverKind::kOrphan});
  queue.Pause(clock, kTimeout);
  EXPECT_EQ(clock.Monotonic(), start + kTimeout);
}

TEST(LeftoverQueueTest, AWakeEndsOneWaitOrPause) {
  ManualClock clock;
  LeftoverQueue queue;
  const auto start = clock.Monotonic();
  queue.Wake();
  queue.Pause(clock, kTimeout);
  queue.Wake();
  queue.Wait(clock, kTimeout);
  queue.Wake();
  queue.Wait();
  queue.WakeIdle();
  queue.Wait();
  EXPECT_EQ(clock.Monotonic(), start);
  queue.Pause(clock, kTimeout);
  EXPECT_EQ(clock.Monotonic(), start + kTimeout);
}

TEST(LeftoverQueueTest, WhoMayNotWorkIsWokenByNothingThatIsPushed) {
  LeftoverQueue queue;
  queue.Push({.begun = 1, .inode = {7}});
  std::atomic<bool> woken = false;
  std::thread waiter([&] {
    queue.AwaitWake();
    woken = true;
  });
  queue.Push({.begun = 2, .inode = {8}});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(woken);
  queue.Wake();
  waiter.join();
  EXPECT_EQ(queue.size(), 2U);
}

}  // namespace
}  // namespace tifs::fs
