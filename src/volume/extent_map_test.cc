#include "volume/extent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/random.h"

namespace tifs::volume {
namespace {

using Runs = std::vector<Extent>;

TEST(ExtentMapTest, RunsThatContinueEachOtherAreOne) {
  Runs runs;
  InsertRun(runs, {10, {100, 2}});
  InsertRun(runs, {14, {104, 2}});
  EXPECT_EQ(runs, (Runs{{10, {100, 2}}, {14, {104, 2}}}));
  InsertRun(runs, {12, {102, 2}});
  EXPECT_EQ(runs, (Runs{{10, {100, 6}}}));
  InsertRun(runs, {16, {50, 1}});  // elsewhere on the device
  InsertRun(runs, {9, {99, 1}});
  EXPECT_EQ(runs, (Runs{{9, {99, 7}}, {16, {50, 1}}}));
  EXPECT_EQ(CountUnits(runs), 8u);
}

TEST(ExtentMapTest, ErasingInTheMiddleLeavesBothEnds) {
  Runs runs = {{10, {100, 10}}};
  Runs erased;
  EraseRuns(runs, 13, 15, erased);
  EXPECT_EQ(runs, (Runs{{10, {100, 3}}, {15, {105, 5}}}));
  EXPECT_EQ(erased, (Runs{{13, {103, 2}}}));
  EXPECT_EQ(RunsIn(runs, 12, 16), (Runs{{12, {102, 1}}, {15, {105, 1}}}));
  EXPECT_EQ(FirstRunAfter(runs, 13)->file_unit, 15u);
  EXPECT_EQ(FirstRunAfter(runs, 20), nullptr);
}

// Against a map of single units.
TEST(ExtentMapTest, IsWhatAMapOfUnitsIs) {
  Random random(7);
  Runs runs;
  std::map<uint64_t, uint64_t> units;
  for (int step = 0; step < 5'000; ++step) {
    const uint64_t begin = random.Below(60);
    const uint64_t end = begin + 1 + random.Below(8);
    Runs erased;
    EraseRuns(runs, begin, end, erased);
    uint64_t count = 0;
    for (const Extent& run : erased) {
      for (uint64_t i = 0; i < run.units.count; ++i, ++count) {
        ASSERT_EQ(units.at(run.file_unit + i), run.units.start + i);
      }
    }
    ASSERT_EQ(count, std::distance(units.lower_bound(begin), units.lower_bound(end)));
    units.erase(units.lower_bound(begin), units.lower_bound(end));
    if (random.OneIn(3)) continue;
    // Often as if it had been taken next to its neighbours.
    const uint64_t start = 1000 + (random.OneIn(2) ? begin : random.Below(500));
    InsertRun(runs, {begin, {start, end - begin}});
    for (uint64_t unit = begin; unit < end; ++unit) units[unit] = start + (unit - begin);
    ASSERT_EQ(CountUnits(runs), units.size());
    for (size_t i = 1; i < runs.size(); ++i) {
      ASSERT_LE(runs[i - 1].file_end(), runs[i].file_unit);
      ASSERT_FALSE(runs[i - 1].file_end() == runs[i].file_unit &&
                   runs[i - 1].units.end() == runs[i].units.start);
    }
  }
}

}  // namespace
}  // namespace tifs::volume
