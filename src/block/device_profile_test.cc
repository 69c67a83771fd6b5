#include "block/device_profile.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace tifs::block {
namespace {

using std::chrono::microseconds;

constexpr DeviceProfile kProfile = {.read_iops = 10'000,
                                    .read_bytes_per_s = 1'000'000'000,
                                    .write_iops = 5'000,
                                    .write_bytes_per_s = 500'000'000,
                                    .latency_goal_ns = 2'000'000};

TEST(DeviceProfileTest, ATransferCostsItsCountOrItsBytes) {
  EXPECT_EQ(kProfile.CostOf(IoKind::kRead, 4096), microseconds(100));
  EXPECT_EQ(kProfile.CostOf(IoKind::kRead, 1'000'000), microseconds(1000));
  EXPECT_EQ(kProfile.CostOf(IoKind::kWrite, 4096), microseconds(200));
  EXPECT_EQ(kProfile.CostOf(IoKind::kWrite, 1'000'000), microseconds(2000));
  EXPECT_EQ(kProfile.CostOf(IoKind::kFlush, 0), microseconds(0));
}

TEST(DeviceProfileTest, NoCostOverflows) {
  DeviceProfile slow = kProfile;
  slow.read_bytes_per_s = 1;
  EXPECT_EQ(slow.CostOf(IoKind::kRead, UINT64_MAX), std::chrono::hours(24));
  EXPECT_EQ(DeviceProfile().CostOf(IoKind::kRead, UINT64_MAX), std::chrono::hours(24));
}

TEST(DeviceProfileTest, ItsTextIsReadBack) {
  const std::string text = kProfile.ToText();
  EXPECT_EQ(text,
            "tifs-device-profile 1\nread_iops 10000\nread_bytes_per_s 1000000000\n"
            "write_iops 5000\nwrite_bytes_per_s 500000000\nlatency_goal_ns 2000000\n");
  const auto parsed = DeviceProfile::Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(*parsed, kProfile);
}

TEST(DeviceProfileTest, LinesOfLaterReleasesAreLeftToThem) {
  const auto parsed = DeviceProfile::Parse(kProfile.ToText() + "zones 7\nodd\n\n");
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(*parsed, kProfile);
}

TEST(DeviceProfileTest, WhatIsNoProfileIsRefused) {
  const std::string good = kProfile.ToText();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& text :
       {std::string(), std::string("tifs-device-profile 1"), with("profile 1", "profile 2"),
        with("read_iops 10000", "read_iops 0"), with("read_iops 10000", "read_iops -1"),
        with("read_iops 10000", "read_iops 10000x"), with("read_iops 10000", "read_iops"),
        with("read_iops 10000", "read_iops 1000000000000001"),
        with("read_iops 10000", "read_iops 99999999999999999999999"),
        with("latency_goal_ns", "latency"), good + std::string(5000, '\n')}) {
    const auto parsed = DeviceProfile::Parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code(), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace tifs::block
