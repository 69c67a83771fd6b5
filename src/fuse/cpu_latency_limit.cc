#include "fuse/cpu_latency_limit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/coding.h"
#include "base/log.h"

namespace tifs::fuse {
namespace {

// The kernel's PM_QOS_CPU_LATENCY_DEFAULT_VALUE: as if nothing were asked.
constexpr int32_t kNoLimitMicroseconds = 2'000'000'000;

}  // namespace

CpuLatencyLimit::CpuLatencyLimit(const std::string& device, Clock& clock)
    : clock_(clock), fd_(open(device.c_str(), O_WRONLY | O_CLOEXEC)) {
  if (fd_ < 0) {
    LogDebug("fuse: {}: {}; idle CPUs may sleep", EscapeForLog(device), strerror(errno));
    return;
  }
  Ask(kNoLimitMicroseconds);  // opening it alone asks for 0
  thread_ = std::thread([this] {
    sigset_t signals;
    sigfillset(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    pthread_setname_np(pthread_self(), "cpu-latency");
    Run();
  });
}

CpuLatencyLimit::~CpuLatencyLimit() {
  if (fd_ < 0) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  close(fd_);
}

void CpuLatencyLimit::NoteBurst() {
  const std::chrono::nanoseconds now = clock_.Monotonic();
  if (now - last_burst_.exchange(now, std::memory_order_relaxed) > kBurstTime) return;
  MutexLock lock(mutex_);
  wanted_ = true;
  changed_.NotifyAll();
}

void CpuLatencyLimit::Run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (wanted_) {
      HoldWhileBusy();
    } else {
      changed_.Wait(mutex_);
    }
  }
}

void CpuLatencyLimit::HoldWhileBusy() {
  Ask(0);
  held_.store(true, std::memory_order_relaxed);
  uint32_t seen = requests_.load(std::memory_order_relaxed);
  while (!stopping_) {
    // Only stopping wakes it before the time.
    if (clock_.WaitFor(changed_, mutex_, kLookInterval)) continue;
    const uint32_t now = requests_.load(std::memory_order_relaxed);
    if (now - seen < kBurstRequests) break;
    seen = now;
  }
  wanted_ = false;
  held_.store(false, std::memory_order_relaxed);
  Ask(kNoLimitMicroseconds);
}

void CpuLatencyLimit::Ask(int32_t limit_us) {
  if (pwrite(fd_, &limit_us, sizeof(limit_us), 0) != sizeof(limit_us)) {
    LogWarning("fuse: cannot ask for a CPU latency of {} us: {}", limit_us, strerror(errno));
  }
}

}  // namespace tifs::fuse
