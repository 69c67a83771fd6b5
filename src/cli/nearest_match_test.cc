#include "cli/nearest_match.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tifs::cli {
namespace {

constexpr std::array<std::string_view, 6> kWords = {"noatime",     "relatime", "subdir",
                                                    "allow_other", "ro",       "rw"};

TEST(NearestMatchTest, FindsAWordWithAnErrorOrTwo) {
  EXPECT_EQ(NearestMatch("noatmie", kWords), "noatime");
  EXPECT_EQ(NearestMatch("realtime", kWords), "relatime");
  EXPECT_EQ(NearestMatch("sudbir", kWords), "subdir");
  EXPECT_EQ(NearestMatch("allowother", kWords), "allow_other");
}

TEST(NearestMatchTest, FindsAWordThatWasCutOff) {
  EXPECT_EQ(NearestMatch("allow", kWords), "allow_other");
  EXPECT_EQ(NearestMatch("subdirectory", kWords), "subdir");
}

TEST(NearestMatchTest, FindsNothingFarAway) {
  EXPECT_EQ(NearestMatch("compression", kWords), "");
  EXPECT_EQ(NearestMatch("", kWords), "");
  EXPECT_EQ(NearestMatch("x", {}), "");
}

TEST(NearestMatchTest, TakesWordsOfAnyLength) {
  EXPECT_EQ(NearestMatch(std::string(100'000, 'a'), kWords), "");
}

}  // namespace
}  // namespace tifs::cli
