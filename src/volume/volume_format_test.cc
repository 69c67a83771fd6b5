#include "volume/volume_format.h"

#include <gtest/gtest.h>

#include <cstring>

namespace tifs::volume {
namespace {

constexpr Uuid kUuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

std::string Block(const BlockHeader& header, std::string_view payload) {
  std::string block(kBlockBytes, '\x55');
  std::memcpy(block.data() + kHeaderBytes, payload.data(), payload.size());
  SealBlock(header, std::span<char, kBlockBytes>(block.data(), kBlockBytes));
  return block;
}

BlockHeader SomeHeader() {
  return {.kind = BlockKind::kJournal,
          .uuid = kUuid,
          .offset_bytes = 8192,
          .sequence = 77,
          .generation = 3,
          .mark = 70,
          .payload_bytes = 5,
          .flags = BlockHeader::kFirst};
}

TEST(FormatTest, ABlockIsReadAsItWasWritten) {
  const std::string block = Block(SomeHeader(), "hello");
  const ParsedBlock parsed = ParseBlock(block, BlockKind::kJournal, kUuid, 8192);
  ASSERT_EQ(parsed.fault, BlockFault::kNone);
  EXPECT_EQ(parsed.header, SomeHeader());
  EXPECT_EQ(parsed.payload, "hello");
}

// The documented places; a change of them is a change of the format.
TEST(FormatTest, ABlockHasItsGoldenBytes) {
  const std::string block = Block(SomeHeader(), "hello");
  std::string wanted = "TiJB";
  wanted += block.substr(4, 4);
  wanted += std::string("\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16);
  for (const char low : {'\0', '\x4d', '\3', '\x46'}) {
    wanted +=
        std::string(1, low) + std::string(1, low == '\0' ? '\x20' : '\0') + std::string(6, '\0');
  }
  wanted += std::string("\5\0\0\0\1\0\0\0hello\0", 14);
  EXPECT_EQ(block.substr(0, wanted.size()), wanted);
  EXPECT_EQ(block.find_first_not_of('\0', kHeaderBytes + 5), std::string::npos);
}

TEST(FormatTest, EveryFlippedBitIsNoticed) {
  const std::string block = Block(SomeHeader(), "hello");
  for (size_t bit = 0; bit < kBlockBytes * 8; ++bit) {
    std::string flipped = block;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NE(ParseBlock(flipped, BlockKind::kJournal, kUuid, 8192).fault, BlockFault::kNone)
        << "bit " << bit;
  }
}

TEST(FormatTest, ABlockElsewhereOrOfAnotherVolumeOrKindIsNamed) {
  const std::string block = Block(SomeHeader(), "hello");
  Uuid other = kUuid;
  other[0] ^= 1;
  EXPECT_EQ(ParseBlock(block, BlockKind::kJournal, kUuid, 4096).fault, BlockFault::kMisplaced);
  EXPECT_EQ(ParseBlock(block, BlockKind::kJournal, other, 8192).fault, BlockFault::kOtherVolume);
  EXPECT_EQ(ParseBlock(block, BlockKind::kCheckpoint, kUuid, 8192).fault, BlockFault::kMagic);
  EXPECT_EQ(ParseBlock({}, BlockKind::kJournal, kUuid, 8192).fault, BlockFault::kMagic);
}

TEST(FormatTest, Names) {
  for (const char* good : {"a", "000123.sst", "...", "\xff"}) EXPECT_TRUE(IsValidName(good));
  for (const char* bad : {"", ".", "..", "a/b"}) EXPECT_FALSE(IsValidName(bad));
  EXPECT_FALSE(IsValidName(std::string_view("\0", 1)));
  EXPECT_TRUE(IsValidName(std::string(255, 'x')));
  EXPECT_FALSE(IsValidName(std::string(256, 'x')));
  EXPECT_TRUE(IsValidRootName("kv-1_x.Y"));
  for (const char* bad : {"", ".", "..", "a b", "\xc3\xa4", "a/b"}) {
    EXPECT_FALSE(IsValidRootName(bad));
  }
  EXPECT_FALSE(IsValidRootName(std::string(65, 'x')));
}

TEST(FormatTest, UuidsAreWrittenInTheUsualForm) {
  EXPECT_EQ(UuidText(kUuid), "01020304-0506-0708-090a-0b0c0d0e0f10");
  EXPECT_NE(RandomUuid(), RandomUuid());
}

}  // namespace
}  // namespace tifs::volume
