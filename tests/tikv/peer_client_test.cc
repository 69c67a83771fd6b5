// The client on the real PD and a store by others: what a store of our own, which agrees with us
// about the protocol, would not show.
#include <atomic>
#include <map>
#include <thread>

#include "kv/run_transaction.h"
#include "tests/tikv/peer_fixture.h"

namespace tifs::tikv_peer {
namespace {

using kv::Store;
using kv::Transaction;
using kv::Value;
using kv::tikv::TikvKv;
using kv::tikv::TikvOptions;

class PeerClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!peers_.lacking().empty()) GTEST_SKIP() << peers_.lacking();
    options_ = peers_.NewOptions();
  }

  static void Put(Store& store, const std::map<std::string, std::string>& pairs) {
    kv::TransactionRunner runner(store, SystemClock());
    Must(runner.Run([&](Transaction& transaction) -> Status {
      for (const auto& [key, value] : pairs) TRY(transaction.Put(key, value));
      return {};
    }));
  }
  static std::string Get(Store& store, const std::string& key) {
    auto value = Must(store.GetLatest(key));
    return value ? std::string(value->view()) : "absent";
  }
  static std::string Scan(Store& store, kv::Direction direction = kv::Direction::kForward) {
    std::string keys;
    Must(Must(store.Begin())->Scan({}, 0, direction, [&](std::string_view key, auto) {
      keys += key;
      return true;
    }));
    return keys;
  }
  // Threads that each count up a key of their own, across regions, and one that they share.
  static void Count(Store& store, int threads, int increments) {
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        kv::TransactionRunner runner(store, SystemClock());
        const std::string own(1, static_cast<char>('a' + thread));
        for (int i = 0; i < increments; ++i) {
          Must(runner.Run([&](Transaction& transaction) -> Status {
            for (const std::string& key : {std::string("shared"), own}) {
              std::optional<Value> value = TRY(transaction.Get(key));
              const int count = value ? std::stoi(std::string(value->view())) : 0;
              TRY(transaction.Put(key, std::to_string(count + 1)));
            }
            return {};
          }));
        }
      });
    }
    for (std::thread& thread : running) thread.join();
  }
  // Safe points are whole milliseconds.
  static void AwaitTimeAfter(Store& store, kv::Timestamp timestamp) {
    const auto now_ms = [&] {
      return kv::tikv::PhysicalMs(Must(store.Begin())->begin_timestamp());
    };
    while (now_ms() <= kv::tikv::PhysicalMs(timestamp)) std::this_thread::yield();
  }
  std::string Cluster(const std::string& key) const { return ClusterKey(options_, key); }

  Peers& peers_ = Peers::Get();
  TikvOptions options_;
};

TEST_F(PeerClientTest, FindsRegionsThatSplitBehindItsBack) {
  auto store = peers_.Open(options_);
  Put(*store, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
  for (const char* key : {"b", "c", "d"}) peers_.Split(Cluster(key));
  EXPECT_EQ(Scan(*store), "abcd");
  EXPECT_EQ(Scan(*store, kv::Direction::kBackward), "dcba");
  Put(*store, {{"a", "5"}, {"d", "6"}});
  EXPECT_EQ(Get(*store, "a") + Get(*store, "b") + Get(*store, "d"), "526");
  EXPECT_EQ(Scan(*peers_.Open(options_)), "abcd");
}

TEST_F(PeerClientTest, EveryRegionErrorPassesAtEveryRequest) {
  auto store = peers_.Open(options_);
  peers_.Split(Cluster("m"));
  int round = 0;
  for (const char* fault : {"NotLeader", "RegionNotFound", "EpochNotMatch", "ServerIsBusy",
                            "StaleCommand", "StoreNotMatch", "MaxTimestampNotSynced",
                            "ReadIndexNotReady", "ProposalInMergingMode", "DataIsNotReady"}) {
    SCOPED_TRACE(fault);
    peers_.Fault("Kv*", fault, 5);
    const std::string value = std::to_string(++round);
    Put(*store, {{"a", value}, {"z", value}});
    EXPECT_EQ(Get(*store, "a"), value);
    EXPECT_EQ(Scan(*store), "az");
  }
  peers_.ClearFaults();
}

// A lost request or reply of each kind: the transaction is there once, or says that it is not.
TEST_F(PeerClientTest, LostRequestsAndRepliesLoseNothingAndDoubleNothing) {
  for (const bool one_phase : {true, false}) {
    for (const bool async_commit : {true, false}) {
      TikvOptions options = options_;
      options.one_phase = one_phase;
      options.async_commit = async_commit;
      auto store = peers_.Open(options);
      for (const char* method : {"KvGet", "KvPrewrite", "KvCommit", "KvCheckTxnStatus"}) {
        for (const char* fault : {"lost", "lost_after"}) {
          SCOPED_TRACE(std::string(method) + " " + fault);
          peers_.Fault(method, fault, 1);
          const std::string before = Get(*store, "a");
          Count(*store, 1, 1);
          const int count = before == "absent" ? 0 : std::stoi(before);
          EXPECT_EQ(Get(*store, "a"), std::to_string(count + 1));
        }
      }
      peers_.ClearFaults();
    }
  }
  EXPECT_EQ(Get(*peers_.Open(options_), "shared"), "32");
}

TEST_F(PeerClientTest, LosesNothingWhileTheStoreIsKilled) {
  auto store = peers_.Open(options_);
  peers_.Split(Cluster("c"));
  std::thread breaker([&] {
    for (int round = 0; round < 2; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
      peers_.Tool("restart store");
    }
  });
  // Only what is committed is there after a kill: locks in this store do not survive one. So each
  // transaction is in one phase, which leaves none.
  kv::TransactionRunner runner(*store, SystemClock());
  for (int i = 0; i < 400; ++i) {
    Must(runner.Run([&](Transaction& transaction) -> Status {
      std::optional<Value> value = TRY(transaction.Get("count"));
      const int count = value ? std::stoi(std::string(value->view())) : 0;
      return transaction.Put("count", std::to_string(count + 1));
    }));
  }
  breaker.join();
  EXPECT_EQ(Get(*store, "count"), "400");
}

TEST_F(PeerClientTest, GoesOnAfterPdIsKilled) {
  auto store = peers_.Open(options_);
  Put(*store, {{"a", "1"}});
  peers_.Tool("restart pd");
  Put(*store, {{"a", "2"}});
  EXPECT_EQ(Get(*store, "a"), "2");
  // What knows no region yet asks a PD that has only just heard of them.
  auto newcomer = peers_.Open(options_);
  EXPECT_EQ(Get(*newcomer, "a"), "2");
}

// A client that dies leaves locks; the next one ends them as Percolator says.
TEST_F(PeerClientTest, EndsWhatADeadClientLeft) {
  for (const bool async_commit : {true, false}) {
    TikvOptions options = options_;
    options.one_phase = false;
    options.async_commit = async_commit;
    options.operation_timeout = std::chrono::seconds(1);
    auto store = peers_.Open(options_);
    Put(*store, {{"A", "before both"}, {"a", "old"}, {"z", "old"}});
    // Its prewrites are executed and its commit never is.
    peers_.Fault("KvCommit", "lost");
    peers_.Fault("KvCheckTxnStatus", "lost");
    peers_.Fault("KvBatchRollback", "lost");
    peers_.Fault("KvResolveLock", "lost");
    {
      auto dying = peers_.Open(options);
      auto transaction = Must(dying->Begin());
      Must(transaction->Put("a", "new"));
      Must(transaction->Put("z", "new"));
      EXPECT_EQ(static_cast<bool>(transaction->Commit()), async_commit);
    }
    peers_.ClearFaults();
    EXPECT_EQ(Scan(*store, async_commit ? kv::Direction::kForward : kv::Direction::kBackward),
              async_commit ? "Aaz" : "zaA");
    const std::string a = Must(Must(store->Begin())->Get("a"))->view() == "new" ? "new" : "old";
    EXPECT_EQ(a, async_commit ? "new" : "old");
    EXPECT_EQ(Get(*store, "z"), a);
  }
}

TEST_F(PeerClientTest, ThreadsShareStreamsAndLoseNothing) {
  auto store = peers_.Open(options_);
  peers_.Split(Cluster("c"));
  Count(*store, 4, 40);
  EXPECT_EQ(Get(*store, "shared"), "160");
  EXPECT_EQ(Get(*store, "d"), "40");
}

TEST_F(PeerClientTest, CollectsGarbageByTheRealPd) {
  auto store = peers_.Open(options_);
  const auto collect = [](TikvKv& by) { return Must(by.CollectGarbage()); };
  options_.gc_options.life_time = std::chrono::milliseconds(0);
  auto collector = peers_.Open(options_);
  Put(*store, {{"a", "1"}, {"z", "1"}});
  auto held = Must(store->Begin());
  const kv::Timestamp snapshot = held->begin_timestamp();
  Must(store->HoldSnapshots("peer_client_test", snapshot, std::chrono::seconds(60)));
  Put(*store, {{"a", "2"}});
  AwaitTimeAfter(*store, snapshot);
  const auto first = collect(*collector);
  EXPECT_EQ(first.what, kv::tikv::GcReport::What::kCollected);
  EXPECT_EQ(first.safe_point, snapshot);
  EXPECT_EQ(Must(held->Get("a"))->view(), "1");
  Must(store->HoldSnapshots("peer_client_test", snapshot, std::chrono::seconds(0)));
  EXPECT_GT(collect(*collector).safe_point, snapshot);
  EXPECT_EQ(collect(*store).what, kv::tikv::GcReport::What::kNotElected);
  EXPECT_EQ(Get(*store, "a"), "2");
}

TEST_F(PeerClientTest, AsksForTheSpaceOfTheStores) {
  const kv::SpaceUsage space = Must(peers_.Open(options_)->Space());
  EXPECT_LE(space.available_bytes, space.total_bytes);
}

}  // namespace
}  // namespace tifs::tikv_peer
