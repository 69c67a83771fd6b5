// Commits by each way, and what is reported when requests and answers are lost or late.
#include "kv/run_transaction.h"
#include "tests/tikv/client_fixture.h"

namespace tifs::tikv_store {
namespace {

class ClientCommitTest : public ClientTest {
 protected:
  void SetUp() override {
    reader_ = NewClient(Way::kTwoPhases);
    cluster_.Split(Key("m"));
  }
  // Of one region in one phase, else of two.
  static std::vector<std::pair<std::string, std::string>> PairsOf(Way way) {
    if (way == Way::kOnePhase) return {{"a", "new"}, {"b", "new"}};
    return {{"a", "new"}, {"z", "new"}};
  }
  void ExpectCommitted(Way way, bool committed) {
    for (const auto& [key, value] : PairsOf(way)) {
      EXPECT_EQ(Get(*reader_.store, key), committed ? std::optional(value) : std::nullopt);
      EXPECT_EQ(GetLatest(*reader_.store, key), committed ? std::optional(value) : std::nullopt);
    }
  }
  std::unique_ptr<Transaction> Prepared(Client& client, Way way) {
    auto transaction = Must(client.store->Begin());
    for (const auto& [key, value] : PairsOf(way)) Must(transaction->Put(key, value));
    return transaction;
  }
  // The request that decides.
  static std::string Deciding(Way way) {
    return way == Way::kTwoPhases ? "KvCommit" : "KvPrewrite";
  }

  Client reader_;
};

TEST_F(ClientCommitTest, IsSeenByAllWhoBeginAfterIt) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    auto before = Must(reader_.store->Begin());
    EXPECT_EQ(Get(*before, "a"), std::nullopt);
    Must(Put(*client.store, PairsOf(way)));
    ExpectCommitted(way, true);
    EXPECT_EQ(Get(*before, "a"), std::nullopt);
    client.store->DrainCleanup();
    EXPECT_EQ(cluster_.LockCount(), 0u);
    auto remove = Must(client.store->Begin());
    for (const auto& [key, value] : PairsOf(way)) Must(remove->Delete(key));
    Must(remove->Commit());
  }
}

TEST_F(ClientCommitTest, TakesTheRoundTripsThatItShould) {
  const auto requests = [&](const TikvOptions& options, Way way) {
    Client client = NewClient(options);
    for (int i = 0; i < 2; ++i) {
      Must(Put(*client.store, PairsOf(way)));
      client.store->DrainCleanup();
    }
    const size_t before = cluster_.TotalCount();
    Must(Put(*client.store, PairsOf(way)));
    client.store->DrainCleanup();
    return cluster_.TotalCount() - before;
  };
  // A timestamp and one prewrite.
  EXPECT_EQ(requests(OptionsOf(Way::kOnePhase), Way::kOnePhase), 2u);
  // A timestamp, two prewrites; two commits behind the reply.
  EXPECT_EQ(requests(OptionsOf(Way::kAsync), Way::kAsync), 5u);
  // Two timestamps, two prewrites, a commit; another behind the reply.
  EXPECT_EQ(requests(OptionsOf(Way::kTwoPhases), Way::kTwoPhases), 6u);
  TikvOptions fresh = OptionsOf(Way::kOnePhase);
  fresh.commit_floor = CommitFloor::kFresh;
  EXPECT_EQ(requests(fresh, Way::kOnePhase), 3u);
}

TEST_F(ClientCommitTest, SplitsCommitsThatAreTooLarge) {
  Client client = NewClient(Way::kTwoPhases);
  cluster_.Script("KvCommit", Fault::kRaftEntryTooLarge);  // all three
  cluster_.Script("KvCommit", Fault::kNone);               // the primary
  cluster_.Script("KvCommit", Fault::kRaftEntryTooLarge);  // the other two
  Must(Put(*client.store, {{"a", "1"}, {"b", "1"}, {"c", "1"}}));
  client.store->DrainCleanup();
  EXPECT_EQ(cluster_.CountOf("KvCommit"), 5u);
  EXPECT_EQ(cluster_.LockCount(), 0u);
  EXPECT_EQ(Get(*client.store, "c"), "1");
}

TEST_F(ClientCommitTest, OnePhaseIsForOneRegionOnly) {
  Client client = NewClient(Way::kOnePhase);
  Must(Put(*client.store, {{"a", "new"}, {"z", "new"}}));
  EXPECT_EQ(cluster_.CountOf("KvCommit") > 0, true);
  ExpectCommitted(Way::kTwoPhases, true);
}

TEST_F(ClientCommitTest, AFreshFloorCommitsAboveAllThatReturnedBefore) {
  for (const CommitFloor floor : {CommitFloor::kFresh, CommitFloor::kStart}) {
    TikvOptions options = OptionsOf(Way::kOnePhase);
    options.commit_floor = floor;
    Client client = NewClient(options);
    const std::string key = floor == CommitFloor::kFresh ? "fresh" : "start";
    auto early = Must(client.store->Begin());
    EXPECT_NE(early->begin_timestamp(), 0u);
    auto snapshot = Must(reader_.store->Begin());
    EXPECT_NE(snapshot->begin_timestamp(), 0u);
    Must(early->Put(key, "1"));
    Must(early->Commit());
    // The snapshot was taken before the commit was called.
    EXPECT_EQ(Get(*snapshot, key).has_value(), floor == CommitFloor::kStart);
    EXPECT_EQ(Get(*reader_.store, key), "1");
  }
}

TEST_F(ClientCommitTest, ALostAnswerToTheDecisionIsNoLostCommit) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    for (const Fault fault : {Fault::kLoseReply, Fault::kUndeterminedDone}) {
      Client client = NewClient(way);
      auto transaction = Prepared(client, way);
      cluster_.Script(Deciding(way), fault, way == Way::kAsync ? 2 : 1);
      Must(transaction->Commit());
      EXPECT_TRUE(Must(transaction->DetermineCommit()));
      ExpectCommitted(way, true);
      auto remove = Must(client.store->Begin());
      for (const auto& [key, value] : PairsOf(way)) Must(remove->Delete(key));
      Must(remove->Commit());
      client.store->DrainCleanup();
    }
  }
}

TEST_F(ClientCommitTest, ADecisionThatDidNotArriveOrIsLateNeverHappens) {
  for (const Way way : {Way::kOnePhase, Way::kAsync}) {
    for (const Fault fault : {Fault::kDrop, Fault::kVeryLate, Fault::kUndeterminedNotDone}) {
      for (const int times : {1, 2}) {
        if (way == Way::kOnePhase && times == 2) continue;
        Client client = NewClient(way);
        auto transaction = Prepared(client, way);
        cluster_.Script("KvPrewrite", fault, times);
        EXPECT_EQ(transaction->Commit().error().code(), ErrorCode::kConflict);
        EXPECT_FALSE(Must(transaction->DetermineCommit()));
        for (int i = 0; i < 5; ++i) ExpectCommitted(way, false);
        client.store->DrainCleanup();
        for (int i = 0; i < 5; ++i) ExpectCommitted(way, false);
      }
    }
  }
}

// It may come before or after the question what became of it.
TEST_F(ClientCommitTest, ADecisionThatIsALittleLateIsReportedAsItTurnsOut) {
  int committed = 0;
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    const Way way = round % 2 == 0 ? Way::kOnePhase : Way::kAsync;
    Client client = NewClient(way);
    auto transaction = Prepared(client, way);
    cluster_.Script("KvPrewrite", Fault::kLate);
    const bool happened = transaction->Commit().ok();
    committed += happened;
    for (int i = 0; i < 4; ++i) ExpectCommitted(way, happened);
    auto remove = Must(client.store->Begin());
    for (const auto& [key, value] : PairsOf(way)) Must(remove->Delete(key));
    Must(remove->Commit());
    client.store->DrainCleanup();
  }
  EXPECT_GT(committed, 0);
  EXPECT_LT(committed, kRounds);
}

TEST_F(ClientCommitTest, ALostPrewriteOfTwoPhasesIsSentAgain) {
  for (const Fault fault : {Fault::kDrop, Fault::kLoseReply, Fault::kLate, Fault::kVeryLate}) {
    Client client = NewClient(Way::kTwoPhases);
    auto transaction = Prepared(client, Way::kTwoPhases);
    cluster_.Script("KvPrewrite", fault, 3);
    Must(transaction->Commit());
    ExpectCommitted(Way::kTwoPhases, true);
    client.store->DrainCleanup();
  }
}

// The client is cut off with the decision, and only later learns what became of it.
TEST_F(ClientCommitTest, WhatIsUndeterminedIsDeterminedLater) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    for (const bool arrives : {true, false}) {
      Client client = NewClient(way);
      auto transaction = Prepared(client, way);
      const Fault fault = arrives ? Fault::kLoseReply : Fault::kDrop;
      cluster_.Script(Deciding(way), fault, 1);
      if (way == Way::kAsync) {
        // The second request is lost, too, and the cut comes with it.
        cluster_.Script(Deciding(way), fault, 1);
        cluster_.Before(Deciding(way), [&] {
          cluster_.Before(Deciding(way), [dead = client.dead] { dead->store(true); });
        });
      } else {
        cluster_.Before(Deciding(way), [dead = client.dead] { dead->store(true); });
      }
      EXPECT_EQ(transaction->Commit().error().code(), ErrorCode::kUndetermined);
      EXPECT_EQ(transaction->DetermineCommit().error().code(), ErrorCode::kUnavailable);
      client.dead->store(false);
      EXPECT_EQ(Must(transaction->DetermineCommit()), arrives);
      EXPECT_EQ(Must(transaction->DetermineCommit()), arrives);
      ExpectCommitted(way, arrives);
      if (arrives) {
        auto remove = Must(client.store->Begin());
        for (const auto& [key, value] : PairsOf(way)) Must(remove->Delete(key));
        Must(remove->Commit());
      }
      client.store->DrainCleanup();
    }
  }
}

TEST_F(ClientCommitTest, WhatOthersRolledBackIsAConflict) {
  Client client = NewClient(Way::kTwoPhases);
  auto transaction = Prepared(client, Way::kTwoPhases);
  // It sleeps between its prewrites and its commit until somebody ends it.
  cluster_.Before("KvCommit", [&] {
    clock_.Advance(seconds(60));
    ExpectCommitted(Way::kTwoPhases, false);
  });
  EXPECT_EQ(transaction->Commit().error().code(), ErrorCode::kConflict);
  ExpectCommitted(Way::kTwoPhases, false);
}

TEST_F(ClientCommitTest, ConflictsAreFoundByEachWayAndLeaveNothing) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    auto transaction = Prepared(client, way);
    EXPECT_NE(transaction->begin_timestamp(), 0u);
    Must(Put(*reader_.store, {{PairsOf(way).back().first, "winner"}}));
    EXPECT_EQ(transaction->Commit().error().code(), ErrorCode::kConflict);
    client.store->DrainCleanup();
    reader_.store->DrainCleanup();
    EXPECT_EQ(cluster_.LockCount(), 0u);
    EXPECT_EQ(Get(*reader_.store, "a"), std::nullopt);
    EXPECT_EQ(Get(*reader_.store, PairsOf(way).back().first), "winner");
  }
}

TEST_F(ClientCommitTest, AsyncCommitFallsBackForManyKeys) {
  Client client = NewClient(Way::kAsync);
  std::vector<std::pair<std::string, std::string>> pairs;
  for (int i = 0; i < 600; ++i) pairs.emplace_back("k" + std::to_string(i), "v");
  Must(Put(*client.store, pairs));
  client.store->DrainCleanup();
  EXPECT_EQ(cluster_.CountOf("KvCommit"), 1u) << "all in the primary's region";
  EXPECT_EQ(Get(*reader_.store, "k599"), "v");
}

TEST_F(ClientCommitTest, LargeTransactionsGoInSeveralRequests) {
  Client client = NewClient(Way::kTwoPhases);
  std::vector<std::pair<std::string, std::string>> pairs;
  for (int i = 0; i < 10; ++i)
    pairs.emplace_back("k" + std::to_string(i), std::string(400'000, 'v'));
  const size_t before = cluster_.CountOf("KvPrewrite");
  Must(Put(*client.store, pairs));
  EXPECT_EQ(cluster_.CountOf("KvPrewrite") - before, 5u);
  EXPECT_EQ(Get(*reader_.store, "k9"), std::string(400'000, 'v'));
}

TEST_F(ClientCommitTest, LocksOnlyGuardWithoutWriting) {
  for (const Way way : {Way::kOnePhase, Way::kAsync, Way::kTwoPhases}) {
    Client client = NewClient(way);
    auto writes = Must(reader_.store->Begin());
    EXPECT_NE(writes->begin_timestamp(), 0u);
    auto locks = Must(client.store->Begin());
    Must(locks->Lock("a"));
    Must(locks->Lock("z"));
    Must(locks->Commit());
    Must(writes->Put("z", "1"));
    EXPECT_EQ(writes->Commit().error().code(), ErrorCode::kConflict);
    EXPECT_EQ(Get(*reader_.store, "z"), std::nullopt);
  }
}

TEST_F(ClientCommitTest, TimeJumpsOfPdDoNoHarm) {
  Client client = NewClient(Way::kAsync);
  Must(Put(*client.store, {{"a", "1"}, {"z", "1"}}));
  cluster_.JumpTime(3'600'000);
  Must(Put(*client.store, {{"a", "2"}, {"z", "2"}}));
  EXPECT_EQ(Get(*reader_.store, "a"), "2");
  EXPECT_EQ(Get(*reader_.store, "z"), "2");
}

// Increments through the retry loop while every kind of fault strikes, by seed: none lost, none
// doubled, whatever the answers were.
TEST_F(ClientCommitTest, NoIncrementIsLostOrDoubledUnderFaults) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const Way way = static_cast<Way>(seed % 3);
    Client client = NewClient(way);
    kv::TransactionRunner runner(*client.store, clock_);
    cluster_.Randomly(seed, 150);
    const std::string first = "a" + std::to_string(seed);
    const std::string second = "z" + std::to_string(seed);
    constexpr int kIncrements = 60;
    for (int i = 0; i < kIncrements; ++i) {
      Must(runner.Run([&](Transaction& transaction) -> Status {
        for (const std::string& key : {first, second}) {
          std::optional<Value> value = TRY(transaction.Get(key));
          const int count = value ? std::stoi(std::string(value->view())) : 0;
          TRY(transaction.Put(key, std::to_string(count + 1)));
        }
        return {};
      }));
    }
    cluster_.Randomly(0, 0);
    EXPECT_EQ(Get(*reader_.store, first), std::to_string(kIncrements));
    EXPECT_EQ(Get(*reader_.store, second), std::to_string(kIncrements));
  }
}

}  // namespace
}  // namespace tifs::tikv_store
