#include "kv/tikv/region_request.h"

#include <algorithm>
#include <utility>

namespace tifs::kv::tikv {

using std::chrono::milliseconds;

Status RegionSender::Send(std::span<RegionCallBase* const> calls, Backoff& backoff) {
  std::vector<OutgoingCall> outgoing;
  std::vector<RegionCallBase*> sent;
  for (RegionCallBase* const to_send : calls) {
    RegionCallBase& call = *to_send;
    Result<std::string> address = cache_.LeaderAddress(*call.region, backoff);
    if (!address) {
      if (address.error().code() != ErrorCode::kNotFound) return std::move(address).error();
      call.answered = Answered::kNo;  // the region is no longer in the cache
      call.error = Error(ErrorCode::kUnavailable, "tikv: the region's store has left");
      continue;
    }
    kvrpcpb::Context& context = call.context();
    context.set_region_id(call.region->id);
    *context.mutable_region_epoch() = call.region->epoch;
    *context.mutable_peer() = call.region->leader_peer();
    context.set_cluster_id(pd_.cluster_id());
    sent.push_back(&call);
    outgoing.push_back({.address = *std::move(address),
                        .method = call.method(),
                        .request = &call.request_message(),
                        .response = &call.response_message(),
                        .status = {}});
  }
  const auto timeout =
      std::min(environment_.options.rpc_timeout,
               std::max<std::chrono::nanoseconds>(backoff.remaining(), milliseconds(1)));
  CallAll(environment_.transport, outgoing, timeout);
  for (size_t i = 0; i < sent.size(); ++i) Judge(*sent[i], std::move(outgoing[i].status));
  return {};
}

void RegionSender::Judge(RegionCallBase& call, Status status) {
  if (!status) {
    const bool final = status.error().code() != ErrorCode::kUnavailable;
    call.answered = final ? Answered::kFailed : Answered::kNobody;
    call.error = std::move(status).error();
    call.wait = BackoffKind::kTransport;
    cache_.ForgetStore(call.region->leader_peer().store_id());
    cache_.TryNextPeer(*call.region);
    return;
  }
  if (const errorpb::Error* error = call.region_error()) {
    JudgeRegionError(call, *error);
    return;
  }
  call.answered = Answered::kYes;
}

void RegionSender::JudgeRegionError(RegionCallBase& call, const errorpb::Error& error) {
  const Region& region = *call.region;
  call.answered = Answered::kNo;
  call.error = Error(ErrorCode::kUnavailable, "tikv: region", error.message());
  call.wait = BackoffKind::kRegion;
  if (error.has_not_leader()) {
    call.wait = BackoffKind::kLeader;
    if (error.not_leader().has_leader() && error.not_leader().leader().id() != 0) {
      cache_.SetLeader(region, error.not_leader().leader());
    } else {
      cache_.TryNextPeer(region);
    }
  } else if (error.has_epoch_not_match()) {
    cache_.Replace(region, error.epoch_not_match());
  } else if (error.has_store_not_match()) {
    cache_.ForgetStore(region.leader_peer().store_id());
    cache_.Drop(region);
  } else if (error.has_region_not_found() || error.has_key_not_in_region() ||
             error.has_mismatch_peer_id() || error.has_region_not_initialized()) {
    cache_.Drop(region);
  } else if (error.has_server_is_busy()) {
    call.wait = BackoffKind::kServerBusy;
    call.at_least = milliseconds(std::min<uint64_t>(error.server_is_busy().backoff_ms(), 60'000));
  } else if (error.has_max_timestamp_not_synced() || error.has_read_index_not_ready() ||
             error.has_proposal_in_merging_mode() || error.has_data_is_not_ready()) {
    call.wait = BackoffKind::kNotReady;
  } else if (error.has_raft_entry_too_large()) {
    call.answered = Answered::kTooLarge;
    call.error = Error(ErrorCode::kTooLarge, "tikv: raft entry", error.message());
  } else if (error.has_disk_full()) {
    call.answered = Answered::kFailed;
    call.error = Error(ErrorCode::kNoSpace, "tikv: disk full", error.disk_full().reason());
  } else if (error.has_undetermined_result()) {
    call.answered = Answered::kNobody;
    call.wait = BackoffKind::kTransport;
  }
}

Status RegionSender::WaitAfter(const RegionCallBase& call, Backoff& backoff) {
  switch (call.answered) {
    case Answered::kYes: return {};
    case Answered::kNo:
    case Answered::kNobody: return backoff.Wait(call.wait, call.error, call.at_least);
    case Answered::kTooLarge:
    case Answered::kFailed: return call.error.Clone();
  }
  return {};
}

Result<std::vector<KeyGroup>> GroupByRegion(RegionCache& cache, std::span<const std::string> keys,
                                            std::span<const size_t> items, Backoff& backoff) {
  std::vector<KeyGroup> groups;
  for (const size_t item : items) {
    auto group = std::ranges::find_if(
        groups, [&](const KeyGroup& g) { return g.region->Contains(keys[item]); });
    if (group == groups.end()) {
      groups.push_back({.region = TRY(cache.Locate(keys[item], backoff)), .items = {}});
      group = std::prev(groups.end());
    }
    group->items.push_back(item);
  }
  return groups;
}

}  // namespace tifs::kv::tikv
