#include "fs/atime_table.h"

#include <gtest/gtest.h>

#include "fs/leftover_queue.h"

namespace tifs::fs {
namespace {

constexpr InodeNumber kInode{7};

TEST(AtimeTableTest, ATimeThatIsBeingStoredIsStillFound) {
  AtimeTable atimes;
  atimes.Note(kInode, {5, 0});
  EXPECT_EQ(atimes.Take(10).size(), 1u);
  EXPECT_EQ(atimes.Find(kInode), (Timespec{5, 0}));
  EXPECT_TRUE(atimes.IsTaken(kInode));
  atimes.Note(kInode, {6, 0});
  EXPECT_EQ(atimes.Find(kInode), (Timespec{6, 0}));
  atimes.Stored();
  EXPECT_EQ(atimes.Find(kInode), (Timespec{6, 0})) << "it was noted after it was taken";
  EXPECT_FALSE(atimes.IsTaken(kInode));
  EXPECT_EQ(atimes.size(), 1u);
}

TEST(AtimeTableTest, ATimeSetExplicitlyOutranksOneThatIsBeingStored) {
  AtimeTable atimes;
  atimes.Note(kInode, {5, 0});
  EXPECT_EQ(atimes.Take(10).size(), 1u);
  atimes.Forget(kInode);
  EXPECT_FALSE(atimes.IsTaken(kInode));
  EXPECT_FALSE(atimes.Find(kInode).has_value());
  EXPECT_EQ(atimes.size(), 0u);
}

TEST(LeftoverQueueTest, WorkThatMayWaitEndsOnlyAWaitWithoutALimit) {
  LeftoverQueue queue;
  ManualClock clock;
  queue.WakeIdle();
  const auto before = clock.Monotonic();
  queue.Wait(clock, std::chrono::seconds(3));
  EXPECT_EQ(clock.Monotonic(), before + std::chrono::seconds(3));
  queue.Wait();  // returns: it was remembered
  queue.Wake();
  queue.Wait(clock, std::chrono::seconds(3));
  EXPECT_EQ(clock.Monotonic(), before + std::chrono::seconds(3));
}

}  // namespace
}  // namespace tifs::fs
