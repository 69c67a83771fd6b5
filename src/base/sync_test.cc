#include "base/sync.h"

#include <gtest/gtest.h>

#include <thread>

namespace tifs {
namespace {

TEST(CondVarTest, AWaiterSeesWhatWasSetBeforeTheWakeUp) {
  Mutex mutex;
  CondVar condition;
  bool ready = false;
  int seen = 0;
  std::jthread waiter([&] {
    MutexLock lock(mutex);
    while (!ready) condition.Wait(mutex);
    seen = 1;
  });
  {
    MutexLock lock(mutex);
    ready = true;
  }
  condition.NotifyOne();
  waiter.join();
  EXPECT_EQ(seen, 1);
}

TEST(CondVarTest, AWaitWithoutAWakeUpEndsAndHoldsTheMutex) {
  Mutex mutex;
  CondVar condition;
  MutexLock lock(mutex);
  EXPECT_FALSE(condition.WaitFor(mutex, std::chrono::nanoseconds(1)));
}

}  // namespace
}  // namespace tifs
