#include "fs/space_account.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

// A store whose medium has as much room as a test says.
class SmallMedium : public kv::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<kv::SpaceUsage> Space() override {
    ++asked;
    return kv::SpaceUsage{total_bytes, available_bytes};
  }

  uint64_t total_bytes = uint64_t{1} << 40;
  uint64_t available_bytes = 0;
  int asked = 0;
};

class SpaceAccountTest : public testing::Test {
 protected:
  Status Grow(int64_t bytes) {
    SpaceAccount::Operation operation(account_);
    Status reserved = operation.Reserve({bytes, 0});
    if (reserved) operation.Commit();
    return reserved;
  }

  kv::MemKv base_;
  SmallMedium store_{base_};
  ManualClock clock_;
  const Schema schema_;
  kv::TransactionRunner runner_{store_, clock_};
  SpaceAccount account_{runner_, schema_, {}};
};

TEST_F(SpaceAccountTest, AMediumThatNobodyKnowsYetIsNotFull) {
  store_.available_bytes = 0;
  EXPECT_EQ(Grow(1 << 20).error().code(), ErrorCode::kNoSpace);
  store_.total_bytes = 0;
  EXPECT_TRUE(Grow(1 << 20).ok());
}

TEST_F(SpaceAccountTest, GrowthLeavesAReserveOnTheMedium) {
  store_.available_bytes = SpaceAccount::kMediumReserveBytes + 8192;
  EXPECT_TRUE(Grow(4096).ok());
  store_.available_bytes = SpaceAccount::kMediumReserveBytes + 4095;
  const Status full = Grow(4096);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(account_.used_bytes(), 4096u);
}

TEST_F(SpaceAccountTest, WhatShrinksNeedsNoRoom) {
  store_.available_bytes = SpaceAccount::kMediumReserveBytes + 8192;
  ASSERT_TRUE(Grow(8192).ok());
  store_.available_bytes = 0;
  EXPECT_TRUE(Grow(-4096).ok());
  EXPECT_EQ(account_.used_bytes(), 4096u);
}

TEST_F(SpaceAccountTest, WhatIsNotCountedNeedsRoomOnTheMedium) {
  const auto grow = [&](int64_t uncounted_bytes) {
    SpaceAccount::Operation operation(account_);
    Status reserved = operation.Reserve({.uncounted_bytes = uncounted_bytes});
    if (reserved) operation.Commit();
    return reserved;
  };
  store_.available_bytes = SpaceAccount::kMediumReserveBytes + 4095;
  const Status full = grow(4096);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code(), ErrorCode::kNoSpace);
  EXPECT_TRUE(grow(-4096).ok());
  EXPECT_TRUE(grow(4095).ok());
  EXPECT_EQ(account_.used_bytes(), 0u);
}

TEST_F(SpaceAccountTest, TheMediumIsAskedSeldomWhereItHasRoom) {
  store_.available_bytes = uint64_t{1} << 40;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(Grow(4096).ok());
  EXPECT_LE(store_.asked, 2);
}

}  // namespace
}  // namespace tifs::fs
