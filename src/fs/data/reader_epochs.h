#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace tifs::fs {

// Lets one thread wait until every operation that began before has ended, without those beginning
// meanwhile making it wait, and at the cost of two atomic additions an operation.
class ReaderEpochs {
 public:
  // Enters; the counter is to be decremented (release) at the end.
  std::atomic<uint64_t>& Enter() {
    for (;;) {
      const uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
      std::atomic<uint64_t>& users = users_[epoch & 1];
      users.fetch_add(1, std::memory_order_seq_cst);
      // Entered too late for that epoch: the wait for it may be over.
      if (epoch_.load(std::memory_order_seq_cst) == epoch) return users;
      users.fetch_sub(1, std::memory_order_release);
    }
  }

  // One caller at a time.
  void AwaitEarlier(Clock& clock) {
    const uint64_t old = epoch_.fetch_add(1, std::memory_order_seq_cst);
    while (users_[old & 1].load(std::memory_order_acquire) != 0) {
      clock.SleepFor(std::chrono::milliseconds(1));
    }
  }

 private:
  std::atomic<uint64_t> epoch_{0};
  std::array<std::atomic<uint64_t>, 2> users_{};
};

}  // namespace tifs::fs
