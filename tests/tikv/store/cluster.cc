#include "tests/tikv/store/cluster.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kv/tikv/command_batch.h"
#include "kv/tikv/keyspace.h"
#include "proto/tikvpb.pb.h"

namespace tifs::tikv_store {
namespace {

constexpr int kLogicalBits = 18;
// Requests that are executed before one that is very late.
constexpr size_t kVeryLate = 20;

// "KvGet" of "/tikvpb.Tikv/KvGet".
std::string ShortName(const std::string& method) { return method.substr(method.rfind('/') + 1); }

std::string EncodeBound(const std::string& bound) {
  return bound.empty() ? bound : kv::tikv::EncodeMemcomparable(bound);
}

}  // namespace

Cluster::Cluster(size_t stores, Clock& clock)
    : store_count_(stores), clock_(clock), stores_(stores), pd_running_(kPdMembers, true) {
  regions_[""] = Region{.id = 1, .begin = "", .end = ""};
  for (size_t i = 0; i < stores; ++i) {
    addresses_[{Node::Kind::kStore, i}] = "store" + std::to_string(i) + ":20160";
  }
  for (size_t i = 0; i < kPdMembers; ++i) {
    addresses_[{Node::Kind::kPd, i}] = "pd" + std::to_string(i) + ":2379";
  }
  AddReadHandlers();
  AddWriteHandlers();
  AddPdHandlers();
}

std::string Cluster::AddressOf(Node node) {
  MutexLock lock(mutex_);
  return addresses_[node];
}

std::optional<Node> Cluster::NodeAt(const std::string& address) {
  MutexLock lock(mutex_);
  for (const auto& [node, at] : addresses_) {
    if (at == address) return node;
  }
  return std::nullopt;
}

void Cluster::SetAddress(Node node, const std::string& address) {
  MutexLock lock(mutex_);
  addresses_[node] = address;
}

Cluster::Regions::iterator Cluster::RegionOf(const std::string& key) {
  return std::prev(regions_.upper_bound(key));
}

Cluster::Region* Cluster::FindRegion(uint64_t id) {
  for (auto& [begin, region] : regions_) {
    if (region.id == id) return &region;
  }
  return nullptr;
}

void Cluster::Split(const std::string& key) {
  MutexLock lock(mutex_);
  SplitLocked(key);
}

void Cluster::SplitLocked(const std::string& key) {
  Region& left = RegionOf(key)->second;
  if (left.begin == key) return;
  Region right = left;
  right.id = next_region_id_++;
  right.begin = key;
  left.end = key;
  ++left.version;
  ++right.version;
  regions_[key] = right;
}

void Cluster::Merge(const std::string& key) {
  MutexLock lock(mutex_);
  const auto left = RegionOf(key);
  const auto right = std::next(left);
  if (right == regions_.end()) return;
  left->second.end = right->second.end;
  left->second.version = std::max(left->second.version, right->second.version) + 1;
  regions_.erase(right);
}

// A leader serves only after it has asked PD how far reads may have gone at the last one.
void Cluster::MoveLeaderLocked(Region& region, size_t store) {
  region.leader = store;
  NoteRead(store, Allocate(1));
}

void Cluster::MoveLeader(const std::string& key, size_t store) {
  MutexLock lock(mutex_);
  MoveLeaderLocked(RegionOf(key)->second, store);
}

void Cluster::Stop(Node node) {
  MutexLock lock(mutex_);
  if (node.kind == Node::Kind::kPd) {
    pd_running_[node.index] = false;
    if (pd_leader_ == node.index) pd_leader_ = (pd_leader_ + 1) % kPdMembers;
    return;
  }
  stores_[node.index].running = false;
  for (auto& [begin, region] : regions_) {
    if (region.leader != node.index) continue;
    for (size_t i = 1; i < store_count_; ++i) {
      const size_t other = (node.index + i) % store_count_;
      if (!stores_[other].running) continue;
      MoveLeaderLocked(region, other);
      break;
    }
  }
}

void Cluster::Start(Node node) {
  MutexLock lock(mutex_);
  if (node.kind == Node::Kind::kPd) {
    pd_running_[node.index] = true;
    return;
  }
  stores_[node.index].running = true;
  NoteRead(node.index, Allocate(1));
}

void Cluster::MovePdLeader() {
  MutexLock lock(mutex_);
  pd_leader_ = (pd_leader_ + 1) % kPdMembers;
}

void Cluster::JumpTime(uint64_t ms) {
  MutexLock lock(mutex_);
  time_jump_ms_ += ms;
}

void Cluster::Script(const std::string& method, Fault fault, int times) {
  MutexLock lock(mutex_);
  faults_.Script(method, fault, times);
}

void Cluster::ClearScripts() {
  MutexLock lock(mutex_);
  faults_.ClearScripts();
}

void Cluster::Randomly(uint64_t seed, uint32_t permille) {
  MutexLock lock(mutex_);
  faults_.Randomly(seed, permille);
}

void Cluster::Before(const std::string& method, std::function<void()> action) {
  MutexLock lock(mutex_);
  before_[method] = std::move(action);
}

size_t Cluster::CountOf(const std::string& method) {
  MutexLock lock(mutex_);
  return counts_[method];
}

size_t Cluster::TotalCount() {
  MutexLock lock(mutex_);
  size_t total = 0;
  for (const auto& [method, count] : counts_) total += count;
  return total;
}

size_t Cluster::RegionCount() {
  MutexLock lock(mutex_);
  return regions_.size();
}

size_t Cluster::CommitsBeyondLimit() {
  MutexLock lock(mutex_);
  return mvcc_.commits_beyond_limit();
}

size_t Cluster::LockCount() {
  MutexLock lock(mutex_);
  return mvcc_.LockCount();
}

Timestamp Cluster::NewTimestamp() {
  MutexLock lock(mutex_);
  return Allocate(1);
}

// The last of `count` new ones.
Timestamp Cluster::Allocate(uint64_t count) {
  const auto now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Monotonic()).count();
  const Timestamp now = (static_cast<uint64_t>(now_ms) + time_jump_ms_) << kLogicalBits;
  last_timestamp_ = std::max(last_timestamp_, now) + count;
  return last_timestamp_;
}

void Cluster::NoteRead(size_t store, Timestamp timestamp) {
  if (timestamp == UINT64_MAX) return;
  stores_[store].max_ts = std::max(stores_[store].max_ts, timestamp);
}

void Cluster::FillPeer(const Region& region, size_t store, metapb::Peer& out) {
  out.set_id(region.id * 100 + store + 1);
  out.set_store_id(store + 1);
}

void Cluster::FillRegion(const Region& region, metapb::Region& out) {
  out.set_id(region.id);
  out.set_start_key(EncodeBound(region.begin));
  out.set_end_key(EncodeBound(region.end));
  out.mutable_region_epoch()->set_conf_ver(1);
  out.mutable_region_epoch()->set_version(region.version);
  for (size_t i = 0; i < store_count_; ++i) FillPeer(region, i, *out.add_peers());
}

Cluster::Reply Cluster::Handle(Node node, const std::string& method, const std::string& request) {
  const std::string name = ShortName(method);
  if (name == "BatchCommands") return HandleBatch(node, request);
  std::function<void()> before;
  {
    MutexLock lock(mutex_);
    ++counts_[name];
    const auto action = before_.find(name);
    if (action != before_.end()) before = std::move(before_.extract(action).mapped());
  }
  if (before) before();
  MutexLock lock(mutex_);
  RunLate();
  const bool running =
      node.kind == Node::Kind::kPd ? pd_running_[node.index] : stores_[node.index].running;
  if (!running) return std::nullopt;
  const Fault fault = faults_.Next(name, node.kind == Node::Kind::kStore);
  switch (fault) {
    case Fault::kDrop: return std::nullopt;
    case Fault::kLoseReply: Run(node, method, request, Fault::kNone); return std::nullopt;
    case Fault::kLate:
    case Fault::kVeryLate:
      late_.push_back({.after = fault == Fault::kVeryLate ? kVeryLate : faults_.Choose(6),
                       .node = node,
                       .method = method,
                       .request = request});
      return std::nullopt;
    default: return Run(node, method, request, fault);
  }
}

// Each command is a request like any other: faults and counts are its own.
Cluster::Reply Cluster::HandleBatch(Node node, const std::string& bytes) {
  tikvpb::BatchCommandsRequest batch;
  if (!batch.ParseFromString(bytes)) return std::nullopt;
  tikvpb::BatchCommandsResponse response;
  for (int i = 0; i < batch.requests_size(); ++i) {
    const auto command = kv::tikv::SplitCommand(batch.requests(i));
    if (!command) return std::nullopt;
    const Reply reply =
        Handle(node, kv::tikv::MethodOfField(command->first), std::string(command->second));
    if (!reply) return std::nullopt;
    response.add_request_ids(batch.request_ids(i));
    response.add_responses(kv::tikv::JoinCommand(command->first, *reply));
  }
  return response.SerializeAsString();
}

Cluster::Reply Cluster::Run(Node node, const std::string& method, const std::string& request,
                            Fault fault) {
  const auto handler = handlers_.find(method);
  if (handler == handlers_.end()) return std::nullopt;
  return handler->second(node, request, fault);
}

void Cluster::RunLate() {
  std::list<LateRequest> due;
  for (auto it = late_.begin(); it != late_.end();) {
    const auto next = std::next(it);
    if (it->after-- == 0) due.splice(due.end(), late_, it);
    it = next;
  }
  for (const LateRequest& late : due) Run(late.node, late.method, late.request, Fault::kNone);
}

}  // namespace tifs::tikv_store
