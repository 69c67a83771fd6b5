// The file system on the TiKV client against the model, with and without faults of the cluster.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "kv/tikv/tikv_kv.h"
#include "tests/sim/operation.h"
#include "tests/sim/shrink.h"
#include "tests/sim/test_options.h"
#include "tests/sim/world.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"

namespace tifs::tikv_store {
namespace {

// A client with the cluster that it is one of, on a clock of their own: waiting for the cluster
// must not move the file system's times.
class StoreWithCluster : public kv::ForwardingStore {
 public:
  struct Parts {
    ManualClock clock;
    Cluster cluster{3, clock};
    std::unique_ptr<kv::Store> client;
  };
  explicit StoreWithCluster(std::unique_ptr<Parts> parts)
      : ForwardingStore(*parts->client), parts_(std::move(parts)) {}

 private:
  const std::unique_ptr<Parts> parts_;
};

std::unique_ptr<kv::Store> OpenStore(uint64_t seed, uint32_t faults_permille) {
  auto parts = std::make_unique<StoreWithCluster::Parts>();
  kv::tikv::TikvOptions options;
  options.pd_addresses = {"pd0:2379", "pd1:2379"};
  auto opened =
      kv::tikv::TikvKv::Open(options, MakeLoopbackTransport(parts->cluster), parts->clock);
  CHECK(opened.ok());
  parts->client = *std::move(opened);
  parts->cluster.Randomly(seed, faults_permille);
  return std::make_unique<StoreWithCluster>(std::move(parts));
}

void ExpectAgreement(const std::string& name, uint32_t faults_permille, uint64_t when_short,
                     uint64_t when_long) {
  const uint64_t steps = sim::Options().steps.value_or(300);
  const uint64_t runs = sim::Options().Runs(when_short, when_long);
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t seed = sim::Options().Seed(i);
    sim::WorldOptions world{.name = name, .block_size_bytes = 4096};
    world.open_engine = [&] { return OpenStore(seed, faults_permille); };
    const sim::Profile profile = world.DefaultProfile();
    Random random(seed);
    std::vector<sim::Operation> operations;
    for (uint64_t step = 0; step < steps; ++step) {
      operations.push_back(sim::Generate(random, profile));
    }
    const auto run = [&](const std::vector<sim::Operation>& sequence) {
      return sim::RunInWorld(world, sequence);
    };
    if (!run(operations).empty()) {
      FAIL() << sim::DescribeFailure(name, seed, operations, run);
    }
  }
}

TEST(TikvModelTest, AgreesWithTheModel) { ExpectAgreement("tikv", 0, 10, 500); }

TEST(TikvModelTest, AgreesWhileTheClusterFails) { ExpectAgreement("faulty tikv", 50, 10, 500); }

}  // namespace
}  // namespace tifs::tikv_store
