#pragma once

#include <memory>
#include <string>

#include "tests/tikv/peer_fixture.h"

// The client on the peers, as the conformance suite takes a store: one way to commit each, regions
// split in the middle of what the tests use, and faults at every request where a test asks for
// them.
namespace tifs::tikv_peer {

class UnderTest {
 public:
  static constexpr bool kLocksAreShared = false;

  UnderTest(bool one_phase, bool async_commit) {
    if (!lacking().empty()) return;
    kv::tikv::TikvOptions options = peers_.NewOptions();
    options.one_phase = one_phase;
    options.async_commit = async_commit;
    store_ = peers_.Open(options);
    if (!one_phase) peers_.Split(ClusterKey(options, "c"));
  }
  ~UnderTest() {
    if (faulty_) peers_.ClearFaults();
  }

  const std::string& lacking() const { return peers_.lacking(); }
  kv::Store& store() { return *store_; }
  kv::Store& store_with_faults() {
    faulty_ = true;
    for (const char* fault : {"lost", "lost_after", "NotLeader", "EpochNotMatch", "RegionNotFound",
                              "ServerIsBusy", "DataIsNotReady", "StaleCommand"}) {
      peers_.Fault("Kv*", fault, 0, 4);
    }
    return *store_;
  }

 private:
  Peers& peers_ = Peers::Get();
  std::unique_ptr<kv::tikv::TikvKv> store_;
  bool faulty_ = false;
};

struct OnePhaseUnderTest : UnderTest {
  OnePhaseUnderTest() : UnderTest(true, true) {}
};
struct AsyncUnderTest : UnderTest {
  AsyncUnderTest() : UnderTest(false, true) {}
};
struct TwoPhasesUnderTest : UnderTest {
  TwoPhasesUnderTest() : UnderTest(false, false) {}
};

}  // namespace tifs::tikv_peer
