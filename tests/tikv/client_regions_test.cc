// The client and the cluster's shape: regions that split, merge and move, stores and PD that stop.
#include "kv/kv.h"
#include "tests/tikv/client_fixture.h"

namespace tifs::tikv_store {
namespace {

using kv::Direction;

class ClientRegionsTest : public ClientTest {
 protected:
  void SetUp() override {
    client_ = NewClient(Way::kTwoPhases);
    for (char c = 'a'; c <= 'z'; ++c) {
      Must(Put(*client_.store, {{std::string(1, c), "v"}}));
    }
  }
  void ExpectAllThere() {
    auto transaction = Must(client_.store->Begin());
    EXPECT_EQ(ScanKeys(*transaction, Direction::kForward), "abcdefghijklmnopqrstuvwxyz");
    EXPECT_EQ(ScanKeys(*transaction, Direction::kBackward), "zyxwvutsrqponmlkjihgfedcba");
    EXPECT_EQ(ScanKeys(*transaction, Direction::kForward, 3), "abc");
    EXPECT_EQ(ScanKeys(*transaction, Direction::kBackward, 3), "zyx");
    const std::vector<std::string_view> keys = {"z", "nothing", "a", "m"};
    const auto values = Must(transaction->BatchGet(keys));
    EXPECT_EQ(values[0]->view(), "v");
    EXPECT_FALSE(values[1]);
    EXPECT_EQ(values[2]->view(), "v");
    EXPECT_EQ(values[3]->view(), "v");
    EXPECT_EQ(Get(*transaction, "q"), "v");
  }

  Client client_;
};

TEST_F(ClientRegionsTest, FollowsSplitsAndMerges) {
  for (const char* key : {"c", "m", "n", "x"}) {
    cluster_.Split(Key(key));
    ExpectAllThere();
  }
  EXPECT_EQ(cluster_.RegionCount(), 5u);
  cluster_.Merge(Key("c"));
  ExpectAllThere();
  cluster_.Merge(Key("a"));
  ExpectAllThere();
}

TEST_F(ClientRegionsTest, FollowsLeaders) {
  cluster_.Split(Key("m"));
  ExpectAllThere();
  for (size_t store : {1, 2, 0}) {
    cluster_.MoveLeader(Key("a"), store);
    cluster_.MoveLeader(Key("z"), (store + 1) % 3);
    ExpectAllThere();
    Must(Put(*client_.store, {{"a", "v"}, {"z", "v"}}));
  }
}

TEST_F(ClientRegionsTest, GoesOnWhenStoresStopAndStart) {
  cluster_.Split(Key("m"));
  for (size_t store : {0, 1, 2, 0}) {
    cluster_.Stop({Node::Kind::kStore, store});
    ExpectAllThere();
    Must(Put(*client_.store, {{"b", "v"}, {"y", "v"}}));
    cluster_.Start({Node::Kind::kStore, store});
  }
}

TEST_F(ClientRegionsTest, GoesOnWhenPdsLeaderMovesOrStops) {
  cluster_.MovePdLeader();
  ExpectAllThere();
  cluster_.Stop({Node::Kind::kPd, 1});
  ExpectAllThere();
  cluster_.Start({Node::Kind::kPd, 1});
  cluster_.Stop({Node::Kind::kPd, 0});
  Must(Put(*client_.store, {{"b", "v"}}));
  ExpectAllThere();
}

TEST_F(ClientRegionsTest, GivesUpAtTheDeadlineWhenNobodyAnswers) {
  ExpectAllThere();
  for (size_t store : {0, 1, 2}) cluster_.Stop({Node::Kind::kStore, store});
  const auto before = clock_.Monotonic();
  EXPECT_EQ(client_.store->GetLatest("a").error().code(), ErrorCode::kUnavailable);
  EXPECT_LE(clock_.Monotonic() - before, seconds(20));
  const Status status = Put(*client_.store, {{"a", "lost"}});
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
  for (size_t store : {0, 1, 2}) cluster_.Start({Node::Kind::kStore, store});
  client_.store->DrainCleanup();
  ExpectAllThere();
}

TEST_F(ClientRegionsTest, SurvivesEachRegionErrorAtEachCall) {
  cluster_.Split(Key("m"));
  for (const Fault fault :
       {Fault::kDrop, Fault::kLoseReply, Fault::kNotLeader, Fault::kNotLeaderUnknown,
        Fault::kEpochNotMatch, Fault::kEpochNotMatchUnknown, Fault::kRegionNotFound,
        Fault::kKeyNotInRegion, Fault::kStoreNotMatch, Fault::kServerIsBusy, Fault::kStaleCommand,
        Fault::kMaxTimestampNotSynced, Fault::kDataIsNotReady, Fault::kReadIndexNotReady,
        Fault::kProposalInMergingMode, Fault::kUndeterminedDone, Fault::kUndeterminedNotDone,
        Fault::kSplit, Fault::kMoveLeader}) {
    for (const char* method : {"KvGet", "KvBatchGet", "KvScan"}) {
      cluster_.Script(method, fault, 2);
      ExpectAllThere();
    }
    for (const char* method : {"KvPrewrite", "KvCommit"}) {
      cluster_.Script(method, fault, 2);
      Must(Put(*client_.store, {{"a", "v"}, {"z", "v"}}));
      client_.store->DrainCleanup();
    }
  }
}

TEST_F(ClientRegionsTest, AsksThePeersInTurnWhereNoLeaderIsKnown) {
  cluster_.MoveLeader(Key("a"), 2);
  cluster_.Script("KvGet", Fault::kNotLeaderUnknown, 5);
  EXPECT_EQ(GetLatest(*client_.store, "a"), "v");
}

TEST_F(ClientRegionsTest, FullDisksAndOversizedEntriesAreErrors) {
  cluster_.Script("KvPrewrite", Fault::kDiskFull);
  EXPECT_EQ(Put(*client_.store, {{"a", "w"}}).error().code(), ErrorCode::kNoSpace);
  cluster_.Script("KvPrewrite", Fault::kRaftEntryTooLarge);
  EXPECT_EQ(Put(*client_.store, {{"a", "w"}}).error().code(), ErrorCode::kTooLarge);
  client_.store->DrainCleanup();
  ExpectAllThere();
  // Several keys are sent in smaller requests.
  const std::string large(600'000, 'l');
  cluster_.Script("KvPrewrite", Fault::kRaftEntryTooLarge);
  Must(Put(*client_.store, {{"a", large}, {"b", "2"}, {"c", "3"}}));
  EXPECT_EQ(GetLatest(*client_.store, "a"), large);
}

TEST_F(ClientRegionsTest, ASecondLookupOfARegionAsksNobody) {
  ExpectAllThere();
  const size_t asked = cluster_.CountOf("GetRegion");
  ExpectAllThere();
  EXPECT_EQ(cluster_.CountOf("GetRegion"), asked);
}

TEST_F(ClientRegionsTest, KeyspacesAreApart) {
  TikvOptions options = OptionsOf(Way::kTwoPhases);
  options.keyspace = 2;
  Client other = NewClient(options);
  EXPECT_EQ(Get(*other.store, "a"), std::nullopt);
  Must(Put(*other.store, {{"own", "1"}}));
  EXPECT_EQ(ScanKeys(*Must(other.store->Begin()), Direction::kForward), "own");
  EXPECT_EQ(ScanKeys(*Must(other.store->Begin()), Direction::kBackward), "own");
  ExpectAllThere();
}

TEST_F(ClientRegionsTest, SpaceIsWhatTheStoresHaveForEachReplica) {
  const kv::SpaceUsage space = Must(client_.store->Space());
  EXPECT_EQ(space.total_bytes, uint64_t{300} << 30);
  EXPECT_EQ(space.available_bytes, uint64_t{200} << 30);
}

TEST_F(ClientRegionsTest, ForeignOptionsAreRefused) {
  for (const char* address : {"", "pd", "pd:", ":2379"}) {
    TikvOptions options;
    if (*address != 0) options.pd_addresses = {address};
    EXPECT_EQ(TikvKv::Open(options, MakeLoopbackTransport(cluster_), clock_).error().code(),
              ErrorCode::kInvalid);
  }
  TikvOptions nobody{.pd_addresses = {"nobody:1"}};
  EXPECT_EQ(TikvKv::Open(nobody, MakeLoopbackTransport(cluster_), clock_).error().code(),
            ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace tifs::tikv_store
