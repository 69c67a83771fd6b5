// What each call of the cluster does: the checks that all requests to regions pass, and the calls.
#include <algorithm>
#include <chrono>
#include <utility>

#include "kv/tikv/keyspace.h"
#include "proto/etcdserverpb.pb.h"
#include "tests/tikv/store/cluster.h"

namespace tifs::tikv_store {
namespace {

constexpr uint64_t kClusterId = 7'200'000'000'000'000'001;
constexpr int kLogicalBits = 18;

using Keys = std::vector<std::string>;

Keys KeysOf(const kvrpcpb::GetRequest& request) { return {request.key()}; }
Keys KeysOf(const kvrpcpb::CheckTxnStatusRequest& request) { return {request.primary_key()}; }
Keys KeysOf(const kvrpcpb::TxnHeartBeatRequest& request) { return {request.primary_lock()}; }
Keys KeysOf(const kvrpcpb::ScanLockRequest&) { return {}; }
Keys KeysOf(const kvrpcpb::ScanRequest& request) {
  return request.reverse() ? Keys{request.end_key()} : Keys{request.start_key()};
}
Keys KeysOf(const kvrpcpb::PrewriteRequest& request) {
  Keys keys;
  for (const kvrpcpb::Mutation& mutation : request.mutations()) keys.push_back(mutation.key());
  return keys;
}
template <typename Request>
Keys KeysOf(const Request& request) {
  return Keys(request.keys().begin(), request.keys().end());
}

std::vector<Timestamp> Passable(const kvrpcpb::Context& context) {
  return {context.resolved_locks().begin(), context.resolved_locks().end()};
}

}  // namespace

// The faults that change the cluster first.
void Cluster::Disturb(const kvrpcpb::Context& context, const std::vector<std::string>& keys,
                      Fault fault) {
  if (fault == Fault::kSplit && !keys.empty()) {
    SplitLocked(keys[faults_.Choose(keys.size())]);
  } else if (fault == Fault::kMoveLeader) {
    Region* region = FindRegion(context.region_id());
    const size_t to = faults_.Choose(store_count_);
    if (region != nullptr && stores_[to].running) MoveLeaderLocked(*region, to);
  }
}

std::optional<errorpb::Error> Cluster::CheckContext(const kvrpcpb::Context& context, size_t store,
                                                    const std::vector<std::string>& keys) {
  errorpb::Error error;
  Region* region = FindRegion(context.region_id());
  if (context.peer().store_id() != store + 1) {
    error.set_message("store not match");
    error.mutable_store_not_match()->set_actual_store_id(store + 1);
    return error;
  }
  if (region == nullptr) {
    error.set_message("region not found");
    error.mutable_region_not_found()->set_region_id(context.region_id());
    return error;
  }
  if (region->leader != store) {
    error.set_message("not leader");
    error.mutable_not_leader()->set_region_id(region->id);
    FillPeer(*region, region->leader, *error.mutable_not_leader()->mutable_leader());
    return error;
  }
  if (context.region_epoch().version() != region->version) {
    error.set_message("epoch not match");
    auto& current = *error.mutable_epoch_not_match();
    FillRegion(*region, *current.add_current_regions());
    const auto next = regions_.upper_bound(region->begin);
    if (next != regions_.end()) FillRegion(next->second, *current.add_current_regions());
    return error;
  }
  for (const std::string& key : keys) {
    if (region->Contains(key)) continue;
    error.set_message("key not in region");
    error.mutable_key_not_in_region()->set_key(key);
    return error;
  }
  return std::nullopt;
}

std::optional<errorpb::Error> Cluster::Injected(const kvrpcpb::Context& context, Fault fault) {
  errorpb::Error error;
  error.set_message("injected");
  Region* region = FindRegion(context.region_id());
  switch (fault) {
    case Fault::kNotLeader:
      error.mutable_not_leader()->set_region_id(context.region_id());
      if (region != nullptr) {
        FillPeer(*region, region->leader, *error.mutable_not_leader()->mutable_leader());
      }
      return error;
    case Fault::kNotLeaderUnknown: error.mutable_not_leader(); return error;
    case Fault::kEpochNotMatch:
      if (region != nullptr) {
        FillRegion(*region, *error.mutable_epoch_not_match()->add_current_regions());
      }
      error.mutable_epoch_not_match();
      return error;
    case Fault::kEpochNotMatchUnknown: error.mutable_epoch_not_match(); return error;
    case Fault::kRegionNotFound: error.mutable_region_not_found(); return error;
    case Fault::kKeyNotInRegion: error.mutable_key_not_in_region(); return error;
    case Fault::kStoreNotMatch: error.mutable_store_not_match(); return error;
    case Fault::kServerIsBusy: error.mutable_server_is_busy()->set_backoff_ms(2); return error;
    case Fault::kStaleCommand: error.mutable_stale_command(); return error;
    case Fault::kMaxTimestampNotSynced: error.mutable_max_timestamp_not_synced(); return error;
    case Fault::kDataIsNotReady: error.mutable_data_is_not_ready(); return error;
    case Fault::kReadIndexNotReady: error.mutable_read_index_not_ready(); return error;
    case Fault::kProposalInMergingMode: error.mutable_proposal_in_merging_mode(); return error;
    case Fault::kRaftEntryTooLarge: error.mutable_raft_entry_too_large(); return error;
    case Fault::kDiskFull: error.mutable_disk_full()->set_reason("injected"); return error;
    case Fault::kUndeterminedDone:
    case Fault::kUndeterminedNotDone: error.mutable_undetermined_result(); return error;
    default: return std::nullopt;
  }
}

template <typename Request, typename Response, typename Body>
void Cluster::AddRegionHandler(const char* name, Body body) {
  handlers_[std::string("/tikvpb.Tikv/") + name] =
      [this, body](Node node, const std::string& bytes, Fault fault)
          NO_THREAD_SAFETY_ANALYSIS -> Reply {
    Request request;
    if (node.kind != Node::Kind::kStore || !request.ParseFromString(bytes)) return std::nullopt;
    Response response;
    const std::vector<std::string> keys = KeysOf(request);
    Disturb(request.context(), keys, fault);
    std::optional<errorpb::Error> error = Injected(request.context(), fault);
    const bool executes = !error || fault == Fault::kUndeterminedDone;
    if (executes) {
      const auto refused = CheckContext(request.context(), node.index, keys);
      if (refused) {
        error = refused;
      } else {
        body(node.index, *FindRegion(request.context().region_id()), request, response);
      }
    }
    if (error) {
      response.Clear();
      *response.mutable_region_error() = *error;
    }
    return response.SerializeAsString();
  };
}

void Cluster::AddReadHandlers() {
  AddRegionHandler<kvrpcpb::GetRequest, kvrpcpb::GetResponse>(
      "KvGet", [this](size_t store, const Region&, const auto& request,
                      auto& response) NO_THREAD_SAFETY_ANALYSIS {
        NoteRead(store, request.version());
        Mvcc::Read read = mvcc_.Get(request.key(), request.version(), Passable(request.context()));
        if (read.error) *response.mutable_error() = *read.error;
        if (read.value) response.set_value(*read.value);
        response.set_not_found(!read.error && !read.value);
      });
  AddRegionHandler<kvrpcpb::BatchGetRequest, kvrpcpb::BatchGetResponse>(
      "KvBatchGet", [this](size_t store, const Region&, const auto& request,
                           auto& response) NO_THREAD_SAFETY_ANALYSIS {
        NoteRead(store, request.version());
        for (const std::string& key : request.keys()) {
          Mvcc::Read read = mvcc_.Get(key, request.version(), Passable(request.context()));
          if (!read.error && !read.value) continue;
          kvrpcpb::KvPair& pair = *response.add_pairs();
          if (read.error) *pair.mutable_error() = *read.error;
          pair.set_key(key);
          if (read.value) pair.set_value(*read.value);
        }
      });
  AddRegionHandler<kvrpcpb::ScanRequest, kvrpcpb::ScanResponse>(
      "KvScan", [this](size_t store, const Region& region, const auto& request,
                       auto& response) NO_THREAD_SAFETY_ANALYSIS {
        NoteRead(store, request.version());
        const bool reverse = request.reverse();
        std::string begin = reverse ? request.end_key() : request.start_key();
        std::string end = reverse ? request.start_key() : request.end_key();
        begin = std::max(begin, region.begin);
        if (!region.end.empty() && (end.empty() || end > region.end)) {
          end = region.end;
        }
        for (auto& pair : mvcc_.Scan(
                 begin, end, reverse ? Direction::kBackward : Direction::kForward, request.limit(),
                 request.version(), request.key_only(), Passable(request.context()))) {
          *response.add_pairs() = std::move(pair);
        }
      });
}

void Cluster::AddWriteHandlers() {
  AddRegionHandler<kvrpcpb::PrewriteRequest, kvrpcpb::PrewriteResponse>(
      "KvPrewrite",
      [this](size_t store, const Region&, const auto& request, auto& response)
          NO_THREAD_SAFETY_ANALYSIS { mvcc_.Prewrite(request, stores_[store].max_ts, response); });
  AddRegionHandler<kvrpcpb::CommitRequest, kvrpcpb::CommitResponse>(
      "KvCommit", [this](size_t, const Region&, const auto& request, auto& response)
                      NO_THREAD_SAFETY_ANALYSIS { mvcc_.Commit(request, response); });
  AddRegionHandler<kvrpcpb::BatchRollbackRequest, kvrpcpb::BatchRollbackResponse>(
      "KvBatchRollback", [this](size_t, const Region&, const auto& request, auto& response)
                             NO_THREAD_SAFETY_ANALYSIS { mvcc_.Rollback(request, response); });
  AddRegionHandler<kvrpcpb::CheckTxnStatusRequest, kvrpcpb::CheckTxnStatusResponse>(
      "KvCheckTxnStatus", [this](size_t store, const Region&, const auto& request, auto& response)
                              NO_THREAD_SAFETY_ANALYSIS {
                                NoteRead(store, request.caller_start_ts());
                                NoteRead(store, request.current_ts());
                                mvcc_.CheckTxnStatus(request, response);
                              });
  AddRegionHandler<kvrpcpb::CheckSecondaryLocksRequest, kvrpcpb::CheckSecondaryLocksResponse>(
      "KvCheckSecondaryLocks",
      [this](size_t, const Region&, const auto& request, auto& response)
          NO_THREAD_SAFETY_ANALYSIS { mvcc_.CheckSecondaryLocks(request, response); });
  AddRegionHandler<kvrpcpb::TxnHeartBeatRequest, kvrpcpb::TxnHeartBeatResponse>(
      "KvTxnHeartBeat", [this](size_t, const Region&, const auto& request, auto& response)
                            NO_THREAD_SAFETY_ANALYSIS { mvcc_.HeartBeat(request, response); });
  AddRegionHandler<kvrpcpb::ResolveLockRequest, kvrpcpb::ResolveLockResponse>(
      "KvResolveLock", [this](size_t, const Region& region, const auto& request, auto& response)
                           NO_THREAD_SAFETY_ANALYSIS {
                             mvcc_.ResolveLock(request, region.begin, region.end, response);
                           });
  AddRegionHandler<kvrpcpb::ScanLockRequest, kvrpcpb::ScanLockResponse>(
      "KvScanLock", [this](size_t store, const Region& region, const auto& request, auto& response)
                        NO_THREAD_SAFETY_ANALYSIS {
                          NoteRead(store, request.max_version());
                          mvcc_.ScanLock(request, region.begin, region.end, response);
                        });
}

template <typename Request, typename Response, typename Body>
void Cluster::AddPdHandler(const char* name, Body body) {
  const bool any_member = std::string(name) == "GetMembers";
  handlers_[std::string("/pdpb.PD/") + name] =
      [this, body, any_member](Node node, const std::string& bytes, Fault)
          NO_THREAD_SAFETY_ANALYSIS -> Reply {
    Request request;
    if (node.kind != Node::Kind::kPd || !request.ParseFromString(bytes)) return std::nullopt;
    if (!any_member && node.index != pd_leader_) return std::nullopt;
    Response response;
    response.mutable_header()->set_cluster_id(kClusterId);
    if (!any_member && request.header().cluster_id() != kClusterId) {
      response.mutable_header()->mutable_error()->set_type(pdpb::UNKNOWN);
      response.mutable_header()->mutable_error()->set_message("mismatch cluster id");
      return response.SerializeAsString();
    }
    body(request, response);
    return response.SerializeAsString();
  };
}

void Cluster::AddPdHandlers() {
  AddPdHandler<pdpb::GetMembersRequest, pdpb::GetMembersResponse>(
      "GetMembers", [this](const auto&, auto& response) NO_THREAD_SAFETY_ANALYSIS {
        for (size_t i = 0; i < kPdMembers; ++i) {
          pdpb::Member& member = *response.add_members();
          member.set_member_id(i + 1);
          member.add_client_urls("http://" + addresses_[Node{Node::Kind::kPd, i}]);
          if (i == pd_leader_) *response.mutable_leader() = member;
        }
      });
  AddPdHandler<pdpb::TsoRequest, pdpb::TsoResponse>(
      "Tso", [this](const auto& request, auto& response) NO_THREAD_SAFETY_ANALYSIS {
        const Timestamp last = Allocate(request.count());
        response.set_count(request.count());
        response.mutable_timestamp()->set_physical(static_cast<int64_t>(last >> kLogicalBits));
        response.mutable_timestamp()->set_logical(
            static_cast<int64_t>(last & ((uint64_t{1} << kLogicalBits) - 1)));
      });
  const auto region_at = [this](bool previous) {
    return [this, previous](const auto& request, auto& response) NO_THREAD_SAFETY_ANALYSIS {
      const Result<std::string> key = kv::tikv::DecodeMemcomparable(request.region_key());
      if (!key) return;
      auto region = RegionOf(*key);
      if (previous) {
        if (region == regions_.begin()) return;
        --region;
      }
      FillRegion(region->second, *response.mutable_region());
      FillPeer(region->second, region->second.leader, *response.mutable_leader());
    };
  };
  AddPdHandler<pdpb::GetRegionRequest, pdpb::GetRegionResponse>("GetRegion", region_at(false));
  AddPdHandler<pdpb::GetRegionRequest, pdpb::GetRegionResponse>("GetPrevRegion", region_at(true));
  AddPdHandler<pdpb::GetStoreRequest, pdpb::GetStoreResponse>(
      "GetStore", [this](const auto& request, auto& response) NO_THREAD_SAFETY_ANALYSIS {
        if (request.store_id() == 0 || request.store_id() > store_count_) return;
        const Node node{Node::Kind::kStore, request.store_id() - 1};
        response.mutable_store()->set_id(request.store_id());
        response.mutable_store()->set_address(addresses_[node]);
        response.mutable_stats()->set_capacity(uint64_t{300} << 30);
        response.mutable_stats()->set_available(uint64_t{200} << 30);
      });
  AddPdHandler<pdpb::GetAllStoresRequest, pdpb::GetAllStoresResponse>(
      "GetAllStores", [this](const auto&, auto& response) {
        for (size_t i = 0; i < store_count_; ++i) response.add_stores()->set_id(i + 1);
      });
  AddGcHandlers();
  AddPdHandler<pdpb::GetClusterConfigRequest, pdpb::GetClusterConfigResponse>(
      "GetClusterConfig",
      [](const auto&, auto& response) { response.mutable_cluster()->set_max_peer_count(3); });
}

// As PD keeps them: the service gc_worker is always there, and the others until they expire.
void Cluster::AddGcHandlers() {
  AddPdHandler<pdpb::GetGCSafePointRequest, pdpb::GetGCSafePointResponse>(
      "GetGCSafePoint", [this](const auto&, auto& response)
                            NO_THREAD_SAFETY_ANALYSIS { response.set_safe_point(gc_safe_point_); });
  AddPdHandler<pdpb::UpdateGCSafePointRequest, pdpb::UpdateGCSafePointResponse>(
      "UpdateGCSafePoint", [this](const auto& request, auto& response) NO_THREAD_SAFETY_ANALYSIS {
        gc_safe_point_ = std::max(gc_safe_point_, request.safe_point());
        response.set_new_safe_point(gc_safe_point_);
      });
  const auto oldest = [this]() NO_THREAD_SAFETY_ANALYSIS {
    return std::ranges::min_element(services_, {},
                                    [](const auto& service) { return service.second.safe_point; });
  };
  AddPdHandler<pdpb::UpdateServiceGCSafePointRequest, pdpb::UpdateServiceGCSafePointResponse>(
      "UpdateServiceGCSafePoint",
      [this, oldest](const auto& request, auto& response) NO_THREAD_SAFETY_ANALYSIS {
        const auto now_s =
            std::chrono::duration_cast<std::chrono::seconds>(clock_.Monotonic()).count();
        services_.try_emplace("gc_worker", Service{.expires_s = INT64_MAX, .safe_point = 0});
        std::erase_if(services_, [&](const auto& s) { return s.second.expires_s < now_s; });
        if (request.ttl_s() <= 0) services_.erase(request.service_id());
        if (request.ttl_s() > 0 && request.safe_point() >= oldest()->second.safe_point) {
          const bool for_ever = request.ttl_s() > INT64_MAX - now_s;
          services_[request.service_id()] = {
              .expires_s = for_ever ? INT64_MAX : now_s + request.ttl_s(),
              .safe_point = request.safe_point()};
        }
        response.set_service_id(oldest()->first);
        response.set_min_safe_point(oldest()->second.safe_point);
      });
  handlers_["/etcdserverpb.KV/Range"] = [this](Node, const std::string& bytes, Fault)
                                            NO_THREAD_SAFETY_ANALYSIS -> Reply {
    etcdserverpb::RangeRequest request;
    if (!request.ParseFromString(bytes)) return std::nullopt;
    etcdserverpb::RangeResponse response;
    response.set_count(std::ranges::count_if(etcd_keys_, [&](const std::string& key) {
      return key >= request.key() && key < request.range_end();
    }));
    return response.SerializeAsString();
  };
}

Timestamp Cluster::GcSafePoint() {
  MutexLock lock(mutex_);
  return gc_safe_point_;
}

void Cluster::MoveGcSafePoint(Timestamp safe_point) {
  MutexLock lock(mutex_);
  gc_safe_point_ = safe_point;
}

void Cluster::AddEtcdKey(const std::string& key) {
  MutexLock lock(mutex_);
  etcd_keys_.insert(key);
}

}  // namespace tifs::tikv_store
