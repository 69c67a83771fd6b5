#include "fuse/cpu_latency_limit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>

namespace tifs::fuse {
namespace {

// A file in place of the kernel's device: its first four bytes are what was asked last.
class DeviceFile {
 public:
  DeviceFile() : fd_(mkstemp(path_)) {}
  ~DeviceFile() {
    close(fd_);
    unlink(path_);
  }
  const char* path() const { return path_; }
  int32_t asked() const {
    int32_t limit_us = -1;
    return pread(fd_, &limit_us, sizeof(limit_us), 0) == sizeof(limit_us) ? limit_us : -1;
  }

 private:
  char path_[32] = "/tmp/cpu_latency_XXXXXX";
  const int fd_;
};

constexpr int32_t kNoLimit = 2'000'000'000;

bool ComesTrue(const std::function<bool()>& condition) {
  for (int i = 0; i < 5000 && !condition(); ++i) usleep(1000);
  return condition();
}

void NoteBursts(CpuLatencyLimit& limit, uint32_t count) {
  for (uint32_t i = 0; i < count * CpuLatencyLimit::kBurstRequests; ++i) limit.NoteRequest();
}

TEST(CpuLatencyLimitTest, AsksWhileRequestsComeThickAndFast) {
  const DeviceFile device;
  CpuLatencyLimit limit(device.path(), SystemClock());
  ASSERT_TRUE(limit.available());
  EXPECT_EQ(device.asked(), kNoLimit);
  // The two bursts have to lie within kBurstTime of each other, which a busy machine may not grant
  // at once.
  EXPECT_TRUE(ComesTrue([&] {
    NoteBursts(limit, 2);
    return limit.held();
  }));
  EXPECT_EQ(device.asked(), 0);
}

TEST(CpuLatencyLimitTest, TakesItBackWhenTheyStop) {
  const DeviceFile device;
  CpuLatencyLimit limit(device.path(), SystemClock());
  ASSERT_TRUE(ComesTrue([&] {
    NoteBursts(limit, 2);
    return limit.held();
  }));
  EXPECT_TRUE(ComesTrue([&] { return device.asked() == kNoLimit; }));
  EXPECT_FALSE(limit.held());
}

TEST(CpuLatencyLimitTest, FewRequestsAskForNothing) {
  const DeviceFile device;
  ManualClock clock;
  CpuLatencyLimit limit(device.path(), clock);
  for (int i = 0; i < 100; ++i) {
    NoteBursts(limit, 1);
    clock.Advance(CpuLatencyLimit::kBurstTime + std::chrono::milliseconds(1));
  }
  usleep(20'000);
  EXPECT_FALSE(limit.held());
  EXPECT_EQ(device.asked(), kNoLimit);
}

TEST(CpuLatencyLimitTest, EndsWhileItHolds) {
  const DeviceFile device;
  {
    CpuLatencyLimit limit(device.path(), SystemClock());
    ASSERT_TRUE(ComesTrue([&] {
      NoteBursts(limit, 2);
      return limit.held();
    }));
  }
  EXPECT_EQ(device.asked(), kNoLimit);
}

TEST(CpuLatencyLimitTest, WithoutTheDeviceNothingHappens) {
  CpuLatencyLimit limit("/nonexistent/device", SystemClock());
  EXPECT_FALSE(limit.available());
  NoteBursts(limit, 4);
  EXPECT_FALSE(limit.held());
}

}  // namespace
}  // namespace tifs::fuse
