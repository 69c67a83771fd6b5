#include "volume/extent_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace tifs::volume {
namespace {

TEST(ExtentAllocatorTest, NeighboursBecomeOneRun) {
  ExtentAllocator allocator;
  allocator.Add({10, 5});
  allocator.Add({20, 5});
  EXPECT_EQ(allocator.runs(), 2u);
  allocator.Add({15, 5});
  EXPECT_EQ(allocator.runs(), 1u);
  EXPECT_EQ(allocator.largest_run(), 15u);
  EXPECT_EQ(allocator.free_units(), 15u);
}

TEST(ExtentAllocatorTest, AFileGoesOnWhereItEnded) {
  ExtentAllocator allocator;
  allocator.Add({1, 100});
  EXPECT_EQ(allocator.Allocate(10, 0), (UnitRange{1, 10}));
  EXPECT_EQ(allocator.Allocate(10, 11), (UnitRange{11, 10}));
  // What follows is taken, so a run elsewhere.
  ASSERT_TRUE(allocator.TakeExactly({21, 5}));
  EXPECT_EQ(allocator.Allocate(10, 21), (UnitRange{26, 10}));
}

TEST(ExtentAllocatorTest, TakesTheSmallestRunThatFitsElseTheLargest) {
  ExtentAllocator allocator;
  allocator.Add({0, 8});
  allocator.Add({100, 4});
  allocator.Add({200, 16});
  EXPECT_EQ(allocator.Allocate(4, 0), (UnitRange{100, 4}));
  EXPECT_EQ(allocator.Allocate(5, 0), (UnitRange{0, 5}));
  EXPECT_EQ(allocator.Allocate(50, 0), (UnitRange{200, 16}));
  EXPECT_EQ(allocator.Allocate(50, 0), (UnitRange{5, 3}));
  EXPECT_EQ(allocator.Allocate(1, 0), (UnitRange{}));
  EXPECT_EQ(allocator.free_units(), 0u);
}

TEST(ExtentAllocatorTest, TakesNothingThatIsNotAllFree) {
  ExtentAllocator allocator;
  allocator.Add({10, 10});
  for (const UnitRange range :
       {UnitRange{9, 2}, {19, 2}, {0, 5}, {30, 1}, {15, 0}, {12, UINT64_MAX}, {UINT64_MAX, 3}}) {
    EXPECT_FALSE(allocator.TakeExactly(range)) << range.start;
  }
  EXPECT_EQ(allocator.free_units(), 10u);
  EXPECT_TRUE(allocator.TakeExactly({12, 3}));
  EXPECT_EQ(allocator.runs(), 2u);
  EXPECT_TRUE(allocator.IsTaken({12, 3}));
  EXPECT_FALSE(allocator.IsTaken({11, 2}));
  EXPECT_FALSE(allocator.IsTaken({14, 2}));
}

// Against an array of units.
TEST(ExtentAllocatorTest, AgreesWithABitmap) {
  constexpr uint64_t kUnits = 200;
  Random random(11);
  ExtentAllocator allocator;
  allocator.Add({0, kUnits});
  std::vector<bool> taken(kUnits, false);
  std::vector<UnitRange> held;
  for (int step = 0; step < 20'000; ++step) {
    if (random.OneIn(2) && !held.empty()) {
      const size_t at = random.Below(held.size());
      const UnitRange range = held[at];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      allocator.Add(range);
      for (uint64_t unit = range.start; unit < range.end(); ++unit) taken[unit] = false;
      continue;
    }
    const uint64_t next_to = held.empty() || random.OneIn(2) ? 0 : held.back().end();
    const uint64_t wanted = 1 + random.Below(20);
    const UnitRange range = allocator.Allocate(wanted, next_to);
    ASSERT_LE(range.count, wanted);
    for (uint64_t unit = range.start; unit < range.end(); ++unit) {
      ASSERT_FALSE(taken[unit]);
      taken[unit] = true;
    }
    if (range.count != 0) held.push_back(range);
    const auto free = static_cast<uint64_t>(std::ranges::count(taken, false));
    ASSERT_EQ(allocator.free_units(), free);
    if (range.count == 0) {
      ASSERT_EQ(free, 0u);
    }
  }
}

}  // namespace
}  // namespace tifs::volume
