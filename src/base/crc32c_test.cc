#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace tifs {
namespace {

// RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32cTest, GivesThePublishedValues) {
  std::string ascending(32, '\0');
  for (size_t i = 0; i < ascending.size(); ++i) ascending[i] = static_cast<char>(i);
  for (auto* crc : {Crc32c, Crc32cByTables}) {
    EXPECT_EQ(crc("", 0), 0u);
    EXPECT_EQ(crc("123456789", 0), 0xe3069283u);
    EXPECT_EQ(crc(std::string(32, '\0'), 0), 0x8a9136aau);
    EXPECT_EQ(crc(std::string(32, '\xff'), 0), 0x62a8ab43u);
    EXPECT_EQ(crc(ascending, 0), 0x46dd794eu);
  }
}

TEST(Crc32cTest, BothWaysAgreeAtEveryLengthAndSplit) {
  Random random(3);
  std::string bytes(100, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const std::string_view whole = std::string_view(bytes).substr(0, size);
    const uint32_t wanted = Crc32cByTables(whole);
    EXPECT_EQ(Crc32c(whole), wanted);
    const size_t split = size / 3;
    EXPECT_EQ(Crc32c(whole.substr(split), Crc32c(whole.substr(0, split))), wanted);
  }
}

}  // namespace
}  // namespace tifs
