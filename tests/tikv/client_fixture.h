#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/tikv/tikv_kv.h"
#include "tests/must.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"

// Clients of a cluster in this process, on a clock that moves when somebody waits.
namespace tifs::tikv_store {

using kv::Store;
using kv::Transaction;
using kv::Value;
using kv::tikv::CommitFloor;
using kv::tikv::TikvKv;
using kv::tikv::TikvOptions;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A client that can die: from then on nothing that it sends arrives.
class MortalTransport : public kv::tikv::Transport {
 public:
  MortalTransport(Cluster& cluster, std::shared_ptr<std::atomic<bool>> dead)
      : base_(MakeLoopbackTransport(cluster)), dead_(std::move(dead)) {}

  void Call(const std::string& address, const char* method, const kv::tikv::Message& request,
            kv::tikv::Message& response, std::chrono::nanoseconds timeout, Done done) override {
    if (dead_->load()) {
      done(Error(ErrorCode::kUnavailable, "dead"));
      return;
    }
    base_->Call(address, method, request, response, timeout, std::move(done));
  }
  std::unique_ptr<kv::tikv::Stream> OpenStream(
      const std::string& address, const char* method,
      std::shared_ptr<kv::tikv::StreamListener> listener) override {
    return base_->OpenStream(address, method, std::move(listener));
  }
  void Shutdown() override { base_->Shutdown(); }

 private:
  const std::unique_ptr<kv::tikv::Transport> base_;
  const std::shared_ptr<std::atomic<bool>> dead_;
};

struct Client {
  std::unique_ptr<TikvKv> store;
  std::shared_ptr<std::atomic<bool>> dead = std::make_shared<std::atomic<bool>>(false);
};

class ClientTest : public ::testing::Test {
 protected:
  enum class Way { kOnePhase, kAsync, kTwoPhases };

  static TikvOptions OptionsOf(Way way) {
    return {.pd_addresses = {"pd0:2379"},
            .one_phase = way == Way::kOnePhase,
            .async_commit = way == Way::kAsync,
            .commit_floor = CommitFloor::kStart};
  }
  Client NewClient(TikvOptions options) {
    Client client;
    client.store = Must(
        TikvKv::Open(options, std::make_unique<MortalTransport>(cluster_, client.dead), clock_));
    return client;
  }
  Client NewClient(Way way) { return NewClient(OptionsOf(way)); }

  // Keys "a…" to "z…" of keyspace 1, as the cluster has them.
  static std::string Key(std::string_view key) { return std::string("F\0\0\0\x01", 5).append(key); }

  static Status Put(Store& store, const std::vector<std::pair<std::string, std::string>>& pairs) {
    auto transaction = Must(store.Begin());
    for (const auto& [key, value] : pairs) Must(transaction->Put(key, value));
    return transaction->Commit();
  }
  static std::optional<std::string> Get(Transaction& transaction, std::string_view key) {
    std::optional<Value> value = Must(transaction.Get(key));
    if (!value) return std::nullopt;
    return std::string(value->view());
  }
  static std::optional<std::string> Get(Store& store, std::string_view key) {
    return Get(*Must(store.Begin()), key);
  }
  static std::optional<std::string> GetLatest(Store& store, std::string_view key) {
    std::optional<Value> value = Must(store.GetLatest(key));
    if (!value) return std::nullopt;
    return std::string(value->view());
  }
  static std::string ScanKeys(Transaction& transaction, kv::Direction direction, size_t limit = 0) {
    std::string keys;
    Must(transaction.Scan({}, limit, direction, [&](std::string_view key, std::string_view) {
      keys += key;
      return true;
    }));
    return keys;
  }

  // Commits two keys of two regions, and dies when the store is about to see the first request of
  // `method`; what the client itself is told does not matter then.
  void DieAt(const std::string& method, Way way) {
    cluster_.Split(Key("m"));
    Client client = NewClient(way);
    cluster_.Before(method, [dead = client.dead] { dead->store(true); });
    (void)Put(*client.store, {{"a", "new"}, {"z", "new"}});
    client.store->DrainCleanup();
    EXPECT_TRUE(client.dead->load());
  }

  ManualClock clock_;
  Cluster cluster_{3, clock_};
};

}  // namespace tifs::tikv_store
