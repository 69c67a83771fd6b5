// The client over gRPC: what only real connections and threads show.
#include <future>
#include <thread>

#include "kv/run_transaction.h"
#include "kv/tikv/grpc_transport.h"
#include "tests/tikv/client_fixture.h"
#include "tests/tikv/store/grpc_cluster.h"

namespace tifs::tikv_store {
namespace {

class GrpcTest : public ::testing::Test {
 protected:
  std::unique_ptr<TikvKv> NewStore() {
    TikvOptions options;
    options.pd_addresses = {cluster_.AddressOf({Node::Kind::kPd, 0}),
                            cluster_.AddressOf({Node::Kind::kPd, 1})};
    options.lock_ttl = milliseconds(300);
    options.operation_timeout = seconds(10);
    return Must(TikvKv::Open(options, kv::tikv::MakeGrpcTransport(), SystemClock()));
  }
  static void Put(Store& store, const std::string& key, const std::string& value) {
    kv::TransactionRunner runner(store, SystemClock());
    Must(runner.Run([&](Transaction& t) { return t.Put(key, value); }));
  }
  static std::string Get(Store& store, const std::string& key) {
    auto value = Must(store.GetLatest(key));
    return value ? std::string(value->view()) : "";
  }
  // Threads that each count up a key of their own and one that they share.
  static void Count(Store& store, int threads, int increments) {
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        kv::TransactionRunner runner(store, SystemClock());
        for (int i = 0; i < increments; ++i) {
          Must(runner.Run([&](Transaction& transaction) -> Status {
            for (const std::string& key : {std::string("shared"), "own" + std::to_string(thread)}) {
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

  Cluster cluster_{3, SystemClock()};
  GrpcCluster servers_{cluster_};
};

TEST_F(GrpcTest, ReadsAndWritesLargeAndSmall) {
  auto store = NewStore();
  const std::string large(kv::tikv::kTikvLimits.max_value_bytes, 'v');
  Put(*store, "large", large);
  Put(*store, "small", "1");
  EXPECT_EQ(Get(*store, "large"), large);
  EXPECT_EQ(Get(*store, "small"), "1");
  auto transaction = Must(store->Begin());
  size_t bytes = 0;
  Must(transaction->Scan({}, 0, kv::Direction::kForward, [&](auto, auto value) {
    bytes += value.size();
    return true;
  }));
  EXPECT_EQ(bytes, large.size() + 1);
}

TEST_F(GrpcTest, ThreadsShareTheStreamAndLoseNothing) {
  auto store = NewStore();
  cluster_.Split(std::string("F\0\0\0\x01p", 6));
  Count(*store, 4, 25);
  EXPECT_EQ(Get(*store, "shared"), "100");
  EXPECT_EQ(Get(*store, "own3"), "25");
}

TEST_F(GrpcTest, LosesNothingWhileServersStopAndStart) {
  auto store = NewStore();
  cluster_.Split(std::string("F\0\0\0\x01p", 6));
  std::atomic<bool> done{false};
  std::thread breaker([&] {
    size_t round = 0;
    do {
      const Node node = round % 4 == 3 ? Node{Node::Kind::kPd, round / 4 % 2}
                                       : Node{Node::Kind::kStore, round % 4};
      servers_.Stop(node);
      servers_.Start(node);
      ++round;
      // Something gets through before the next one.
      const size_t enough = cluster_.TotalCount() + 60;
      while (!done.load() && cluster_.TotalCount() < enough) {
        std::this_thread::sleep_for(milliseconds(1));
      }
    } while (!done.load());
  });
  Count(*store, 2, 15);
  done.store(true);
  breaker.join();
  EXPECT_EQ(Get(*store, "shared"), "30");
  EXPECT_EQ(Get(*store, "own0"), "15");
}

TEST_F(GrpcTest, ClosesWithRequestsInFlight) {
  std::promise<void> arrived;
  std::promise<void> go_on;
  auto store = NewStore();
  cluster_.Split(std::string("F\0\0\0\x01p", 6));
  kv::TransactionRunner runner(*store, SystemClock());
  // The secondary's commit hangs in its store while the client closes.
  cluster_.Before("KvCommit", [&] {
    arrived.set_value();
    go_on.get_future().wait();
  });
  Must(runner.Run([&](Transaction& transaction) -> Status {
    TRY(transaction.Put("a", "1"));
    return transaction.Put("z", "1");
  }));
  arrived.get_future().wait();
  const auto before = std::chrono::steady_clock::now();
  store.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(8));
  go_on.set_value();
  EXPECT_EQ(Get(*NewStore(), "z"), "1");
}

TEST_F(GrpcTest, SaysWhatIsNotThere) {
  const std::string address = cluster_.AddressOf({Node::Kind::kStore, 0});
  servers_.Stop({Node::Kind::kStore, 0});
  auto transport = kv::tikv::MakeGrpcTransport();
  kvrpcpb::GetRequest request;
  kvrpcpb::GetResponse response;
  kv::tikv::OutgoingCall call{.address = address,
                              .method = "/tikvpb.Tikv/KvGet",
                              .request = &request,
                              .response = &response,
                              .status = {}};
  kv::tikv::CallAll(*transport, {&call, 1}, seconds(5));
  EXPECT_EQ(call.status.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(call.status.error().detail().find(address), std::string_view::npos);
  transport->Shutdown();
  kv::tikv::CallAll(*transport, {&call, 1}, seconds(5));
  EXPECT_EQ(call.status.error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace tifs::tikv_store
