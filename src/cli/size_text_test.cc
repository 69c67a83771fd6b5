#include "cli/size_text.h"

#include <gtest/gtest.h>

#include "base/parse_size.h"

namespace tifs::cli {
namespace {

using std::chrono::nanoseconds;

TEST(FormatSizeTest, UsesTheLargestUnit) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1 KiB");
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
  EXPECT_EQ(FormatSize(65536), "64 KiB");
  EXPECT_EQ(FormatSize((uint64_t{1} << 20) - 1), "1 MiB");
  EXPECT_EQ(FormatSize(~uint64_t{0}), "16 EiB");
}

TEST(ExactSizeTest, IsReadBackAsTheSame) {
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{65536}, uint64_t{66000},
                         uint64_t{1} << 40, ~uint64_t{0}}) {
    EXPECT_EQ(ParseSize(ExactSize(bytes)).value(), bytes) << ExactSize(bytes);
  }
  EXPECT_EQ(ExactSize(65536), "64KiB");
}

TEST(FormatCountTest, GroupsThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(FormatLatencyTest, KeepsThreeDigits) {
  EXPECT_EQ(FormatLatency(nanoseconds(850)), "850 ns");
  EXPECT_EQ(FormatLatency(nanoseconds(12'345)), "12.3 us");
  EXPECT_EQ(FormatLatency(nanoseconds(4'560'000)), "4.56 ms");
  EXPECT_EQ(FormatLatency(nanoseconds(1'200'000'000)), "1.20 s");
}

}  // namespace
}  // namespace tifs::cli
