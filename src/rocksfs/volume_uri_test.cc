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

TEST(VolumeUriTest, SettingsOfTheSchedulerAreTakenInOrder) {
  EXPECT_TRUE(ParseVolumeUri("tifs-volume://mem:1MiB?root=r")->settings.empty());
  const auto uri = ParseVolumeUri(
      "tifs-volume://mem:1MiB?scheduler=off&root=r&compaction.max_bytes_per_s=50MiB");
  ASSERT_TRUE(uri.ok()) << uri.error().ToString();
  const std::vector<block::IoSetting> expected = {{"scheduler", "off"},
                                                  {"compaction.max_bytes_per_s", "50MiB"}};
  EXPECT_EQ(uri->settings, expected);
}

TEST(VolumeUriTest, PartsMayLieOnOtherVolumes) {
  const auto uri = ParseVolumeUri(
      "tifs-volume:///dev/nvme1n1?root=kv&base=/d&at=/d/slow&volume=/dev/sda"
      "&at=/a%26b&volume=file:/x.img&root=other");
  ASSERT_TRUE(uri.ok()) << uri.error().ToString();
  ASSERT_EQ(uri->below.size(), 2u);
  EXPECT_EQ(uri->below[0].path, "/d/slow");
  EXPECT_EQ(uri->below[0].device, "/dev/sda");
  EXPECT_EQ(uri->below[0].root, "kv");
  EXPECT_EQ(uri->below[1].path, "/a&b");
  EXPECT_EQ(uri->below[1].device, "file:/x.img");
  EXPECT_EQ(uri->below[1].root, "other");
  EXPECT_EQ(uri->base, "/d");
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
      {"tifs-volume://file:/x.img?root=kv&root=raft", "there twice: \"root\""},
      {"tifs-volume://file:/x.img?root=kv&volume=/dev/sda", "'volume' follows 'at=PATH'"},
      {"tifs-volume://file:/x.img?root=kv&at=slow", "'at' takes an absolute path"},
      {"tifs-volume://file:/x.img?root=kv&at=/slow", "no volume for the part at \"/slow\""},
      {"tifs-volume://file:/x.img?root=kv&at=/s&volume=x", ""},
      {"tifs-volume://file:/x.img?root=kv&at=/s&volume=/dev/a&base=/d", "after 'at'"},
      {"tifs-volume://file:/x.img?root=kv&at=/s&volume=/dev/a&at=/s&volume=/dev/b", "there twice"},
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
