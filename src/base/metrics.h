#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace tifs {

// Counts that only grow. Relaxed: figures for people, not for decisions.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Latencies in buckets that are a quarter of a power of two wide, from 1 ns to about 18 minutes.
// Recording is two relaxed additions; safe from any thread.
class LatencyHistogram {
 public:
  static constexpr int kSubBuckets = 4;
  static constexpr int kBuckets = 40 * kSubBuckets;

  void Record(std::chrono::nanoseconds latency) {
    const uint64_t ns = latency.count() < 0 ? 0 : static_cast<uint64_t>(latency.count());
    buckets_[BucketOf(ns)].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  }

  uint64_t count() const;
  uint64_t sum_ns() const { return sum_ns_.load(std::memory_order_relaxed); }
  // The upper bound of the bucket in which the given share of records lies; 0 if there are none.
  // `quantile` in [0, 1].
  uint64_t QuantileNs(double quantile) const;

 private:
  static int BucketOf(uint64_t ns) {
    if (ns < kSubBuckets) return static_cast<int>(ns);
    const int exponent = std::bit_width(ns) - 1;
    const int sub = static_cast<int>((ns >> (exponent - 2)) & (kSubBuckets - 1));
    const int bucket = (exponent - 1) * kSubBuckets + sub;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static uint64_t UpperBoundNs(int bucket);

  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_ns_{0};
};

// Records the time from its making to its end.
class LatencyTimer {
 public:
  explicit LatencyTimer(LatencyHistogram& histogram)
      : histogram_(histogram), start_(std::chrono::steady_clock::now()) {}
  ~LatencyTimer() { histogram_.Record(std::chrono::steady_clock::now() - start_); }
  LatencyTimer(const LatencyTimer&) = delete;
  LatencyTimer& operator=(const LatencyTimer&) = delete;

 private:
  LatencyHistogram& histogram_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tifs
