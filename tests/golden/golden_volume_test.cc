// A volume that an earlier release wrote, as a kill left it, is read as it was.
#include "tests/golden/golden_volume.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace tifs::golden {
namespace {

std::string ReadText(const std::string& name) {
  std::ifstream in(std::string(TIFS_GOLDEN_DIR) + "/" + name);
  EXPECT_TRUE(in.good()) << name;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class GoldenVolumeTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenVolumeTest, IsReadAsItWas) {
  const auto disk = DiskFromText(ReadText(GetParam()));
  ASSERT_TRUE(disk.ok());
  const auto files = ReadVolumeDisk(*disk);
  ASSERT_TRUE(files.ok()) << files.error().ToString();
  EXPECT_EQ(*files, GoldenVolumeFiles());
}

INSTANTIATE_TEST_SUITE_P(Releases, GoldenVolumeTest, testing::Values("volume_format1.txt"));

// Byte for byte: a change of the format needs a feature bit or a version, and a new golden volume.
TEST(GoldenVolumeWriteTest, ThisReleaseWritesFormat1) {
  const auto made = MakeGoldenVolume();
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_TRUE(DiskToText(*made) == ReadText("volume_format1.txt")) << "other bytes are written";
  const auto files = ReadVolumeDisk(*made);
  ASSERT_TRUE(files.ok()) << files.error().ToString();
  EXPECT_EQ(*files, GoldenVolumeFiles());
}

}  // namespace
}  // namespace tifs::golden
