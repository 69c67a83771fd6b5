// Who moves the cluster's GC safe point, how far, and what has ended before.
#include <optional>
#include <thread>

#include "tests/tikv/client_fixture.h"

namespace tifs::tikv_store {
namespace {

using kv::tikv::GcReport;
using std::chrono::hours;
using std::chrono::minutes;
using What = GcReport::What;

class ClientGcTest : public ClientTest {
 protected:
  static Timestamp Back(Timestamp timestamp, milliseconds time) {
    return timestamp - (static_cast<uint64_t>(time.count()) << 18);
  }
  static What Step(Client& client) { return Must(client.store->CollectGarbage()).what; }

  Client client_ = NewClient(Way::kTwoPhases);
};

TEST_F(ClientGcTest, MovesTheSafePointAsFarAsSnapshotsMayLive) {
  clock_.Advance(hours(1));
  const Timestamp before = cluster_.NewTimestamp();
  const GcReport report = Must(client_.store->CollectGarbage());
  EXPECT_EQ(report.what, What::kCollected);
  EXPECT_EQ(report.safe_point, cluster_.GcSafePoint());
  EXPECT_GE(report.safe_point, Back(before, minutes(10) + seconds(1)));
  EXPECT_LE(report.safe_point, Back(cluster_.NewTimestamp(), minutes(10)));
  clock_.Advance(minutes(1));
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_GT(cluster_.GcSafePoint(), report.safe_point);
}

TEST_F(ClientGcTest, OneOfManyClientsIsElectedAndItsLeaseEnds) {
  clock_.Advance(hours(1));
  Client other = NewClient(Way::kOnePhase);
  EXPECT_EQ(Step(client_), What::kCollected);
  clock_.Advance(minutes(4));
  EXPECT_EQ(Step(other), What::kNotElected);
  EXPECT_EQ(Step(client_), What::kCollected);
  clock_.Advance(minutes(6));
  EXPECT_EQ(Step(other), What::kCollected);
  EXPECT_EQ(Step(client_), What::kNotElected);
}

TEST_F(ClientGcTest, WaitsForServicesThatNeedOlderSnapshots) {
  const Timestamp snapshot = cluster_.NewTimestamp();
  Must(client_.store->HoldSnapshots("dump", snapshot, hours(1)));
  clock_.Advance(minutes(30));
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_EQ(cluster_.GcSafePoint(), snapshot);
  EXPECT_EQ(Step(client_), What::kNothingToDo);
  Must(client_.store->HoldSnapshots("dump", snapshot, seconds(0)));
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_GT(cluster_.GcSafePoint(), snapshot);
  const Status late = client_.store->HoldSnapshots("dump", snapshot, hours(1));
  EXPECT_EQ(late.error().code(), ErrorCode::kUnavailable);
}

TEST_F(ClientGcTest, ADeadServiceHoldsNothingForEver) {
  const Timestamp snapshot = cluster_.NewTimestamp();
  Must(client_.store->HoldSnapshots("dump", snapshot, minutes(20)));
  clock_.Advance(hours(1));
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_GT(cluster_.GcSafePoint(), snapshot);
}

TEST_F(ClientGcTest, EndsTransactionsOfTheDeadFirst) {
  Must(Put(*client_.store, {{"a", "old"}, {"z", "old"}}));
  DieAt("KvPrewrite", Way::kTwoPhases);
  EXPECT_EQ(cluster_.LockCount(), 1u);
  clock_.Advance(hours(1));
  const GcReport report = Must(client_.store->CollectGarbage());
  EXPECT_EQ(report.what, What::kCollected);
  EXPECT_EQ(report.locks, 1u);
  EXPECT_EQ(cluster_.LockCount(), 0u);
  EXPECT_EQ(Get(*client_.store, "a"), "old");
}

TEST_F(ClientGcTest, CommittedSecondariesOfTheDeadStayCommitted) {
  DieAt("KvCommit", Way::kAsync);
  EXPECT_EQ(cluster_.LockCount(), 1u);
  clock_.Advance(hours(1));
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_EQ(cluster_.LockCount(), 0u);
  EXPECT_EQ(Get(*client_.store, "a"), "new");
  EXPECT_EQ(Get(*client_.store, "z"), "new");
}

TEST_F(ClientGcTest, StopsBelowATransactionThatLives) {
  Client slow = NewClient(Way::kTwoPhases);
  auto transaction = Must(slow.store->Begin());
  const Timestamp begun = transaction->begin_timestamp();
  Must(transaction->Put("a", "slow"));
  // It commits an hour after it began, and its locks have only just been made.
  clock_.Advance(hours(1));
  std::optional<What> what;
  cluster_.Before("KvCommit", [&] { what = Step(client_); });
  Must(transaction->Commit());
  EXPECT_EQ(what, What::kCollected);
  EXPECT_LT(cluster_.GcSafePoint(), begun);
  EXPECT_EQ(Get(*client_.store, "a"), "slow");
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_GT(cluster_.GcSafePoint(), begun);
}

TEST_F(ClientGcTest, LeavesItToATidb) {
  clock_.Advance(hours(1));
  cluster_.AddEtcdKey("/tidb/server/info/6f6a");
  EXPECT_EQ(Step(client_), What::kOthersDo);
  EXPECT_EQ(cluster_.GcSafePoint(), 0u);
}

TEST_F(ClientGcTest, LeavesItToWhoeverElseMovesTheSafePoint) {
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(minutes(30));
    const Timestamp theirs = Back(cluster_.NewTimestamp(), minutes(20));
    cluster_.MoveGcSafePoint(theirs);
    EXPECT_EQ(Step(client_), What::kOthersDo);
    EXPECT_EQ(cluster_.GcSafePoint(), theirs);
  }
  clock_.Advance(minutes(59));
  EXPECT_EQ(Step(client_), What::kOthersDo);
  clock_.Advance(minutes(2));
  EXPECT_EQ(Step(client_), What::kCollected);
}

TEST_F(ClientGcTest, AStepThatFailsMidwayLosesNothingAndTheNextGoesOn) {
  DieAt("KvPrewrite", Way::kTwoPhases);
  clock_.Advance(hours(1));
  for (const char* method : {"UpdateServiceGCSafePoint", "KvScanLock", "KvCheckTxnStatus",
                             "KvResolveLock", "UpdateGCSafePoint"}) {
    SCOPED_TRACE(method);
    cluster_.Script(method, Fault::kDrop, 1000);
    EXPECT_FALSE(client_.store->CollectGarbage());
    EXPECT_EQ(cluster_.GcSafePoint(), 0u);
    cluster_.ClearScripts();
  }
  EXPECT_EQ(Step(client_), What::kCollected);
  EXPECT_EQ(cluster_.LockCount(), 0u);
}

TEST_F(ClientGcTest, AThreadCollectsWhereTheOptionsSaySo) {
  TikvOptions options = OptionsOf(Way::kOnePhase);
  options.gc = kv::tikv::GcMode::kAuto;
  clock_.Advance(hours(1));
  Client client = NewClient(options);
  while (cluster_.GcSafePoint() == 0) std::this_thread::yield();
}

}  // namespace
}  // namespace tifs::tikv_store
