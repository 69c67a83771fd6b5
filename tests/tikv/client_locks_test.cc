// What readers and writers do about locks: of the living, of the dead, of those that have ended.
#include <algorithm>
#include <future>

#include "tests/tikv/client_fixture.h"

namespace tifs::tikv_store {
namespace {

using kv::Direction;

class ClientLocksTest : public ClientTest {
 protected:
  void SetUp() override {
    client_ = NewClient(Way::kTwoPhases);
    Must(Put(*client_.store, {{"a", "old"}, {"z", "old"}}));
  }
  // All ways to read, which must agree and leave no lock.
  void ExpectBoth(const std::string& value) {
    EXPECT_EQ(GetLatest(*client_.store, "z"), value);
    EXPECT_EQ(GetLatest(*client_.store, "a"), value);
    EXPECT_EQ(Get(*client_.store, "a"), value);
    EXPECT_EQ(Get(*client_.store, "z"), value);
    EXPECT_EQ(cluster_.LockCount(), 0u);
  }

  Client client_;
};

TEST_F(ClientLocksTest, TheDeadAreRolledBackWhenTheirLocksExpire) {
  cluster_.Script("KvCommit", Fault::kDrop);
  DieAt("KvCommit", Way::kTwoPhases);
  EXPECT_EQ(cluster_.LockCount(), 2u);
  ExpectBoth("old");
}

TEST_F(ClientLocksTest, ScansAndBatchesMeetTheLocksOfTheDead) {
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    cluster_.Script("KvCommit", Fault::kDrop);
    DieAt("KvCommit", Way::kTwoPhases);
    EXPECT_EQ(ScanKeys(*Must(client_.store->Begin()), direction),
              direction == Direction::kForward ? "az" : "za");
    EXPECT_EQ(cluster_.LockCount(), 0u);
  }
  cluster_.Script("KvCommit", Fault::kDrop);
  DieAt("KvCommit", Way::kTwoPhases);
  const std::vector<std::string_view> keys = {"a", "z"};
  const auto values = Must(Must(client_.store->Begin())->BatchGet(keys));
  EXPECT_EQ(values[0]->view(), "old");
  EXPECT_EQ(values[1]->view(), "old");
  ExpectBoth("old");
}

TEST_F(ClientLocksTest, TheDeadAreCommittedIfTheirPrimaryIs) {
  DieAt("KvCommit", Way::kTwoPhases);
  EXPECT_EQ(cluster_.LockCount(), 1u);
  const auto before = clock_.Monotonic();
  ExpectBoth("new");
  EXPECT_LT(clock_.Monotonic() - before, seconds(1)) << "there is nothing to wait for";
}

TEST_F(ClientLocksTest, AsyncCommitsOfTheDeadStandIfAllIsLocked) {
  cluster_.Script("KvCommit", Fault::kDrop, 2);
  DieAt("KvCommit", Way::kAsync);
  EXPECT_EQ(cluster_.LockCount(), 2u);
  ExpectBoth("new");
  EXPECT_GT(cluster_.CountOf("KvCheckSecondaryLocks"), 0u);
}

TEST_F(ClientLocksTest, AsyncCommitsOfTheDeadFallIfALockIsMissing) {
  DieAt("KvPrewrite", Way::kAsync);
  EXPECT_EQ(cluster_.LockCount(), 1u);
  ExpectBoth("old");
}

TEST_F(ClientLocksTest, AWriterRemovesTheLocksOfTheDead) {
  cluster_.Script("KvCommit", Fault::kDrop);
  DieAt("KvCommit", Way::kTwoPhases);
  clock_.Advance(seconds(30));
  Must(Put(*client_.store, {{"a", "written"}, {"z", "written"}}));
  client_.store->DrainCleanup();
  ExpectBoth("written");
}

TEST_F(ClientLocksTest, ReadersPassALiveTransactionAndAreNotContradicted) {
  cluster_.Split(Key("m"));
  Client writer = NewClient(Way::kTwoPhases);
  std::unique_ptr<Transaction> reader;
  ExpectBoth("old");
  cluster_.Before("KvCommit", [&] {
    reader = Must(client_.store->Begin());
    const auto before = clock_.Monotonic();
    EXPECT_EQ(Get(*reader, "a"), "old");
    EXPECT_EQ(Get(*reader, "z"), "old");
    EXPECT_EQ(GetLatest(*client_.store, "a"), "old");
    EXPECT_EQ(GetLatest(*client_.store, "z"), "old");
    EXPECT_EQ(clock_.Monotonic(), before) << "nobody waits";
  });
  Must(Put(*writer.store, {{"a", "new"}, {"z", "new"}}));
  // It was pushed above the reader, and took a new timestamp.
  EXPECT_EQ(Get(*reader, "a"), "old");
  EXPECT_EQ(Get(*reader, "z"), "old");
  writer.store->DrainCleanup();
  EXPECT_GE(cluster_.CountOf("KvCommit"), 3u);
  ExpectBoth("new");
}

TEST_F(ClientLocksTest, ReadersBelowAnAsyncCommitPassIt) {
  cluster_.Split(Key("m"));
  Client writer = NewClient(Way::kAsync);
  auto reader = Must(client_.store->Begin());
  EXPECT_EQ(Get(*reader, "a"), "old");
  EXPECT_EQ(Get(*reader, "z"), "old");
  cluster_.Script("KvCommit", Fault::kDrop, 4);
  Must(Put(*writer.store, {{"a", "new"}, {"z", "new"}}));
  EXPECT_EQ(Get(*reader, "a"), "old");
  EXPECT_EQ(Get(*reader, "z"), "old");
  EXPECT_EQ(Get(*client_.store, "z"), "new");
  EXPECT_EQ(Get(*client_.store, "a"), "new");
}

TEST_F(ClientLocksTest, TheOlderOfTwoWritersGivesUpAtOnce) {
  Client other = NewClient(Way::kTwoPhases);
  auto older = Must(client_.store->Begin());
  EXPECT_EQ(Get(*older, "a"), "old");
  Must(older->Put("a", "older"));
  Must(older->Put("z", "older"));
  cluster_.Before("KvCommit", [&] {
    const auto before = clock_.Monotonic();
    EXPECT_EQ(older->Commit().error().code(), ErrorCode::kConflict);
    EXPECT_EQ(clock_.Monotonic(), before);
    EXPECT_FALSE(Must(older->DetermineCommit()));
  });
  Must(Put(*other.store, {{"a", "younger"}, {"z", "younger"}}));
  other.store->DrainCleanup();
  client_.store->DrainCleanup();
  ExpectBoth("younger");
}

TEST_F(ClientLocksTest, TheYoungerOfTwoWritersWaits) {
  Client other = NewClient(Way::kTwoPhases);
  auto older = Must(client_.store->Begin());
  EXPECT_EQ(Get(*older, "a"), "old");
  Must(older->Put("a", "older"));
  // The older one stands still until its lock has expired.
  cluster_.Before("KvCommit", [&] {
    const auto before = clock_.Monotonic();
    Must(Put(*other.store, {{"a", "younger"}, {"z", "younger"}}));
    EXPECT_GE(clock_.Monotonic() - before, seconds(2));
  });
  EXPECT_EQ(older->Commit().error().code(), ErrorCode::kConflict);
  EXPECT_FALSE(Must(older->DetermineCommit()));
  other.store->DrainCleanup();
  client_.store->DrainCleanup();
  ExpectBoth("younger");
}

TEST_F(ClientLocksTest, OwnCommitsOnTheirWayNeedNoQuestion) {
  cluster_.Split(Key("m"));
  cluster_.Script("KvCommit", Fault::kNone);
  cluster_.Script("KvCommit", Fault::kDiskFull);  // the secondary's
  Must(Put(*client_.store, {{"a", "new"}, {"z", "new"}}));
  client_.store->DrainCleanup();
  EXPECT_EQ(cluster_.LockCount(), 1u);
  const size_t asked = cluster_.CountOf("KvCheckTxnStatus");
  ExpectBoth("new");
  EXPECT_EQ(cluster_.CountOf("KvCheckTxnStatus"), asked);
}

TEST_F(ClientLocksTest, PrimaryThatIsNotThereYetIsWaitedFor) {
  // The secondary's prewrite has arrived, the primary's has not.
  cluster_.Split(Key("m"));
  Client writer = NewClient(Way::kTwoPhases);
  TikvOptions impatient = OptionsOf(Way::kTwoPhases);
  impatient.operation_timeout = seconds(1);
  Client reader = NewClient(impatient);
  cluster_.Script("KvPrewrite", Fault::kDrop);
  cluster_.Script("KvPrewrite", Fault::kNone);
  cluster_.Before("KvPrewrite", [&] {
    cluster_.Before("KvPrewrite", [&] {
      cluster_.Before("KvPrewrite", [&] {
        EXPECT_EQ(cluster_.LockCount(), 1u);
        EXPECT_EQ(Must(reader.store->Begin())->Get("z").error().code(), ErrorCode::kUnavailable);
      });
    });
  });
  Must(Put(*writer.store, {{"a", "new"}, {"z", "new"}}));
  writer.store->DrainCleanup();
  client_.store->DrainCleanup();
  ExpectBoth("new");
}

TEST_F(ClientLocksTest, APrimaryThatNeverCameIsRolledBackForGood) {
  cluster_.Split(Key("m"));
  {
    Client writer = NewClient(Way::kTwoPhases);
    cluster_.Script("KvPrewrite", Fault::kLate);
    cluster_.Before("KvPrewrite", [&, dead = writer.dead] {
      cluster_.Before("KvPrewrite", [dead] { dead->store(true); });
    });
    (void)Put(*writer.store, {{"a", "new"}, {"z", "new"}});
  }
  ExpectBoth("old");
  for (int i = 0; i < 10; ++i) ExpectBoth("old");
}

// On the real clock: the thread that sends heartbeats sleeps by it.
TEST_F(ClientLocksTest, HeartbeatsKeepTheLocksOfALongCommit) {
  Cluster cluster(1, SystemClock());
  TikvOptions options = OptionsOf(Way::kTwoPhases);
  options.lock_ttl = milliseconds(60);
  auto store = Must(TikvKv::Open(options, MakeLoopbackTransport(cluster), SystemClock()));
  auto reader = Must(TikvKv::Open(options, MakeLoopbackTransport(cluster), SystemClock()));
  cluster.Before("KvCommit", [&] {
    for (int beat = 0; beat < 4; ++beat) {
      auto came = std::make_shared<std::promise<void>>();
      cluster.Before("KvTxnHeartBeat", [came] { came->set_value(); });
      came->get_future().wait();
    }
    EXPECT_EQ(Get(*reader, "a"), std::nullopt);
  });
  Must(Put(*store, {{"a", "1"}}));
  EXPECT_EQ(Get(*reader, "a"), "1");
}

// A store that answers a scan over a locked key with that lock and nothing else, as TiKV did before
// 5.0.
class LockAloneTransport : public MortalTransport {
 public:
  using MortalTransport::MortalTransport;
  void Call(const std::string& address, const char* method, const kv::tikv::Message& request,
            kv::tikv::Message& response, std::chrono::nanoseconds timeout, Done done) override {
    MortalTransport::Call(address, method, request, response, timeout, [&](Status status) {
      if (std::string_view(method) == "/tikvpb.Tikv/KvScan") {
        auto& pairs = *static_cast<kvrpcpb::ScanResponse&>(response).mutable_pairs();
        const auto locked = std::ranges::find_if(pairs, &kvrpcpb::KvPair::has_error);
        if (locked != pairs.end()) {
          const kvrpcpb::KvPair alone = *locked;
          pairs.Clear();
          *pairs.Add() = alone;
        }
      }
      done(std::move(status));
    });
  }
};

TEST_F(ClientLocksTest, AScanMissesNothingWhereTheStoreAnswersByALockAlone) {
  const auto dead = std::make_shared<std::atomic<bool>>(false);
  for (const auto direction : {kv::Direction::kForward, kv::Direction::kBackward}) {
    Client client = NewClient(Way::kTwoPhases);
    Must(Put(*client.store, {{"A", "1"}, {"a", "1"}, {"b", "1"}}));
    DieAt("KvPrewrite", Way::kTwoPhases);
    EXPECT_EQ(cluster_.LockCount(), 1u);
    auto store = Must(TikvKv::Open(OptionsOf(Way::kTwoPhases),
                                   std::make_unique<LockAloneTransport>(cluster_, dead), clock_));
    const bool forward = direction == kv::Direction::kForward;
    EXPECT_EQ(ScanKeys(*Must(store->Begin()), direction), forward ? "Aabz" : "zbaA");
  }
}

}  // namespace
}  // namespace tifs::tikv_store
