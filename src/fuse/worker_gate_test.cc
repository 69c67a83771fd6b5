#include "fuse/worker_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace tifs::fuse {
namespace {

void AwaitParked(const WorkerGate& gate, size_t count) {
  while (gate.parked() != count) std::this_thread::yield();
}

TEST(WorkerGateTest, ParksThoseBeyondTheLimit) {
  WorkerGate gate(2, SystemClock());
  ASSERT_TRUE(gate.Enter());
  ASSERT_TRUE(gate.Enter());
  std::atomic<bool> entered = false;
  std::thread third([&] { entered = gate.Enter(); });
  AwaitParked(gate, 1);
  gate.Leave();
  gate.AboutToBlock();  // one still waits
  EXPECT_EQ(gate.parked(), 1u);
  EXPECT_FALSE(entered);
  gate.Leave();
  gate.AboutToBlock();  // nobody would
  third.join();
  EXPECT_TRUE(entered);
  EXPECT_EQ(gate.parked(), 0u);
}

TEST(WorkerGateTest, AThreadThatComesBackWaitsInPlaceOfAParkedOne) {
  WorkerGate gate(1, SystemClock());
  ASSERT_TRUE(gate.Enter());
  std::atomic<bool> entered = false;
  std::thread second([&] { entered = gate.Enter(); });
  AwaitParked(gate, 1);
  for (int i = 0; i < 1000; ++i) {
    gate.Leave();
    ASSERT_TRUE(gate.Enter());
  }
  EXPECT_EQ(gate.parked(), 1u);
  gate.Close();
  second.join();
  EXPECT_FALSE(entered);
}

TEST(WorkerGateTest, AParkedThreadServesWhenAllOthersAreStuck) {
  WorkerGate gate(1, SystemClock());
  ASSERT_TRUE(gate.Enter());
  std::thread second([&] { EXPECT_TRUE(gate.Enter()); });
  AwaitParked(gate, 1);
  gate.Leave();   // and it never comes back
  second.join();  // ends only if the gate lets it go by itself
}

TEST(WorkerGateTest, ALoneThreadNeverParks) {
  WorkerGate gate(1, SystemClock());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(gate.Enter());
    gate.Leave();
  }
}

TEST(WorkerGateTest, CloseLetsEverybodyGo) {
  WorkerGate gate(1, SystemClock());
  ASSERT_TRUE(gate.Enter());
  std::vector<std::thread> threads;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { refused += gate.Enter() ? 0 : 1; });
  AwaitParked(gate, 3);
  gate.Close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 3);
  gate.Leave();
}

// Plays the kernel: a request is taken by somebody who waits. If the gate ever left all threads
// parked while requests are there, this would hang.
TEST(WorkerGateTest, SomebodyAlwaysTakesTheNextRequest) {
  constexpr int kThreads = 6, kRequests = 20000;
  for (const size_t limit : {1u, 2u, 3u}) {
    WorkerGate gate(limit, SystemClock());
    std::atomic<int> left = kRequests;
    std::atomic<int> served = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        while (gate.Enter()) {
          const bool got = left.fetch_sub(1) > 0;
          gate.Leave();
          if (!got) break;
          if (served.fetch_add(1) % 7 == 0) {
            gate.AboutToBlock();
            std::this_thread::yield();
          }
        }
        gate.Close();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(served, kRequests) << limit;
  }
}

}  // namespace
}  // namespace tifs::fuse
