#include "block/thread_queues.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "block/mem_device.h"
#include "block/sync_queue.h"

namespace tifs::block {
namespace {

class ThreadQueuesTest : public testing::Test {
 protected:
  // Counts those that live.
  class CountedQueue : public SyncQueue {
   public:
    CountedQueue(BlockDevice& device, std::atomic<int>& alive)
        : SyncQueue(device, 1), alive_(alive) {
      ++alive_;
    }
    ~CountedQueue() override { --alive_; }

   private:
    std::atomic<int>& alive_;
  };

  ThreadQueues::Open Open() {
    return [this]() -> Result<std::unique_ptr<IoQueue>> {
      if (refuse_) return Error(ErrorCode::kNoMemory, "test");
      return std::unique_ptr<IoQueue>(std::make_unique<CountedQueue>(*device_, alive_));
    };
  }

  const std::unique_ptr<MemDevice> device_ = MemDevice::Open({.size_bytes = 4096}).value();
  std::atomic<int> alive_{0};
  std::atomic<bool> refuse_{false};
};

TEST_F(ThreadQueuesTest, HasOneForEachThreadAndDevice) {
  ThreadQueues first(Open());
  ThreadQueues second(Open());
  IoQueue* const mine = first.ForThisThread();
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(first.ForThisThread(), mine);
  EXPECT_NE(second.ForThisThread(), mine);
  IoQueue* theirs = nullptr;
  std::jthread([&] { theirs = first.ForThisThread(); }).join();
  EXPECT_NE(theirs, nullptr);
  EXPECT_EQ(first.ForThisThread(), mine);
}

TEST_F(ThreadQueuesTest, DestroysAThreadsQueueWhenItEnds) {
  ThreadQueues queues(Open());
  for (int i = 0; i < 10; ++i) {
    std::jthread([&] {
      (void)queues.ForThisThread();
      EXPECT_EQ(queues.size(), 1u);
    }).join();
    EXPECT_EQ(queues.size(), 0u);
    EXPECT_EQ(alive_, 0);
  }
}

// Destroyed after the thread's queues if it was made before them, as a static object is at exit.
struct LateCaller {
  ~LateCaller() {
    if (queues != nullptr) *answer = queues->ForThisThread();
  }
  ThreadQueues* queues = nullptr;
  std::atomic<IoQueue*>* answer = nullptr;
};

TEST_F(ThreadQueuesTest, AThreadThatEndsHasNoneAnyMore) {
  ThreadQueues queues(Open());
  std::atomic<IoQueue*> answer = nullptr;
  std::jthread([&] {
    static thread_local LateCaller late;
    late.answer = &answer;
    late.queues = &queues;
    answer = queues.ForThisThread();
    EXPECT_NE(answer, nullptr);
  }).join();
  EXPECT_EQ(answer, nullptr);
  EXPECT_EQ(queues.size(), 0u);
}

TEST_F(ThreadQueuesTest, DestroysAllWhenTheDeviceDies) {
  for (int i = 0; i < 10; ++i) {
    std::optional<ThreadQueues> queues(std::in_place, Open());
    (void)queues->ForThisThread();
    std::atomic<bool> made = false;
    std::atomic<bool> gone = false;
    std::jthread other([&] {
      (void)queues->ForThisThread();
      made = true;
      made.notify_one();
      gone.wait(false);
    });
    made.wait(false);
    EXPECT_EQ(alive_, 2);
    queues.reset();
    EXPECT_EQ(alive_, 0) << "also those of threads that live on";
    gone = true;
    gone.notify_one();
  }
}

TEST_F(ThreadQueuesTest, NeverConfusesADeviceWithOneThatLayThere) {
  for (int i = 0; i < 100; ++i) {
    ThreadQueues queues(Open());
    ASSERT_NE(queues.ForThisThread(), nullptr);
    EXPECT_EQ(queues.size(), 1u) << "a new queue, not what an earlier round left in this thread";
  }
}

TEST_F(ThreadQueuesTest, AsksAgainAfterARefusal) {
  ThreadQueues queues(Open());
  refuse_ = true;
  EXPECT_EQ(queues.ForThisThread(), nullptr);
  refuse_ = false;
  EXPECT_NE(queues.ForThisThread(), nullptr);
}

TEST_F(ThreadQueuesTest, ThreadsMayEndWhileTheDeviceDies) {
  for (int i = 0; i < 50; ++i) {
    std::optional<ThreadQueues> queues(std::in_place, Open());
    std::atomic<int> made = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        (void)queues->ForThisThread();
        ++made;
      });
    }
    while (made < 4) std::this_thread::yield();
    queues.reset();
    EXPECT_EQ(alive_, 0);
  }
}

}  // namespace
}  // namespace tifs::block
