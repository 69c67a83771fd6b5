#include "volume/journal_record.h"

#include <gtest/gtest.h>

#include "volume/redo.h"

namespace tifs::volume {
namespace {

const Record kRecords[] = {
    CreateRecord{
        .parent = 1, .inode = 2, .kind = InodeKind::kDirectory, .modified_ns = -5, .name = "kv"},
    LinkRecord{.parent = 2, .inode = 3, .name = "b"},
    UnlinkRecord{.parent = 2, .inode = 3, .name = std::string(255, 'x')},
    RenameRecord{
        .from_parent = 2, .to_parent = 4, .inode = 3, .replaced = 9, .from = "a", .to = "b"},
    FileRecord{.inode = 3,
               .size_bytes = 70'003,
               .modified_ns = 8,
               .in_place_bytes = 65'536,
               .from_unit = 1,
               .extents = {{7, 1}, {19, 3}},
               .tail = "end"},
    CheckpointRecord{.number = 12},
    MapRecord{.inode = 5,
              .size_bytes = 1'000'000,
              .modified_ns = -1,
              .runs = {{7, {30, 2}}, {1'000'000'000'000, {MapRecord::kHole, 3}}}},
};

TEST(JournalRecordTest, RecordsAreReadAsTheyWereWritten) {
  std::string bytes;
  for (const Record& record : kRecords) EncodeRecord(record, bytes);
  Decoder in(bytes);
  for (const Record& record : kRecords) {
    const auto decoded = DecodeRecord(in);
    ASSERT_TRUE(decoded.ok()) << RecordText(record);
    EXPECT_TRUE(*decoded == record) << RecordText(record);
  }
  EXPECT_TRUE(in.done());
}

// The documented bytes; a change of them is a change of the format.
TEST(JournalRecordTest, RecordsHaveTheirGoldenBytes) {
  std::string bytes;
  EncodeRecord(UnlinkRecord{.parent = 2, .inode = 0x0304, .name = "ab"}, bytes);
  EXPECT_EQ(bytes, std::string("\x14\0\0\0\3\2\0\0\0\0\0\0\0\4\3\0\0\0\0\0\0\2ab", 24));
  bytes.clear();
  EncodeRecord(FileRecord{.inode = 3,
                          .size_bytes = 5,
                          .modified_ns = 6,
                          .in_place_bytes = 4,
                          .from_unit = 0,
                          .extents = {{8, 1}},
                          .tail = "e"},
               bytes);
  std::string wanted("\x3e\0\0\0\5", 5);
  for (const char value : {3, 5, 6, 4, 0}) wanted += std::string(1, value) + std::string(7, '\0');
  wanted += std::string("\1\0\0\0\1\0\0\0\10\0\0\0\0\0\0\0\1\0\0\0e", 21);
  EXPECT_EQ(bytes, wanted);
  bytes.clear();
  EncodeRecord(MapRecord{.inode = 3, .size_bytes = 5, .modified_ns = 6, .runs = {{9, {8, 1}}}},
               bytes);
  wanted = std::string("\x31\0\0\0\7", 5);
  for (const char value : {3, 5, 6}) wanted += std::string(1, value) + std::string(7, '\0');
  wanted += std::string("\1\0\0\0", 4);
  for (const char value : {9, 8}) wanted += std::string(1, value) + std::string(7, '\0');
  wanted += std::string("\1\0\0\0", 4);
  EXPECT_EQ(bytes, wanted);
}

TEST(JournalRecordTest, WhatIsCutShortOrMakesNoSenseIsRefused) {
  for (const Record& record : kRecords) {
    std::string bytes;
    EncodeRecord(record, bytes);
    for (size_t size = 0; size < bytes.size(); ++size) {
      Decoder in(std::string_view(bytes).substr(0, size));
      EXPECT_FALSE(DecodeRecord(in).ok()) << RecordText(record) << " " << size;
    }
    // One byte more than it needs, and a length that says so.
    bytes += 'x';
    ++bytes[0];
    Decoder in(bytes);
    EXPECT_FALSE(DecodeRecord(in).ok()) << RecordText(record);
  }
  std::string unknown("\2\0\0\0\x63\0", 6);
  Decoder in(unknown);
  EXPECT_FALSE(DecodeRecord(in).ok());
}

// --- redo ---

FileRecord File(uint64_t size, uint64_t in_place, std::string tail) {
  return {.inode = 3, .size_bytes = size, .in_place_bytes = in_place, .tail = std::move(tail)};
}

TEST(RedoTest, SmallSyncsAddUp) {
  Redo redo;
  redo.Apply(File(10, 0, "abc"));
  redo.Apply(File(12, 0, "de"));
  ASSERT_NE(redo.Find(3), nullptr);
  EXPECT_EQ(redo.Find(3)->offset_bytes, 7u);
  EXPECT_EQ(redo.Find(3)->bytes, "abcde");
  redo.Apply(File(12, 0, "CDE"));  // the last bytes were overwritten
  EXPECT_EQ(redo.Find(3)->bytes, "abCDE");
  redo.Apply(File(13, 0, "12345678"));  // from before the first
  EXPECT_EQ(redo.Find(3)->offset_bytes, 5u);
  EXPECT_EQ(redo.Find(3)->bytes, "12345678");
}

TEST(RedoTest, WhatIsInPlaceIsForgotten) {
  Redo redo;
  redo.Apply(File(10, 0, "abc"));
  redo.Apply(File(10, 9, ""));
  EXPECT_EQ(redo.Find(3)->bytes, "c");
  redo.Apply(File(500, 500, ""));
  EXPECT_EQ(redo.Find(3), nullptr);
  redo.Apply(File(501, 500, "x"));
  EXPECT_EQ(redo.Find(3)->offset_bytes, 500u);
}

TEST(RedoTest, CutsAreCuts) {
  Redo redo;
  redo.Apply(File(10, 0, "abc"));
  redo.Apply(File(9, 0, ""));
  EXPECT_EQ(redo.Find(3)->bytes, "ab");
  redo.Apply(File(4, 0, ""));
  EXPECT_EQ(redo.Find(3), nullptr);
}

}  // namespace
}  // namespace tifs::volume
