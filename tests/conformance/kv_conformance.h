#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/kv.h"
#include "kv/mem_kv.h"
#include "kv/rocks/rocks_kv.h"
#include "kv/run_transaction.h"
#include "kv/tikv/tikv_kv.h"
#include "sim/sim_kv.h"
#include "tests/must.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"
#ifdef TIFS_ON_PEERS
#include "tests/tikv/peer_stores.h"
#endif

// What kv.h promises, for every store. Add a store to `Stores` below and the whole suite runs on
// it. Compiled with TIFS_ON_PEERS it runs on PD and a store by others instead.
namespace tifs::kv {

class MemUnderTest {
 public:
  // Whether two transactions that only lock a key both commit.
  static constexpr bool kLocksAreShared = true;

  Store& store() { return store_; }
  // Where the store injects faults: for the tests that run through a TransactionRunner.
  Store& store_with_faults() { return store_; }

 private:
  MemKv store_;
};

class RocksUnderTest {
 public:
  static constexpr bool kLocksAreShared = true;

  RocksUnderTest() {
    char path[] = "/tmp/kv_conformance.XXXXXX";
    EXPECT_NE(mkdtemp(path), nullptr);
    path_ = path;
    Result<std::unique_ptr<RocksKv>> store =
        RocksKv::Open({.path = path_, .create = true, .memory_bytes = 32 << 20});
    if (!store) {
      ADD_FAILURE() << store.error().ToString();
      abort();
    }
    store_ = *std::move(store);
  }
  ~RocksUnderTest() {
    store_.reset();
    std::filesystem::remove_all(path_);
  }

  Store& store() { return *store_; }
  Store& store_with_faults() { return *store_; }

 private:
  std::string path_;
  std::unique_ptr<RocksKv> store_;
};

// Without faults until a test asks for them: a decorator must keep every promise of its base.
class FaultyUnderTest {
 public:
  static constexpr bool kLocksAreShared = true;

  FaultyUnderTest() { faulty_.SetEnabled(false); }

  Store& store() { return faulty_; }
  Store& store_with_faults() {
    faulty_.SetEnabled(true);
    return faulty_;
  }

 private:
  MemKv base_;
  sim::FaultyStore faulty_{base_,
                           20240607,
                           {.unavailable_permille = 10,
                            .conflict_permille = 50,
                            .undetermined_happened_permille = 50,
                            .undetermined_lost_permille = 50,
                            .undetermined_late_permille = 50,
                            .determine_unavailable_permille = 300}};
};

// The client over a cluster in this process. Its faults: requests that are lost, late or answered
// by errors, splits and moves of leaders under way, at every call.
class TikvUnderTest {
 public:
  static constexpr bool kLocksAreShared = false;

  // The ways to commit that are tried, beside two phases.
  explicit TikvUnderTest(bool one_phase = true, bool async_commit = true) {
    tikv::TikvOptions options;
    for (size_t i = 0; i < tikv_store::Cluster::kPdMembers; ++i) {
      options.pd_addresses.push_back(cluster_.AddressOf({tikv_store::Node::Kind::kPd, i}));
    }
    options.one_phase = one_phase;
    options.async_commit = async_commit;
    options.lock_ttl = std::chrono::milliseconds(200);
    Result<std::unique_ptr<tikv::TikvKv>> store =
        tikv::TikvKv::Open(options, tikv_store::MakeLoopbackTransport(cluster_), SystemClock());
    if (!store) {
      ADD_FAILURE() << store.error().ToString();
      abort();
    }
    store_ = *std::move(store);
  }
  ~TikvUnderTest() { cluster_.Randomly(0, 0); }

  Store& store() { return *store_; }
  Store& store_with_faults() {
    cluster_.Randomly(20240607, 30);
    return *store_;
  }

 private:
  tikv_store::Cluster cluster_{3, SystemClock()};
  std::unique_ptr<tikv::TikvKv> store_;
};

class TikvTwoPhasesUnderTest : public TikvUnderTest {
 public:
  TikvTwoPhasesUnderTest() : TikvUnderTest(false, false) {}
};

class TikvAsyncUnderTest : public TikvUnderTest {
 public:
  TikvAsyncUnderTest() : TikvUnderTest(false, true) {}
};

#ifdef TIFS_ON_PEERS
using Stores = ::testing::Types<tikv_peer::OnePhaseUnderTest, tikv_peer::AsyncUnderTest,
                                tikv_peer::TwoPhasesUnderTest>;
#else
using Stores = ::testing::Types<MemUnderTest, RocksUnderTest, FaultyUnderTest, TikvUnderTest,
                                TikvAsyncUnderTest, TikvTwoPhasesUnderTest>;
#endif

using Pairs = std::vector<std::pair<std::string, std::string>>;

template <typename UnderTest>
class KvTest : public ::testing::Test {
 protected:
  static constexpr bool kLocksAreShared = UnderTest::kLocksAreShared;

  void SetUp() override {
    if constexpr (requires { under_test_.lacking(); }) {
      if (!under_test_.lacking().empty()) GTEST_SKIP() << under_test_.lacking();
    }
  }

  Store& store() { return under_test_.store(); }
  Store& store_with_faults() { return under_test_.store_with_faults(); }

  std::unique_ptr<Transaction> Begin() { return Must(store().Begin()); }

  void Put(std::string_view key, std::string_view value) {
    auto transaction = Begin();
    Must(transaction->Put(key, value));
    Must(transaction->Commit());
  }
  void Delete(std::string_view key) {
    auto transaction = Begin();
    Must(transaction->Delete(key));
    Must(transaction->Commit());
  }

  static std::optional<std::string> Get(Transaction& transaction, std::string_view key) {
    std::optional<Value> value = Must(transaction.Get(key));
    if (!value) return std::nullopt;
    return std::string(value->view());
  }
  std::optional<std::string> Get(std::string_view key) { return Get(*Begin(), key); }

  static Pairs Scan(Transaction& transaction, const KeyRange& range, size_t limit = 0,
                    Direction direction = Direction::kForward) {
    Pairs pairs;
    Must(transaction.Scan(range, limit, direction,
                          [&](std::string_view key, std::string_view value) {
                            pairs.emplace_back(key, value);
                            return true;
                          }));
    return pairs;
  }

  static ErrorCode CommitError(Transaction& transaction) {
    const Status status = transaction.Commit();
    EXPECT_FALSE(status);
    return status ? ErrorCode::kInvalid : status.error().code();
  }

  static void ExpectConflict(Transaction& transaction) {
    EXPECT_EQ(CommitError(transaction), ErrorCode::kConflict);
    EXPECT_FALSE(Must(transaction.DetermineCommit()));
  }
  static void ExpectCommits(Transaction& transaction) {
    Must(transaction.Commit());
    EXPECT_TRUE(Must(transaction.DetermineCommit()));
  }

 private:
  UnderTest under_test_;
};

}  // namespace tifs::kv
