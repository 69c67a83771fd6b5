#include "base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace tifs {
namespace {

// The first outputs of splitmix64 for the seed 1234567, as its authors' reference gives them.
TEST(RandomTest, IsSplitmix64) {
  Random random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);
  EXPECT_EQ(random.Next(), 9817491932198370423u);
}

TEST(RandomTest, TheSameSeedGivesTheSameSequence) {
  Random a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t next = a.Next();
    ASSERT_EQ(next, b.Next());
    differs |= next != c.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(RandomTest, BelowStaysBelowAndReachesAll) {
  Random random(3);
  std::array<int, 10> seen{};
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t n = random.Below(10);
    ASSERT_LT(n, 10u);
    ++seen[n];
  }
  for (int count : seen) EXPECT_NEAR(count, 1000, 200);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.Below(1), 0u);
}

TEST(RandomTest, SeedsFromTheKernelDiffer) { EXPECT_NE(RandomSeed(), RandomSeed()); }

}  // namespace
}  // namespace tifs
