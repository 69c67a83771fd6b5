// Commits that are to happen at a timestamp at the latest, and the end of all that might.
#include <functional>

#include "tests/tikv/client_fixture.h"

namespace tifs::tikv_store {
namespace {

class ClientLimitTest : public ClientTest {
 protected:
  static constexpr milliseconds kAhead{1000};

  void SetUp() override {
    other_ = NewClient(Way::kTwoPhases);
    cluster_.Split(Key("m"));
  }
  // Two keys, of one region for one phase, else of two; other ones each time.
  std::vector<std::string> NewKeys(Way way) {
    const std::string number = std::to_string(++count_);
    return {"a" + number, (way == Way::kOnePhase ? "b" : "z") + number};
  }
  static std::unique_ptr<Transaction> Prepared(Client& client,
                                               const std::vector<std::string>& keys) {
    auto transaction = Must(client.store->Begin());
    for (const std::string& key : keys) Must(transaction->Put(key, "new"));
    transaction->LimitCommit(LimitOf(client, *transaction));
    return transaction;
  }
  static kv::Timestamp LimitOf(Client& client, Transaction& transaction) {
    return *client.store->Ahead(transaction.begin_timestamp(), kAhead);
  }
  std::vector<std::optional<std::string>> Read(const std::vector<std::string>& keys) {
    auto transaction = Must(other_.store->Begin());
    std::vector<std::optional<std::string>> values;
    for (const std::string& key : keys) values.push_back(Get(*transaction, key));
    return values;
  }
  // Calls `action` when the `nth` request of the method from now on is about to be looked at.
  void AtNth(const std::string& method, int nth, std::function<void()> action) {
    cluster_.Before(method, [this, method, nth, action = std::move(action)]() mutable {
      if (nth == 1) {
        action();
      } else {
        AtNth(method, nth - 1, std::move(action));
      }
    });
  }
  static bool Ended(Transaction& transaction) {
    Status status = transaction.Commit();
    if (status) return true;
    if (status.error().code() == ErrorCode::kUndetermined) {
      return Must(transaction.DetermineCommit());
    }
    EXPECT_EQ(status.error().code(), ErrorCode::kConflict) << status.error().ToString();
    return false;
  }

  Client other_;
  int count_ = 0;
};

TEST_F(ClientLimitTest, WhatIsInTimeCommits) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    const auto keys = NewKeys(way);
    EXPECT_TRUE(Ended(*Prepared(client, keys)));
    EXPECT_EQ(Read(keys)[1], "new");
  }
  EXPECT_EQ(cluster_.CommitsBeyondLimit(), 0u);
}

TEST_F(ClientLimitTest, WhatIsLateLeavesNothing) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    const auto keys = NewKeys(way);
    auto late = Prepared(client, keys);
    cluster_.JumpTime(2 * kAhead.count());
    Read(keys);  // whoever has read them has seen that they are not there
    EXPECT_FALSE(Ended(*late));
    client.store->DrainCleanup();
    EXPECT_EQ(Read(keys)[0], std::nullopt);
    EXPECT_EQ(cluster_.LockCount(), 0u);
  }
  EXPECT_EQ(cluster_.CommitsBeyondLimit(), 0u);
}

TEST_F(ClientLimitTest, APausedCommitChangesNothingOnceItIsSettled) {
  int fired = 0;
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    for (const char* method : {"KvPrewrite", "Tso", "KvCommit"}) {
      for (int nth = 1; nth <= 3; ++nth) {
        SCOPED_TRACE(std::string(method) + " " + std::to_string(nth));
        Client client = NewClient(way);
        const auto keys = NewKeys(way);
        auto paused = Prepared(client, keys);
        const kv::Timestamp limit = LimitOf(client, *paused);
        std::vector<std::optional<std::string>> settled;
        AtNth(method, nth, [&] {
          ++fired;
          cluster_.JumpTime(2 * kAhead.count());
          Must(other_.store->SettleUpTo(limit));
          settled = Read(keys);
        });
        const bool committed = Ended(*paused);
        client.store->DrainCleanup();
        cluster_.Before(method, [] {});  // if it came to fewer
        if (settled.empty()) continue;
        EXPECT_EQ(settled[0].has_value(), settled[1].has_value());
        EXPECT_EQ(settled[0].has_value(), committed);
        EXPECT_EQ(Read(keys), settled);
      }
    }
  }
  EXPECT_EQ(cluster_.CommitsBeyondLimit(), 0u);
  // One phase: its prewrite. Async: two prewrites and a secondary's commit behind it. In two
  // phases: two prewrites, the timestamp, both commits.
  EXPECT_GE(fired, 8);
}

TEST_F(ClientLimitTest, ALateRequestOfADeadClientChangesNothing) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    const auto keys = NewKeys(way);
    auto late = Prepared(client, keys);
    const kv::Timestamp limit = LimitOf(client, *late);
    cluster_.JumpTime(2 * kAhead.count());
    Must(other_.store->SettleUpTo(limit));
    EXPECT_FALSE(Ended(*late));
    EXPECT_EQ(Read(keys)[0], std::nullopt);
  }
}

TEST_F(ClientLimitTest, SettlingWaitsUntilTheLimitHasPassed) {
  const kv::Timestamp now = cluster_.NewTimestamp();
  const Status early = other_.store->SettleUpTo(*other_.store->Ahead(now, kAhead));
  EXPECT_EQ(early.error().code(), ErrorCode::kUnavailable);
  cluster_.JumpTime(2 * kAhead.count());
  EXPECT_TRUE(other_.store->SettleUpTo(*other_.store->Ahead(now, kAhead)).ok());
}

TEST_F(ClientLimitTest, SettlingLeavesYoungerTransactionsAlone) {
  Client client = NewClient(Way::kTwoPhases);
  const kv::Timestamp limit = cluster_.NewTimestamp();
  const auto keys = NewKeys(Way::kTwoPhases);
  auto younger = Prepared(client, keys);
  AtNth("KvCommit", 1, [&] { Must(other_.store->SettleUpTo(limit)); });
  EXPECT_TRUE(Ended(*younger));
}

}  // namespace
}  // namespace tifs::tikv_store
