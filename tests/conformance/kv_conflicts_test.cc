#include "kv_conformance.h"

namespace tifs::kv {
namespace {

template <typename T>
class KvConflictsTest : public KvTest<T> {};
TYPED_TEST_SUITE(KvConflictsTest, Stores);

TYPED_TEST(KvConflictsTest, FirstCommitterOfAKeyWins) {
  this->Put("a", "0");
  auto first = this->Begin();
  auto second = this->Begin();
  this->Get(*first, "a");
  this->Get(*second, "a");
  Must(first->Put("a", "first"));
  Must(second->Put("a", "second"));
  Must(second->Put("other", "second"));
  this->ExpectCommits(*first);
  this->ExpectConflict(*second);
  EXPECT_EQ(this->Get("a"), "first");
  EXPECT_EQ(this->Get("other"), std::nullopt) << "a conflict changes nothing";
}

TYPED_TEST(KvConflictsTest, OrderOfCommitsDecidesNotOrderOfBegins) {
  auto first = this->Begin();
  auto second = this->Begin();
  this->Get(*first, "a");
  this->Get(*second, "a");
  Must(first->Put("a", "first"));
  Must(second->Put("a", "second"));
  this->ExpectCommits(*second);
  this->ExpectConflict(*first);
  EXPECT_EQ(this->Get("a"), "second");
}

TYPED_TEST(KvConflictsTest, DeletesAreWrites) {
  this->Put("a", "0");
  auto put = this->Begin();
  auto remove = this->Begin();
  this->Get(*put, "a");
  this->Get(*remove, "a");
  Must(put->Put("a", "1"));
  Must(remove->Delete("a"));
  this->ExpectCommits(*remove);
  this->ExpectConflict(*put);
  EXPECT_EQ(this->Get("a"), std::nullopt);

  auto absent = this->Begin();
  auto creates = this->Begin();
  this->Get(*absent, "b");
  this->Get(*creates, "b");
  Must(absent->Delete("b"));
  Must(creates->Put("b", "1"));
  this->ExpectCommits(*absent);
  this->ExpectConflict(*creates);
}

TYPED_TEST(KvConflictsTest, ValueThatIsPutBackStillConflicts) {
  this->Put("a", "0");
  auto transaction = this->Begin();
  this->Get(*transaction, "a");
  this->Put("a", "1");
  this->Put("a", "0");
  Must(transaction->Put("a", "2"));
  this->ExpectConflict(*transaction);
}

TYPED_TEST(KvConflictsTest, CreatingAndRemovingTheKeyMeanwhileConflicts) {
  auto transaction = this->Begin();
  this->Get(*transaction, "a");
  this->Put("a", "1");
  this->Delete("a");
  Must(transaction->Put("a", "2"));
  this->ExpectConflict(*transaction);
  EXPECT_EQ(this->Get("a"), std::nullopt);
}

TYPED_TEST(KvConflictsTest, OneAfterTheOtherNeverConflicts) {
  for (int i = 0; i < 50; ++i) {
    auto transaction = this->Begin();
    this->Get(*transaction, "a");
    Must(transaction->Lock("lock"));
    Must(transaction->Put("a", std::to_string(i)));
    this->ExpectCommits(*transaction);
  }
}

TYPED_TEST(KvConflictsTest, ReadsAloneConflictWithNothing) {
  this->Put("a", "0");
  auto reader = this->Begin();
  this->Get(*reader, "a");
  this->Put("a", "1");
  this->ExpectCommits(*reader);

  auto writer_of_another = this->Begin();
  this->Get(*writer_of_another, "a");
  this->Scan(*writer_of_another, {});
  this->Put("a", "2");
  Must(writer_of_another->Put("b", "1"));
  this->ExpectCommits(*writer_of_another);
}

TYPED_TEST(KvConflictsTest, WriteAfterACommittedLockConflicts) {
  this->Put("a", "0");
  auto locks = this->Begin();
  auto writes = this->Begin();
  this->Get(*locks, "a");
  this->Get(*writes, "a");
  Must(locks->Lock("a"));
  Must(locks->Put("b", "1"));
  Must(writes->Put("a", "1"));
  this->ExpectCommits(*locks);
  this->ExpectConflict(*writes);
  EXPECT_EQ(this->Get("a"), "0");
}

TYPED_TEST(KvConflictsTest, LockAfterACommittedWriteConflicts) {
  this->Put("a", "0");
  auto locks = this->Begin();
  auto writes = this->Begin();
  this->Get(*locks, "a");
  this->Get(*writes, "a");
  Must(locks->Lock("a"));
  Must(locks->Put("b", "1"));
  Must(writes->Put("a", "1"));
  this->ExpectCommits(*writes);
  this->ExpectConflict(*locks);
  EXPECT_EQ(this->Get("b"), std::nullopt);
}

TYPED_TEST(KvConflictsTest, LocksDoNotConflictWithLocks) {
  if (!this->kLocksAreShared) GTEST_SKIP() << "locks of this store exclude each other";
  auto first = this->Begin();
  auto second = this->Begin();
  this->Get(*first, "a");
  this->Get(*second, "a");
  Must(first->Lock("a"));
  Must(first->Put("b", "1"));
  Must(second->Lock("a"));
  Must(second->Put("c", "1"));
  this->ExpectCommits(*first);
  this->ExpectCommits(*second);
}

TYPED_TEST(KvConflictsTest, LockOfAnAbsentKeyGuardsItsAbsence) {
  auto locks = this->Begin();
  auto creates = this->Begin();
  this->Get(*locks, "a");
  this->Get(*creates, "a");
  Must(locks->Lock("a"));
  Must(locks->Put("b", "1"));
  Must(creates->Put("a", "1"));
  this->ExpectCommits(*locks);
  this->ExpectConflict(*creates);
}

TYPED_TEST(KvConflictsTest, TransactionOfLocksAloneCounts) {
  auto writes = this->Begin();
  this->Get(*writes, "a");
  auto locks = this->Begin();
  this->Get(*locks, "a");
  Must(locks->Lock("a"));
  this->ExpectCommits(*locks);
  Must(writes->Put("a", "1"));
  this->ExpectConflict(*writes);

  auto late = this->Begin();
  this->Get(*late, "a");
  this->Put("a", "2");
  Must(late->Lock("a"));
  this->ExpectConflict(*late);
}

TYPED_TEST(KvConflictsTest, KeyBothLockedAndWrittenIsWritten) {
  for (bool lock_first : {true, false}) {
    auto both = this->Begin();
    auto locks = this->Begin();
    this->Get(*both, "a");
    this->Get(*locks, "a");
    if (lock_first) Must(both->Lock("a"));
    Must(both->Put("a", "1"));
    if (!lock_first) Must(both->Lock("a"));
    Must(locks->Lock("a"));
    Must(locks->Put("b", "1"));
    this->ExpectCommits(*both);
    this->ExpectConflict(*locks);
    EXPECT_EQ(this->Get("a"), "1");
  }
}

TYPED_TEST(KvConflictsTest, LockStaysInTheWayOfEverySnapshotBeforeIt) {
  auto oldest = this->Begin();
  this->Get(*oldest, "a");
  {
    auto locks = this->Begin();
    Must(locks->Lock("a"));
    Must(locks->Put("b", "1"));
    Must(locks->Commit());
  }
  this->Put("c", "1");
  this->Begin().reset();
  Must(oldest->Put("a", "1"));
  this->ExpectConflict(*oldest);
}

// x and y are both on; each transaction switches one off after it saw the other one on.
template <typename Test>
void SwitchOff(Test& test, Transaction& transaction, std::string_view off,
               std::string_view must_be_on, bool lock) {
  EXPECT_EQ(test.Get(transaction, must_be_on), "on");
  if (lock) Must(transaction.Lock(must_be_on));
  Must(transaction.Put(off, "off"));
}

template <typename T>
class KvWriteSkewTest : public KvTest<T> {
 public:
  using KvTest<T>::Get;

 protected:
  // How many of two overlapping switches commit, in one order of their commits or the other.
  int Commits(bool first_locks, bool second_locks, bool second_commits_first) {
    this->Put("x", "on");
    this->Put("y", "on");
    auto first = this->Begin();
    auto second = this->Begin();
    SwitchOff(*this, *first, "x", "y", first_locks);
    SwitchOff(*this, *second, "y", "x", second_locks);
    if (second_commits_first) std::swap(first, second);
    const bool earlier = first->Commit().ok();
    const bool later = second->Commit().ok();
    EXPECT_TRUE(earlier);
    const int off = (this->Get("x") == "off") + (this->Get("y") == "off");
    EXPECT_EQ(off, earlier + later);
    return earlier + later;
  }
};
TYPED_TEST_SUITE(KvWriteSkewTest, Stores);

TYPED_TEST(KvWriteSkewTest, HappensWithoutLocks) {
  EXPECT_EQ(this->Commits(false, false, false), 2);
  EXPECT_EQ(this->Commits(false, false, true), 2);
}

TYPED_TEST(KvWriteSkewTest, IsPreventedByLocksInBothCommitOrders) {
  EXPECT_EQ(this->Commits(true, true, false), 1);
  EXPECT_EQ(this->Commits(true, true, true), 1);
}

TYPED_TEST(KvWriteSkewTest, OneLockIsEnoughInBothCommitOrders) {
  EXPECT_EQ(this->Commits(true, false, false), 1);
  EXPECT_EQ(this->Commits(true, false, true), 1);
  EXPECT_EQ(this->Commits(false, true, false), 1);
  EXPECT_EQ(this->Commits(false, true, true), 1);
}

}  // namespace
}  // namespace tifs::kv
