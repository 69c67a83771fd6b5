#include "volume/measure_volume.h"

#include <gtest/gtest.h>

#include <atomic>

#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class MeasureVolumeTest : public VolumeTest {
 protected:
  MeasureVolumeTest() : VolumeTest(128 << 20) {}

  MeasureOptions Short() {
    return {.size_bytes = 16 << 20, .duration = std::chrono::milliseconds(2)};
  }
};

TEST_F(MeasureVolumeTest, MeasuresEverythingAndLeavesNothing) {
  Write("mine", Pattern(100'000, 1));
  const VolumeUsage before = volume_->Usage();
  const auto measured = MeasureVolume(*volume_, Short(), SystemClock());
  ASSERT_TRUE(measured.ok()) << measured.error().ToString();
  EXPECT_EQ(measured->size_bytes, 16U << 20);
  EXPECT_EQ(measured->measurements.size(), 11U);
  for (const Measurement& one : measured->measurements) {
    EXPECT_GT(one.ops_per_s, 0) << one.name << " " << one.depth;
    EXPECT_LE(one.p50_ns, one.p99_ns);
    EXPECT_LE(one.p99_ns, one.p999_ns);
  }
  EXPECT_TRUE(measured->profile.Validate().ok());
  EXPECT_GE(measured->profile.latency_goal_ns, 1'000'000U);
  EXPECT_LE(measured->profile.latency_goal_ns, 20'000'000U);
  EXPECT_EQ(volume_->Usage().free_bytes, before.free_bytes);
  EXPECT_EQ(volume_->Usage().files, before.files);
  EXPECT_EQ(volume_->Usage().directories, before.directories);
  EXPECT_EQ(Read("mine"), Pattern(100'000, 1));
}

TEST_F(MeasureVolumeTest, TakesAtMostHalfOfWhatIsFreeAndSaysIfThatIsTooLittle) {
  MeasureOptions options = Short();
  options.size_bytes = 1 << 30;
  const auto measured = MeasureVolume(*volume_, options, SystemClock());
  ASSERT_TRUE(measured.ok()) << measured.error().ToString();
  EXPECT_LE(measured->size_bytes, volume_->Usage().free_bytes / 2);
  EXPECT_GE(measured->size_bytes, 32U << 20);
  const auto hog = Create("hog");
  ASSERT_TRUE(hog->Allocate(volume_->Usage().free_bytes - (20 << 20)).ok());
  EXPECT_EQ(CodeOf(MeasureVolume(*volume_, Short(), SystemClock())), ErrorCode::kNoSpace);
  EXPECT_EQ(volume_->Usage().directories, 1U);
}

TEST_F(MeasureVolumeTest, WhatAKillLeftIsRemovedByTheNext) {
  const auto root = *volume_->OpenRoot(block::DeviceProfile::kRoot, true);
  for (const char* name : {"bench-0", "bench-3", "device-profile"}) {
    const auto file = *root->Open(name, {.write = true, .create = true});
    ASSERT_TRUE(file->Append("left").ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  ASSERT_TRUE(MeasureVolume(*volume_, Short(), SystemClock()).ok());
  const auto left = *root->List("");
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].name, "device-profile");
}

TEST_F(MeasureVolumeTest, CanBeStoppedAtAnyPointAndCleansUp) {
  const VolumeUsage before = volume_->Usage();
  for (int stop_after : {0, 3, 12, 40, 400}) {
    std::atomic<int> asked = 0;
    MeasureOptions options = Short();
    options.check = [&]() -> Status {
      if (asked++ < stop_after) return {};
      return Error(ErrorCode::kInterrupted, "test");
    };
    EXPECT_EQ(CodeOf(MeasureVolume(*volume_, options, SystemClock())), ErrorCode::kInterrupted);
    EXPECT_EQ(volume_->Usage().free_bytes, before.free_bytes);
    EXPECT_EQ(volume_->Usage().directories, before.directories);
  }
}

TEST_F(MeasureVolumeTest, ADeviceThatFailsIsAnError) {
  faults_.writes = true;
  EXPECT_FALSE(MeasureVolume(*volume_, Short(), SystemClock()).ok());
}

TEST_F(MeasureVolumeTest, OptionsThatMakeNoSenseAreRefused) {
  for (uint64_t size_bytes : {uint64_t{0}, uint64_t{15 << 20}, uint64_t{(16 << 20) + 4096}}) {
    MeasureOptions options = Short();
    options.size_bytes = size_bytes;
    EXPECT_EQ(CodeOf(MeasureVolume(*volume_, options, SystemClock())), ErrorCode::kInvalid);
  }
}

}  // namespace
}  // namespace tifs::volume
