#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/sync.h"

namespace tifs::fuse {

// Keeps idle CPUs from going to sleep while requests come thick and fast. A request and its answer
// are two wake-ups; where each has to bring a CPU out of a sleep state (or, in a virtual machine,
// out of a halt) that takes longer than serving the request. While a limit of 0 us is asked of the
// kernel's PM QoS (its admin-guide/pm/cpuidle, "Power Management Quality of Service for CPUs"), an
// idle CPU polls instead. What is asked ends with the descriptor it was asked through, so also with
// this process. Nothing runs and nothing is asked while there are few requests.
class CpuLatencyLimit {
 public:
  static constexpr char kDevice[] = "/dev/cpu_dma_latency";
  // So many requests within kBurstTime are thick and fast.
  static constexpr uint32_t kBurstRequests = 32;
  static constexpr std::chrono::milliseconds kBurstTime{10};
  // How often it looks whether they still are.
  static constexpr std::chrono::milliseconds kLookInterval{10};

  // `clock` outlives this. Where `device` cannot be opened (only root may) all does nothing.
  CpuLatencyLimit(const std::string& device, Clock& clock);
  ~CpuLatencyLimit();
  CpuLatencyLimit(const CpuLatencyLimit&) = delete;
  CpuLatencyLimit& operator=(const CpuLatencyLimit&) = delete;

  // To be called for each request, from any thread. Does not block.
  void NoteRequest() {
    if (fd_ < 0) return;
    const uint32_t count = requests_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (count % kBurstRequests == 0 && !held_.load(std::memory_order_relaxed)) NoteBurst();
  }

  bool available() const { return fd_ >= 0; }
  bool held() const { return held_.load(std::memory_order_relaxed); }

 private:
  void NoteBurst() EXCLUDES(mutex_);
  void Run() EXCLUDES(mutex_);
  void HoldWhileBusy() REQUIRES(mutex_);
  void Ask(int32_t limit_us);

  Clock& clock_;
  const int fd_;
  std::atomic<uint32_t> requests_{0};
  std::atomic<std::chrono::nanoseconds> last_burst_{std::chrono::nanoseconds(0)};
  std::atomic<bool> held_{false};

  Mutex mutex_;
  CondVar changed_;
  bool wanted_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tifs::fuse
