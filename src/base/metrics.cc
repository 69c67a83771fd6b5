#include "base/metrics.h"

namespace tifs {

uint64_t LatencyHistogram::count() const {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

uint64_t LatencyHistogram::UpperBoundNs(int bucket) {
  if (bucket < kSubBuckets) return static_cast<uint64_t>(bucket) + 1;
  const int exponent = bucket / kSubBuckets + 1;
  const uint64_t sub = static_cast<uint64_t>(bucket % kSubBuckets);
  return (kSubBuckets + sub + 1) << (exponent - 2);
}

uint64_t LatencyHistogram::QuantileNs(double quantile) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = static_cast<uint64_t>(quantile * static_cast<double>(total - 1)) + 1;
  uint64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= wanted) return UpperBoundNs(i);
  }
  return UpperBoundNs(kBuckets - 1);
}

}  // namespace tifs
