#include "cli/volume_record.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace tifs::cli {
namespace {

class VolumeRecordTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(path_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Put(const std::string& text) { std::ofstream(path_ + "/tifs.volume") << text; }

  std::string path_ = "/tmp/tifs-record-XXXXXX";
  VolumeRecord record_{.uuid = "u-u",
                       .name = "fast\n",
                       .root = "tifs",
                       .device = "/dev/disk/by-id/a,b",
                       .store = "s-s",
                       .formatted = true};
};

TEST_F(VolumeRecordTest, IsReadAsItWasWritten) {
  EXPECT_FALSE(ReadVolumeRecord(path_)->has_value());
  ASSERT_TRUE(WriteVolumeRecord(path_, record_).ok());
  const auto read = *ReadVolumeRecord(path_);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->uuid, record_.uuid);
  EXPECT_EQ(read->name, record_.name);
  EXPECT_EQ(read->root, record_.root);
  EXPECT_EQ(read->device, record_.device);
  EXPECT_EQ(read->store, record_.store);
  EXPECT_TRUE(read->formatted);
  ASSERT_TRUE(RemoveVolumeRecord(path_).ok());
  EXPECT_FALSE(ReadVolumeRecord(path_)->has_value());
  EXPECT_TRUE(RemoveVolumeRecord(path_).ok());
}

TEST_F(VolumeRecordTest, WhatMakesNoSenseIsRefused) {
  ASSERT_TRUE(WriteVolumeRecord(path_, record_).ok());
  std::ifstream in(path_ + "/tifs.volume");
  const std::string text(std::istreambuf_iterator<char>(in), {});
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    Put(text.substr(0, size));
    ASSERT_FALSE(ReadVolumeRecord(path_).ok()) << size;
  }
  for (const char* bad : {"[]", "{}", R"({"uuid": 1})", "\xff"}) {
    Put(bad);
    EXPECT_EQ(ReadVolumeRecord(path_).error().code(), ErrorCode::kCorrupt) << bad;
  }
  record_.root = "a/b";
  ASSERT_TRUE(WriteVolumeRecord(path_, record_).ok());
  EXPECT_FALSE(ReadVolumeRecord(path_).ok());
}

TEST_F(VolumeRecordTest, SpeaksOfTheVolumeWithoutControlCharacters) {
  EXPECT_EQ(VolumeText(record_), R"(the volume 'fast\n' (UUID u-u, last at /dev/disk/by-id/a,b))");
  EXPECT_EQ(VolumeQuery(record_), "volume=/dev/disk/by-id/a%2Cb&root=tifs");
}

TEST(RootRecordTest, IsReadAsItWasWritten) {
  const auto read =
      DecodeRootRecord(EncodeRootRecord({.store = "s", .directory = "/a b", .formatted = true}));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->store, "s");
  EXPECT_EQ(read->directory, "/a b");
  EXPECT_TRUE(read->formatted);
  for (const char* bad : {"", "{}", "TiFS embedded store, layout 1\n", R"({"tifs": "other"})"}) {
    EXPECT_FALSE(DecodeRootRecord(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace tifs::cli
