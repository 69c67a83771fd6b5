#include "kv/mem_kv.h"

#include <gtest/gtest.h>

namespace tifs::kv {
namespace {

class MemKvTest : public ::testing::Test {
 protected:
  void Put(std::string_view key, std::string_view value) {
    auto transaction = store_.Begin();
    ASSERT_TRUE((*transaction)->Put(key, value));
    ASSERT_TRUE((*transaction)->Commit());
  }

  MemKv store_;
};

TEST_F(MemKvTest, KeepsOneVersionOfAKeyThatNobodyReads) {
  for (int i = 0; i < 10; ++i) Put("a", "v");
  EXPECT_EQ(store_.VersionCount(), 1u);
}

TEST_F(MemKvTest, KeepsWhatASnapshotMayReadUntilItEnds) {
  Put("a", "1");
  auto reader = *store_.Begin();
  for (int i = 0; i < 10; ++i) Put("a", "2");
  EXPECT_GE(store_.VersionCount(), 2u);
  EXPECT_EQ((*reader->Get("a"))->view(), "1");
  reader.reset();
  EXPECT_EQ(store_.VersionCount(), 1u);
}

TEST_F(MemKvTest, OlderSnapshotKeepsMoreThanANewerOne) {
  Put("a", "1");
  auto older = *store_.Begin();
  Put("a", "2");
  auto newer = *store_.Begin();
  Put("a", "3");
  EXPECT_EQ(store_.VersionCount(), 3u);
  EXPECT_EQ((*older->Get("a"))->view(), "1");
  older.reset();
  EXPECT_EQ(store_.VersionCount(), 2u);
  EXPECT_EQ((*newer->Get("a"))->view(), "2");
  newer.reset();
  EXPECT_EQ(store_.VersionCount(), 1u);
}

TEST_F(MemKvTest, RemembersALockWhileItDropsAnOlderVersion) {
  Put("a", "1");
  auto oldest = *store_.Begin();
  Put("a", "2");
  auto writer = *store_.Begin();
  auto locker = *store_.Begin();
  ASSERT_TRUE(locker->Lock("a"));
  ASSERT_TRUE(locker->Commit());
  oldest.reset();
  ASSERT_TRUE(writer->Put("a", "3"));
  EXPECT_EQ(writer->Commit().error().code(), ErrorCode::kConflict);
}

TEST_F(MemKvTest, ForgetsDeletedAndLockedKeys) {
  Put("a", "1");
  {
    auto reader = *store_.Begin();
    auto transaction = *store_.Begin();
    ASSERT_TRUE(transaction->Delete("a"));
    ASSERT_TRUE(transaction->Lock("b"));
    ASSERT_TRUE(transaction->Commit());
    transaction.reset();
    EXPECT_EQ(store_.VersionCount(), 3u)
        << "the reader needs them: the value, the deletion, the lock";
  }
  EXPECT_EQ(store_.VersionCount(), 0u);
}

TEST_F(MemKvTest, LimitsAreThoseGiven) {
  MemKv store({.max_key_bytes = 2, .max_value_bytes = 3, .max_transaction_bytes = 10});
  auto transaction = *store.Begin();
  EXPECT_TRUE(transaction->Put("ab", "123"));
  EXPECT_FALSE(transaction->Put("abc", ""));
  EXPECT_FALSE(transaction->Put("a", "1234"));
  EXPECT_EQ(store.limits().max_key_bytes, 2u);
}

}  // namespace
}  // namespace tifs::kv
