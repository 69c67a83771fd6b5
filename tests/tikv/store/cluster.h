#pragma once

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "proto/errorpb.pb.h"
#include "proto/metapb.pb.h"
#include "proto/pdpb.pb.h"
#include "tests/tikv/store/fault_plan.h"
#include "tests/tikv/store/mvcc.h"

// A TiKV cluster for tests, in this process: stores, regions on all of them with one leader each,
// and PD with two members. It answers the bytes of requests with the bytes of answers, so any
// transport can carry them (loopback_transport.h, grpc_cluster.h).
//
// What it keeps of the real one: Percolator's rules with async commit and one phase, region and
// epoch checks, memcomparable bounds in PD, timestamps that rise across changes of PD's leader,
// data and locks that survive restarts, and a new leader's max_ts from PD. What it leaves out: raft
// (a write is there or it is not), pessimistic locks, garbage collection.
namespace tifs::tikv_store {

// A member of PD (0 and 1), or a store.
struct Node {
  enum class Kind : uint8_t { kPd, kStore } kind;
  size_t index;
  auto operator<=>(const Node&) const = default;
};

// Safe for use by several threads; under one mutex.
class Cluster {
 public:
  static constexpr size_t kPdMembers = 2;

  // Time goes by `clock`, which must outlive it.
  Cluster(size_t stores, Clock& clock);

  // Nothing: the connection breaks, and nobody says whether the request was executed.
  using Reply = std::optional<std::string>;
  // `method` is the whole path, "/tikvpb.Tikv/KvGet". A method that is unknown has no answer, nor
  // has a batch of which a command has none.
  Reply Handle(Node node, const std::string& method, const std::string& request) EXCLUDES(mutex_);

  size_t stores() const { return store_count_; }
  std::string AddressOf(Node node) EXCLUDES(mutex_);
  std::optional<Node> NodeAt(const std::string& address) EXCLUDES(mutex_);
  void SetAddress(Node node, const std::string& address) EXCLUDES(mutex_);

  // Makes `key` the first of its region.
  void Split(const std::string& key) EXCLUDES(mutex_);
  // Joins the region of `key` with the one after it.
  void Merge(const std::string& key) EXCLUDES(mutex_);
  void MoveLeader(const std::string& key, size_t store) EXCLUDES(mutex_);
  // Its requests are not answered; the regions that it led are led by another, if there is one.
  void Stop(Node node) EXCLUDES(mutex_);
  void Start(Node node) EXCLUDES(mutex_);
  void MovePdLeader() EXCLUDES(mutex_);
  // PD's physical time jumps forward.
  void JumpTime(uint64_t ms) EXCLUDES(mutex_);

  void Script(const std::string& method, Fault fault, int times = 1) EXCLUDES(mutex_);
  void ClearScripts() EXCLUDES(mutex_);
  void Randomly(uint64_t seed, uint32_t permille) EXCLUDES(mutex_);
  // The next request of the method that is not answered otherwise first calls that, without the
  // mutex, before it is looked at.
  void Before(const std::string& method, std::function<void()> action) EXCLUDES(mutex_);

  // How many requests of a method have arrived, "KvGet", and how many in all.
  size_t CountOf(const std::string& method) EXCLUDES(mutex_);
  size_t TotalCount() EXCLUDES(mutex_);
  size_t RegionCount() EXCLUDES(mutex_);
  size_t LockCount() EXCLUDES(mutex_);
  size_t CommitsBeyondLimit() EXCLUDES(mutex_);
  Timestamp NewTimestamp() EXCLUDES(mutex_);

  // PD's, which the stores here do not act on: they keep all versions.
  Timestamp GcSafePoint() EXCLUDES(mutex_);
  // As another collector does.
  void MoveGcSafePoint(Timestamp safe_point) EXCLUDES(mutex_);
  void AddEtcdKey(const std::string& key) EXCLUDES(mutex_);

 private:
  struct Region {
    uint64_t id = 0;
    std::string begin;
    std::string end;
    uint64_t version = 1;
    size_t leader = 0;
    bool Contains(const std::string& key) const {
      return key >= begin && (end.empty() || key < end);
    }
  };
  struct StoreState {
    bool running = true;
    Timestamp max_ts = 0;
  };
  // One that needs snapshots.
  struct Service {
    int64_t expires_s = 0;
    Timestamp safe_point = 0;
  };
  // One that was not answered when it came, and is executed when so many others have been.
  struct LateRequest {
    size_t after;
    Node node;
    std::string method;
    std::string request;
  };

  using Regions = std::map<std::string, Region>;
  using Handler = std::function<Reply(Node, const std::string& request, Fault)>;

  template <typename Request, typename Response, typename Body>
  void AddRegionHandler(const char* name, Body body);
  template <typename Request, typename Response, typename Body>
  void AddPdHandler(const char* name, Body body);
  void AddReadHandlers();
  void AddWriteHandlers();
  void AddPdHandlers();
  void AddGcHandlers();

  Reply HandleBatch(Node node, const std::string& bytes) EXCLUDES(mutex_);
  Reply Run(Node node, const std::string& method, const std::string& request, Fault fault)
      REQUIRES(mutex_);
  void RunLate() REQUIRES(mutex_);
  Region* FindRegion(uint64_t id) REQUIRES(mutex_);
  Regions::iterator RegionOf(const std::string& key) REQUIRES(mutex_);
  void SplitLocked(const std::string& key) REQUIRES(mutex_);
  void MoveLeaderLocked(Region& region, size_t store) REQUIRES(mutex_);
  void Disturb(const kvrpcpb::Context& context, const std::vector<std::string>& keys, Fault fault)
      REQUIRES(mutex_);
  std::optional<errorpb::Error> CheckContext(const kvrpcpb::Context& context, size_t store,
                                             const std::vector<std::string>& keys) REQUIRES(mutex_);
  std::optional<errorpb::Error> Injected(const kvrpcpb::Context& context, Fault fault)
      REQUIRES(mutex_);
  void FillRegion(const Region& region, metapb::Region& out) REQUIRES(mutex_);
  void FillPeer(const Region& region, size_t store, metapb::Peer& out) REQUIRES(mutex_);
  Timestamp Allocate(uint64_t count) REQUIRES(mutex_);
  void NoteRead(size_t store, Timestamp timestamp) REQUIRES(mutex_);

  const size_t store_count_;
  Clock& clock_;
  Mutex mutex_;
  std::map<std::string, Handler> handlers_;  // constant after construction
  std::map<Node, std::string> addresses_ GUARDED_BY(mutex_);
  Regions regions_ GUARDED_BY(mutex_);
  uint64_t next_region_id_ GUARDED_BY(mutex_) = 2;
  std::vector<StoreState> stores_ GUARDED_BY(mutex_);
  std::vector<bool> pd_running_ GUARDED_BY(mutex_);
  size_t pd_leader_ GUARDED_BY(mutex_) = 0;
  Timestamp last_timestamp_ GUARDED_BY(mutex_) = 0;
  uint64_t time_jump_ms_ GUARDED_BY(mutex_) = 0;
  Timestamp gc_safe_point_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Service> services_ GUARDED_BY(mutex_);
  std::set<std::string> etcd_keys_ GUARDED_BY(mutex_);
  Mvcc mvcc_ GUARDED_BY(mutex_);
  FaultPlan faults_ GUARDED_BY(mutex_);
  std::map<std::string, std::function<void()>> before_ GUARDED_BY(mutex_);
  std::list<LateRequest> late_ GUARDED_BY(mutex_);
  std::map<std::string, size_t> counts_ GUARDED_BY(mutex_);
};

}  // namespace tifs::tikv_store
