#include "kv/tikv/pd_client.h"

#include <algorithm>
#include <utility>

#include "proto/etcdserverpb.pb.h"

namespace tifs::kv::tikv {
namespace {

// PD announces URLs, and gRPC wants host and port.
std::string WithoutScheme(std::string_view url) {
  const size_t colon = url.find("://");
  return std::string(colon == std::string_view::npos ? url : url.substr(colon + 3));
}

}  // namespace

PdClient::PdClient(Environment& environment)
    : environment_(environment),
      members_(environment.options.pd_addresses.begin(), environment.options.pd_addresses.end()) {}

uint64_t PdClient::cluster_id() {
  MutexLock lock(mutex_);
  return cluster_id_;
}

void PdClient::ForgetLeader(const std::string& address) {
  MutexLock lock(mutex_);
  if (leader_ == address) leader_.clear();
}

Result<std::string> PdClient::Leader(Backoff& backoff) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!leader_.empty()) return leader_;
    }
    Result<std::string> found = FindLeader();
    if (found || found.error().code() != ErrorCode::kUnavailable) return found;
    TRY(backoff.Wait(BackoffKind::kPd, found.error()));
  }
}

// Asks every known member until one names a leader.
Result<std::string> PdClient::FindLeader() {
  std::vector<std::string> members;
  {
    MutexLock lock(mutex_);
    members.assign(members_.begin(), members_.end());
  }
  Error last(ErrorCode::kUnavailable, "pd: no member answers");
  for (const std::string& member : members) {
    pdpb::GetMembersRequest request;
    Result<pdpb::GetMembersResponse> answer =
        CallOnce<pdpb::GetMembersResponse>(member, "/pdpb.PD/GetMembers", request);
    if (!answer) {
      last = std::move(answer).error();
      continue;
    }
    if (answer->leader().client_urls().empty()) {
      last = Error(ErrorCode::kUnavailable, "pd: no leader");
      continue;
    }
    TRY(Learn(*answer));
    return WithoutScheme(answer->leader().client_urls(0));
  }
  return last;
}

Status PdClient::Learn(const pdpb::GetMembersResponse& members) {
  MutexLock lock(mutex_);
  const uint64_t cluster_id = members.header().cluster_id();
  if (cluster_id_ != 0 && cluster_id_ != cluster_id) {
    return Error(ErrorCode::kCorrupt, "pd: the address belongs to another cluster now",
                 std::to_string(cluster_id_) + " was, " + std::to_string(cluster_id) + " is");
  }
  cluster_id_ = cluster_id;
  for (const pdpb::Member& member : members.members()) {
    for (const std::string& url : member.client_urls()) members_.insert(WithoutScheme(url));
  }
  leader_ = WithoutScheme(members.leader().client_urls(0));
  return {};
}

template <typename Response, typename Request>
Result<Response> PdClient::CallOnce(const std::string& address, const char* method,
                                    Request& request) {
  request.mutable_header()->set_cluster_id(cluster_id());
  Response response;
  OutgoingCall call{.address = address,
                    .method = method,
                    .request = &request,
                    .response = &response,
                    .status = {}};
  CallAll(environment_.transport, {&call, 1}, environment_.options.rpc_timeout);
  TRY(std::move(call.status));
  if (response.header().error().type() != pdpb::OK) {
    return Error(ErrorCode::kUnavailable, "pd", response.header().error().message());
  }
  return response;
}

template <typename Response, typename Request>
Result<Response> PdClient::Call(const char* method, Request request, Backoff& backoff) {
  for (;;) {
    const std::string leader = TRY(Leader(backoff));
    Result<Response> response = CallOnce<Response>(leader, method, request);
    if (response || response.error().code() != ErrorCode::kUnavailable) return response;
    ForgetLeader(leader);
    TRY(backoff.Wait(BackoffKind::kPd, response.error()));
  }
}

Result<pdpb::GetRegionResponse> PdClient::GetRegion(std::string_view key, Backoff& backoff) {
  pdpb::GetRegionRequest request;
  request.set_region_key(std::string(key));
  return Call<pdpb::GetRegionResponse>("/pdpb.PD/GetRegion", request, backoff);
}

Result<pdpb::GetRegionResponse> PdClient::GetPreviousRegion(std::string_view key,
                                                            Backoff& backoff) {
  pdpb::GetRegionRequest request;
  request.set_region_key(std::string(key));
  return Call<pdpb::GetRegionResponse>("/pdpb.PD/GetPrevRegion", request, backoff);
}

Result<std::string> PdClient::StoreAddress(uint64_t store_id, Backoff& backoff) {
  pdpb::GetStoreRequest request;
  request.set_store_id(store_id);
  const pdpb::GetStoreResponse response =
      TRY(Call<pdpb::GetStoreResponse>("/pdpb.PD/GetStore", request, backoff));
  if (response.store().state() == metapb::Tombstone || response.store().address().empty()) {
    return Error(ErrorCode::kNotFound, "pd: the store has left", std::to_string(store_id));
  }
  return response.store().address();
}

Result<SpaceUsage> PdClient::Space(Backoff& backoff) {
  pdpb::GetAllStoresRequest all;
  all.set_exclude_tombstone_stores(true);
  const pdpb::GetAllStoresResponse stores =
      TRY(Call<pdpb::GetAllStoresResponse>("/pdpb.PD/GetAllStores", all, backoff));
  SpaceUsage space;
  for (const metapb::Store& store : stores.stores()) {
    pdpb::GetStoreRequest request;
    request.set_store_id(store.id());
    const pdpb::GetStoreResponse response =
        TRY(Call<pdpb::GetStoreResponse>("/pdpb.PD/GetStore", request, backoff));
    space.total_bytes += response.stats().capacity();
    space.available_bytes += response.stats().available();
  }
  const pdpb::GetClusterConfigResponse config = TRY(Call<pdpb::GetClusterConfigResponse>(
      "/pdpb.PD/GetClusterConfig", pdpb::GetClusterConfigRequest(), backoff));
  const uint64_t replicas =
      std::clamp<uint64_t>(config.cluster().max_peer_count(), 1, std::max(stores.stores_size(), 1));
  space.total_bytes /= replicas;
  space.available_bytes /= replicas;
  return space;
}

Result<Timestamp> PdClient::GcSafePoint(Backoff& backoff) {
  const auto response = TRY(Call<pdpb::GetGCSafePointResponse>(
      "/pdpb.PD/GetGCSafePoint", pdpb::GetGCSafePointRequest(), backoff));
  return response.safe_point();
}

Result<Timestamp> PdClient::MoveGcSafePoint(Timestamp safe_point, Backoff& backoff) {
  pdpb::UpdateGCSafePointRequest request;
  request.set_safe_point(safe_point);
  const auto response =
      TRY(Call<pdpb::UpdateGCSafePointResponse>("/pdpb.PD/UpdateGCSafePoint", request, backoff));
  return response.new_safe_point();
}

Result<Timestamp> PdClient::HoldGcSafePoint(const std::string& service, Timestamp safe_point,
                                            std::chrono::seconds ttl, Backoff& backoff) {
  pdpb::UpdateServiceGCSafePointRequest request;
  request.set_service_id(service);
  request.set_ttl_s(ttl.count());
  request.set_safe_point(safe_point);
  const auto response = TRY(Call<pdpb::UpdateServiceGCSafePointResponse>(
      "/pdpb.PD/UpdateServiceGCSafePoint", request, backoff));
  return response.min_safe_point();
}

// Each TiDB keeps a key there for as long as it lives.
Result<bool> PdClient::TidbRuns(Backoff& backoff) {
  etcdserverpb::RangeRequest request;
  request.set_key("/tidb/server/info/");
  request.set_range_end("/tidb/server/info0");
  request.set_count_only(true);
  for (;;) {
    const std::string leader = TRY(Leader(backoff));
    etcdserverpb::RangeResponse response;
    OutgoingCall call{.address = leader,
                      .method = "/etcdserverpb.KV/Range",
                      .request = &request,
                      .response = &response,
                      .status = {}};
    CallAll(environment_.transport, {&call, 1}, environment_.options.rpc_timeout);
    if (call.status) return response.count() > 0;
    if (call.status.error().code() != ErrorCode::kUnavailable)
      return std::move(call.status).error();
    ForgetLeader(leader);
    TRY(backoff.Wait(BackoffKind::kPd, call.status.error()));
  }
}

}  // namespace tifs::kv::tikv
