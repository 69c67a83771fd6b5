#include "base/parse_size.h"

#include <gtest/gtest.h>

namespace tifs {
namespace {

uint64_t SizeOf(std::string_view text) {
  const Result<uint64_t> size = ParseSize(text);
  EXPECT_TRUE(size.ok()) << text;
  return size.ok() ? *size : ~uint64_t{0};
}

TEST(ParseSizeTest, TakesBinaryAndDecimalUnits) {
  EXPECT_EQ(SizeOf("0"), 0u);
  EXPECT_EQ(SizeOf("512"), 512u);
  EXPECT_EQ(SizeOf("512B"), 512u);
  EXPECT_EQ(SizeOf("64KiB"), 65536u);
  EXPECT_EQ(SizeOf("64K"), 65536u);
  EXPECT_EQ(SizeOf("64k"), 65536u);
  EXPECT_EQ(SizeOf("64 KiB"), 65536u);
  EXPECT_EQ(SizeOf("64KB"), 64000u);
  EXPECT_EQ(SizeOf("64kB"), 64000u);
  EXPECT_EQ(SizeOf("2MiB"), uint64_t{2} << 20);
  EXPECT_EQ(SizeOf("3GiB"), uint64_t{3} << 30);
  EXPECT_EQ(SizeOf("4T"), uint64_t{4} << 40);
  EXPECT_EQ(SizeOf("5PB"), 5'000'000'000'000'000u);
  EXPECT_EQ(SizeOf("15EiB"), uint64_t{15} << 60);
}

TEST(ParseSizeTest, TakesFractionsOfAUnit) {
  EXPECT_EQ(SizeOf("1.5KiB"), 1536u);
  EXPECT_EQ(SizeOf("0.5MiB"), 524288u);
  EXPECT_EQ(SizeOf("1.000000001GB"), 1'000'000'001u);
  EXPECT_EQ(SizeOf("1.0"), 1u);
}

TEST(ParseSizeTest, KeepsTheLargestNumberExactly) {
  EXPECT_EQ(SizeOf("18446744073709551615"), 18446744073709551615u);
}

TEST(ParseSizeTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "KiB", "-1", "-1KiB", "+1", "1.5", "1..5K", "1.K", ".5K", "1XiB",
                           "64KiBx", "0x10", "1e3", "12 34", "1.5555555555K", "\n1"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.error().code(), ErrorCode::kInvalid);
    EXPECT_FALSE(size.error().detail().empty());
  }
}

TEST(ParseSizeTest, RefusesWhatDoesNotFit) {
  for (const char* text : {"18446744073709551616", "16EiB", "17179869184GiB",
                           "99999999999999999999", "18446744073709551615.5K"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(ParseCountTest, CountsInThousands) {
  EXPECT_EQ(*ParseCount("1000000"), 1'000'000u);
  EXPECT_EQ(*ParseCount("1M"), 1'000'000u);
  EXPECT_EQ(*ParseCount("1.5k"), 1500u);
  EXPECT_FALSE(ParseCount("").ok());
  EXPECT_FALSE(ParseCount("1MiB").ok());
  EXPECT_FALSE(ParseCount("many").ok());
}

}  // namespace
}  // namespace tifs
