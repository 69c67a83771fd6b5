#include "volume/stored_profile.h"

#include <gtest/gtest.h>

#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

using StoredProfileTest = VolumeTest;

constexpr block::DeviceProfile kProfile = {.read_iops = 1,
                                           .read_bytes_per_s = 2,
                                           .write_iops = 3,
                                           .write_bytes_per_s = 4,
                                           .latency_goal_ns = 5};

TEST_F(StoredProfileTest, AVolumeHasNoneUntilOneIsSaved) {
  const auto none = LoadDeviceProfile(*volume_);
  ASSERT_TRUE(none.ok()) << none.error().ToString();
  EXPECT_FALSE(none->has_value());
  ASSERT_TRUE(volume_->OpenRoot(block::DeviceProfile::kRoot, true).ok());
  EXPECT_FALSE(LoadDeviceProfile(*volume_)->has_value());
}

TEST_F(StoredProfileTest, TheLastOneSavedOutlivesAKill) {
  ASSERT_TRUE(SaveDeviceProfile(*volume_, kProfile).ok());
  Kill();
  EXPECT_EQ(LoadDeviceProfile(*volume_)->value(), kProfile);
  block::DeviceProfile other = kProfile;
  other.read_iops = 7;
  ASSERT_TRUE(SaveDeviceProfile(*volume_, other).ok());
  Kill();
  EXPECT_EQ(LoadDeviceProfile(*volume_)->value(), other);
}

TEST_F(StoredProfileTest, WhatIsNoProfileIsRefused) {
  EXPECT_EQ(CodeOf(SaveDeviceProfile(*volume_, {})), ErrorCode::kInvalid);
  ASSERT_TRUE(SaveDeviceProfile(*volume_, kProfile).ok());
  const auto root = *volume_->OpenRoot(block::DeviceProfile::kRoot, false);
  auto file = *root->Open(block::DeviceProfile::kFile, {.write = true});
  ASSERT_TRUE(file->WriteAt(0, "TIFS").ok());
  EXPECT_EQ(CodeOf(LoadDeviceProfile(*volume_)), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace tifs::volume
