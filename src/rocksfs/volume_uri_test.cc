#include "rocksfs/volume_uri.h"

#include <gtest/gtest.h>

namespace tifs::rocksfs {
namespace {

TEST(VolumeUriTest, HasADeviceARootAndABase) {
  const auto uri = ParseVolumeUri("tifs-volume://file:/x.img?root=kv&base=/var/lib/kv");
  ASSERT_TRUE(uri.ok()) << uri.error().ToString();
  EXPECT_EQ(uri->device, "file:/x.img");
  EXPECT_EQ(uri->root, "kv");
  EXPECT_EQ(uri->base, "/var/lib/kv");
}

TEST(VolumeUriTest, TheBaseIsTheWholeTreeByDefault) {
  const auto uri = ParseVolumeUri("tifs-volume:///dev/nvme1n1?root=kv");
  ASSERT_TRUE(uri.ok()) << uri.error().ToString();
  EXPECT_EQ(uri->device, "/dev/nvme1n1");
  EXPECT_EQ(uri->base, "/");
}

TEST(VolumeUriTest, TheSchedulerCanBeSwitchedOff) {
  EXPECT_TRUE(ParseVolumeUri("tifs-volume://mem:1MiB?root=r")->scheduler);
  EXPECT_TRUE(ParseVolumeUri("tifs-volume://mem:1MiB?root=r&scheduler=on")->scheduler);
  EXPECT_FALSE(ParseVolumeUri("tifs-volume://mem:1MiB?scheduler=off&root=r")->scheduler);
}

TEST(VolumeUriTest, ValuesAreDecoded) {
  const auto uri = ParseVolumeUri("tifs-volume://mem:1MiB?base=/a%26b%3fc&root=r");
  ASSERT_TRUE(uri.ok()) << uri.error().ToString();
  EXPECT_EQ(uri->base, "/a&b?c");
}

TEST(VolumeUriTest, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"file:/x.img?root=kv", "no volume"},
      {"tifs-volume://file:/x.img", "no root"},
      {"tifs-volume://file:/x.img?root=", "empty value"},
      {"tifs-volume://file:/x.img?root", "no value"},
      {"tifs-volume://file:/x.img?rot=kv", "unknown parameter \"rot\""},
      {"tifs-volume://file:/x.img?root=kv&base=relative", "absolute"},
      {"tifs-volume://?root=kv", ""},
      {"tifs-volume://x.img?root=kv", ""},
      {"tifs-volume://file:/x.img?root=%zz", ""},
      {"tifs-volume://file:/x.img?root=kv&scheduler=maybe", "on or off, not \"maybe\""},
  };
  for (const auto& [text, why] : cases) {
    const auto uri = ParseVolumeUri(text);
    ASSERT_FALSE(uri.ok()) << text;
    EXPECT_EQ(uri.error().code(), ErrorCode::kInvalid) << text;
    EXPECT_NE(uri.error().ToString().find(why), std::string::npos) << uri.error().ToString();
  }
}

}  // namespace
}  // namespace tifs::rocksfs
