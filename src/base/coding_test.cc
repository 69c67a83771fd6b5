#include "base/coding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/random.h"

namespace tifs {
namespace {

TEST(CodingTest, BigEndianSortsAsTheNumberDoes) {
  Random random(1);
  std::vector<uint64_t> numbers = {0, 1, 255, 256, std::numeric_limits<uint64_t>::max()};
  for (int i = 0; i < 200; ++i) numbers.push_back(random.Next() >> random.Below(64));
  std::vector<std::string> keys;
  for (uint64_t number : numbers) {
    std::string key(8, '\0');
    StoreBigEndian(key.data(), number);
    keys.push_back(key);
  }
  std::ranges::sort(numbers);
  std::ranges::sort(keys);
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(LoadBigEndian<uint64_t>(keys[i].data()), numbers[i]);
  }
}

TEST(CodingTest, BytesAreWhatTheNamesSay) {
  char big[4], little[4];
  StoreBigEndian<uint32_t>(big, 0x01020304);
  StoreLittleEndian<uint32_t>(little, 0x01020304);
  EXPECT_EQ(std::string_view(big, 4), std::string_view("\x01\x02\x03\x04", 4));
  EXPECT_EQ(std::string_view(little, 4), std::string_view("\x04\x03\x02\x01", 4));
  EXPECT_EQ(LoadBigEndian<uint16_t>(big), 0x0102);
  EXPECT_EQ(LoadLittleEndian<uint16_t>(little), 0x0304);
  char one;
  StoreBigEndian<uint8_t>(&one, 0x7f);
  EXPECT_EQ(one, 0x7f);
}

TEST(CodingTest, DecoderReadsWhatEncoderWrote) {
  const std::string binary("a\0b\xff", 4);
  std::string bytes;
  Encoder encoder(bytes);
  encoder.Fixed<uint8_t>(200);
  encoder.Fixed<uint16_t>(60'000);
  encoder.Fixed<uint32_t>(4'000'000'000);
  encoder.Fixed<uint64_t>(std::numeric_limits<uint64_t>::max());
  encoder.Counted(binary);
  encoder.Counted("");
  encoder.Raw("tail");

  Decoder decoder(bytes);
  EXPECT_EQ(decoder.Fixed<uint8_t>(), 200);
  EXPECT_EQ(decoder.Fixed<uint16_t>(), 60'000);
  EXPECT_EQ(decoder.Fixed<uint32_t>(), 4'000'000'000);
  EXPECT_EQ(decoder.Fixed<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(decoder.Counted(), binary);
  EXPECT_EQ(decoder.Counted(), "");
  EXPECT_FALSE(decoder.done());
  EXPECT_EQ(decoder.remaining(), 4u);
  EXPECT_EQ(decoder.Rest(), "tail");
  EXPECT_TRUE(decoder.done());
}

TEST(CodingTest, AReadPastTheEndFailsForEver) {
  Decoder decoder("abc");
  EXPECT_EQ(decoder.Fixed<uint32_t>(), 0u);
  EXPECT_FALSE(decoder.ok());
  EXPECT_EQ(decoder.remaining(), 0u);
  EXPECT_EQ(decoder.Fixed<uint8_t>(), 0);
  EXPECT_EQ(decoder.Raw(0), "");
  EXPECT_FALSE(decoder.ok());
  EXPECT_FALSE(decoder.done());
}

TEST(CodingTest, AnAbsurdCountYieldsNothing) {
  std::string bytes;
  Encoder(bytes).Fixed<uint32_t>(0xffffffff);
  bytes.append("short");
  Decoder decoder(bytes);
  EXPECT_EQ(decoder.Counted(), "");
  EXPECT_FALSE(decoder.ok());
}

TEST(CodingTest, LeftoversAreNotDone) {
  Decoder decoder("ab");
  decoder.Fixed<uint8_t>();
  EXPECT_TRUE(decoder.ok());
  EXPECT_FALSE(decoder.done());
}

TEST(EscapeForLogTest, LeavesPrintableAsciiAlone) {
  EXPECT_EQ(EscapeForLog("a file~name.txt"), "a file~name.txt");
}

TEST(EscapeForLogTest, NeutralizesWhatATerminalOrAParserWouldObey) {
  EXPECT_EQ(EscapeForLog("a\nb"), "a\\x0ab");
  EXPECT_EQ(EscapeForLog("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(EscapeForLog(std::string_view("\0\x7f\xff", 3)), "\\x00\\x7f\\xff");
  EXPECT_EQ(EscapeForLog("\"quoted\" \\n"), "\\\"quoted\\\" \\\\n");
}

TEST(EscapeForLogTest, TellsDifferentNamesApart) {
  EXPECT_NE(EscapeForLog("\n"), EscapeForLog("\\x0a"));
}

}  // namespace
}  // namespace tifs
