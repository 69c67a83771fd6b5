#include "base/metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/random.h"

namespace tifs {
namespace {

using std::chrono::nanoseconds;

TEST(CounterTest, LosesNothingBetweenThreads) {
  Counter counter;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int j = 0; j < 1000; ++j) counter.Add();
    });
  }
  threads.clear();
  counter.Add(5);
  EXPECT_EQ(counter.value(), 4005u);
}

TEST(LatencyHistogramTest, AnEmptyOneIsZero) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.sum_ns(), 0u);
  EXPECT_EQ(histogram.QuantileNs(0.99), 0u);
}

TEST(LatencyHistogramTest, CountsAndSums) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(nanoseconds(i));
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.sum_ns(), 5050u);
}

// A bucket is a quarter of a power of two wide: its upper bound is above each record in it, by at
// most a quarter of the record (or 1 ns).
TEST(LatencyHistogramTest, TheBoundIsAboveTheRecordByAQuarterAtMost) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t ns = random.Next() >> (64 - 1 - random.Below(40));
    LatencyHistogram histogram;
    histogram.Record(nanoseconds(ns));
    const uint64_t bound = histogram.QuantileNs(0.5);
    ASSERT_GT(bound, ns) << i;
    ASSERT_LE(bound - ns, ns / 4 + 1) << ns;
  }
}

TEST(LatencyHistogramTest, QuantilesAreInOrder) {
  LatencyHistogram histogram;
  for (int i = 0; i < 90; ++i) histogram.Record(nanoseconds(1000));
  for (int i = 0; i < 10; ++i) histogram.Record(nanoseconds(1'000'000));
  EXPECT_LE(histogram.QuantileNs(0.5), 1280u);
  EXPECT_LE(histogram.QuantileNs(0.89), 1280u);
  EXPECT_GE(histogram.QuantileNs(0.95), 1'000'000u);
  EXPECT_GE(histogram.QuantileNs(1.0), 1'000'000u);
}

TEST(LatencyHistogramTest, ClampsWhatIsOutOfRange) {
  LatencyHistogram histogram;
  histogram.Record(nanoseconds(-5));
  EXPECT_EQ(histogram.sum_ns(), 0u);
  EXPECT_LE(histogram.QuantileNs(1.0), 1u);
  histogram.Record(std::chrono::hours(24 * 365));
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_GT(histogram.QuantileNs(1.0), 0u);
}

TEST(LatencyTimerTest, RecordsOnceAtItsEnd) {
  LatencyHistogram histogram;
  {
    LatencyTimer timer(histogram);
    EXPECT_EQ(histogram.count(), 0u);
  }
  EXPECT_EQ(histogram.count(), 1u);
}

}  // namespace
}  // namespace tifs
