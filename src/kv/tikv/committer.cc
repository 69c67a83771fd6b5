#include "kv/tikv/committer.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "kv/tikv/key_rounds.h"

namespace tifs::kv::tikv {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// Beyond these the primary's lock, which lists all secondaries, would grow too large.
constexpr size_t kMaxAsyncKeys = 256;
constexpr size_t kMaxAsyncKeyBytes = 4096;
// Keys that are committed or rolled back by one request.
constexpr size_t kMaxKeysARequest = 1024;
constexpr size_t kBytesASecondOfTtl = size_t{2} << 20;

// Sends requests for `keys` to their regions until all are executed. What remains undone after the
// backoff's deadline is left to whoever meets the locks.
template <typename Request>
void SweepKeys(RegionSender& sender, std::span<const std::string> keys, const Request& prototype,
               Backoff& backoff) {
  KeyRounds<Request> rounds(sender, keys, kMaxKeysARequest);
  const auto fill = [&](auto& request, auto items) {
    request = prototype;
    rounds.AddKeys(request, items);
  };
  const auto take = [](auto&, auto) -> Status { return {}; };
  while (!rounds.done()) {
    if (!rounds.Next(backoff, fill, take)) return;
  }
}

}  // namespace

Committer::Committer(const CommitParts& parts, Timestamp start_ts, std::chrono::nanoseconds started,
                     std::vector<kvrpcpb::Mutation> mutations, Timestamp max_commit_ts)
    : parts_(parts),
      start_ts_(start_ts),
      started_(started),
      mutations_(std::move(mutations)),
      max_commit_ts_(max_commit_ts),
      batch_bytes_(parts.environment.options.prewrite_bytes) {
  CHECK(!mutations_.empty());
  const auto can_lead = [](const kvrpcpb::Mutation& m) {
    return m.op() != kvrpcpb::CheckNotExists;
  };
  const auto writes = [&](const kvrpcpb::Mutation& m) {
    return can_lead(m) && m.op() != kvrpcpb::Lock;
  };
  auto primary = std::ranges::find_if(mutations_, writes);
  if (primary == mutations_.end()) primary = std::ranges::find_if(mutations_, can_lead);
  if (primary == mutations_.end()) primary = mutations_.begin();
  primary_index_ = primary - mutations_.begin();
  primary_ = primary->key();
  for (const kvrpcpb::Mutation& mutation : mutations_) {
    keys_.push_back(mutation.key());
    bytes_ += mutation.key().size() + mutation.value().size();
  }
}

uint64_t Committer::TtlMs() const {
  const auto elapsed = parts_.environment.clock.Monotonic() - started_;
  return duration_cast<milliseconds>(elapsed).count() +
         parts_.environment.options.lock_ttl.count() + 1000 * bytes_ / kBytesASecondOfTtl;
}

void Committer::ChooseWay() {
  const TikvOptions& options = parts_.environment.options;
  size_t key_bytes = 0;
  for (const std::string& key : keys_) key_bytes += key.size();
  one_phase_ = options.one_phase && bytes_ <= options.prewrite_bytes;
  async_ = options.async_commit && keys_.size() <= kMaxAsyncKeys && key_bytes <= kMaxAsyncKeyBytes;
}

Status Committer::ChooseFloor(const std::shared_ptr<PendingTimestamp>& asked, Backoff& backoff) {
  const bool fresh = parts_.environment.options.commit_floor == CommitFloor::kFresh;
  floor_ = start_ts_ + 1;
  if (!fresh || (!one_phase_ && !async_)) return {};
  const auto pending = asked ? asked : parts_.oracle.Ask();
  floor_ = TRY(parts_.oracle.Wait(*pending, backoff)) + 1;
  return {};
}

Status Committer::Commit(const std::shared_ptr<PendingTimestamp>& floor_asked) {
  Backoff backoff = parts_.environment.NewBackoff();
  ChooseWay();
  Status floor = ChooseFloor(floor_asked, backoff);
  if (floor && IsBeyondLimit(floor_)) {
    floor = Error(ErrorCode::kConflict, "tikv: commit", "beyond its limit");
  }
  if (!floor) {
    outcome_ = Outcome::kFailed;  // nothing has been sent
    return floor;
  }
  const auto heartbeat =
      parts_.heartbeat.Register(primary_, start_ts_, started_, milliseconds(TtlMs()));
  Status prewritten = Prewrite(backoff);
  if (outcome_ == Outcome::kCommitted) return {};
  TRY(std::move(prewritten));
  if (one_phase_ts_ != 0) return Committed(one_phase_ts_, keys_);
  if (async_) return Committed(min_commit_ts_, {});
  return CommitPrimary(backoff);
}

Status Committer::Prewrite(Backoff& backoff) {
  std::vector<size_t> left(mutations_.size());
  std::iota(left.begin(), left.end(), 0);
  while (!left.empty()) {
    Result<std::vector<PrewriteBatch>> batches = Batches(left, backoff);
    if (!batches) return Failed(std::move(batches).error());
    one_phase_ = one_phase_ && batches->size() == 1 && left.size() == mutations_.size();
    std::deque<PrewriteCall> calls;
    std::vector<RegionCallBase*> to_send;
    for (const PrewriteBatch& batch : *batches) {
      PrewriteCall& call = calls.emplace_back(batch.region);
      FillPrewrite(batch, one_phase_, call.request);
      to_send.push_back(&call);
    }
    if (Status sent = parts_.sender.Send(to_send, backoff); !sent) {
      return Failed(std::move(sent).error());
    }
    Round round;
    for (size_t i = 0; i < calls.size(); ++i) JudgePrewrite(calls[i], (*batches)[i], round);
    left = round.left;
    TRY(EndRound(round, backoff));
    if (outcome_ == Outcome::kCommitted) return {};
    retrying_ = true;
  }
  return {};
}

Result<std::vector<Committer::PrewriteBatch>> Committer::Batches(std::span<const size_t> left,
                                                                 Backoff& backoff) {
  std::vector<PrewriteBatch> batches;
  for (KeyGroup& group : TRY(GroupByRegion(parts_.sender.cache(), keys_, left, backoff))) {
    size_t bytes = 0;
    for (const size_t item : group.items) {
      const size_t size = mutations_[item].key().size() + mutations_[item].value().size();
      if (bytes == 0 || bytes + size > batch_bytes_) {
        batches.push_back({.region = group.region, .items = {}});
        bytes = 0;
      }
      batches.back().items.push_back(item);
      bytes += size;
    }
  }
  return batches;
}

void Committer::FillPrewrite(const PrewriteBatch& batch, bool one_phase,
                             kvrpcpb::PrewriteRequest& request) const {
  request.mutable_context()->set_is_retry_request(retrying_);
  request.set_primary_lock(primary_);
  request.set_start_version(start_ts_);
  request.set_lock_ttl(TtlMs());
  request.set_txn_size(batch.items.size());
  request.set_min_commit_ts(floor_);
  request.set_max_commit_ts(max_commit_ts_);
  request.set_use_async_commit(async_);
  request.set_try_one_pc(one_phase);
  for (const size_t item : batch.items) {
    *request.add_mutations() = mutations_[item];
    if (item != primary_index_ || !async_) continue;
    for (size_t other = 0; other < keys_.size(); ++other) {
      const bool locks = mutations_[other].op() != kvrpcpb::CheckNotExists;
      if (other != primary_index_ && locks) request.add_secondaries(keys_[other]);
    }
  }
}

void Committer::JudgePrewrite(const PrewriteCall& call, const PrewriteBatch& batch, Round& round) {
  const auto send_again = [&] {
    round.left.insert(round.left.end(), batch.items.begin(), batch.items.end());
  };
  switch (call.answered) {
    case Answered::kNo:
      send_again();
      round.retry = &call;
      return;
    case Answered::kNobody:
      if (call.request.try_one_pc() || call.request.use_async_commit()) {
        round.lost = true;
        return;
      }
      send_again();
      round.retry = &call;
      return;
    case Answered::kTooLarge:
      send_again();
      if (batch.items.size() == 1) {
        round.failure = call.error.Clone();
      } else {
        batch_bytes_ = std::max<size_t>(batch_bytes_ / 2, 1);
        one_phase_ = false;
      }
      return;
    case Answered::kFailed: round.failure = call.error.Clone(); return;
    case Answered::kYes: break;
  }
  if (call.response.errors_size() > 0) {
    send_again();
    for (const kvrpcpb::KeyError& error : call.response.errors()) JudgeKeyError(error, round);
    return;
  }
  if (call.request.try_one_pc()) {
    one_phase_ts_ = call.response.one_pc_commit_ts();
    one_phase_ = false;
    if (one_phase_ts_ != 0) return;
  }
  if (call.response.min_commit_ts() == 0) async_ = false;
  min_commit_ts_ = std::max(min_commit_ts_, call.response.min_commit_ts());
}

void Committer::JudgeKeyError(const kvrpcpb::KeyError& error, Round& round) {
  if (error.has_locked()) {
    round.locks.push_back(error.locked());
  } else {
    round.failure = ErrorOfKey(error, "tikv: prewrite");
  }
}

Status Committer::EndRound(Round& round, Backoff& backoff) {
  // What was lost may be all that was missing, so nothing but the recorded status counts now.
  if (round.lost) return AskOutcome(backoff);
  if (round.failure) return Failed(*std::move(round.failure));
  if (!round.locks.empty()) {
    Error locked(ErrorCode::kConflict, "tikv: prewrite", "locked");
    // However a younger transaction ends, it leaves a record above our snapshot.
    const auto younger = [&](const kvrpcpb::LockInfo& l) { return l.lock_version() > start_ts_; };
    if (std::ranges::any_of(round.locks, younger)) return Failed(std::move(locked));
    Result<LocksInTheWay> way = parts_.resolver.Resolve(round.locks, 0, backoff);
    if (!way) return Failed(std::move(way).error());
    if (way->wait) {
      Status waited = backoff.WaitAtMost(BackoffKind::kLock, locked, *way->wait);
      if (!waited) return Failed(std::move(waited).error());
    }
  }
  if (round.retry) {
    Status waited = RegionSender::WaitAfter(*round.retry, backoff);
    if (!waited) return Failed(std::move(waited).error());
  }
  return {};
}

std::vector<std::string> Committer::KeysWithPrimary(const Region& region) const {
  std::vector<std::string> keys = {primary_};
  for (size_t i = 0; i < keys_.size() && keys.size() < kMaxKeysARequest; ++i) {
    const bool locks = mutations_[i].op() != kvrpcpb::CheckNotExists;
    if (i != primary_index_ && locks && region.Contains(keys_[i])) keys.push_back(keys_[i]);
  }
  return keys;
}

Status Committer::CommitPrimary(Backoff& backoff) {
  Result<Timestamp> commit_ts = parts_.oracle.Get(backoff);
  bool alone = false;  // the primary is committed by a request of its own
  for (;;) {
    if (!commit_ts) {
      return attempted_ != 0 ? AskOutcome(backoff) : Failed(std::move(commit_ts).error());
    }
    // No try at it has been made: one that was would have been below the limit.
    if (IsBeyondLimit(*commit_ts)) {
      return Failed(Error(ErrorCode::kConflict, "tikv: commit", "beyond its limit"));
    }
    Result<RegionRef> region = parts_.sender.cache().Locate(primary_, backoff);
    if (!region) {
      return attempted_ != 0 ? AskOutcome(backoff) : Failed(std::move(region).error());
    }
    RegionCall<kvrpcpb::CommitRequest> call(*region);
    const std::vector<std::string> keys = alone ? std::vector{primary_} : KeysWithPrimary(**region);
    call.request.set_start_version(start_ts_);
    call.request.set_commit_version(*commit_ts);
    call.request.set_primary_key(primary_);
    for (const std::string& key : keys) call.request.add_keys(key);
    RegionCallBase* const base = &call;
    Status sent = parts_.sender.Send({&base, 1}, backoff);
    if (sent && call.answered == Answered::kYes) {
      if (!call.response.has_error()) return Committed(*commit_ts, keys);
      if (!call.response.error().has_commit_ts_expired()) {
        // Its lock is gone: rolled back by somebody, unless an earlier try had committed it.
        return AskOutcome(backoff);
      }
      // Pushed beyond that timestamp for good, so no try at it has happened or will.
      attempted_ = 0;
      commit_ts = parts_.oracle.Get(backoff);
      continue;
    }
    if (sent && call.answered == Answered::kTooLarge && !alone) {
      alone = true;
      continue;
    }
    if (sent && call.answered == Answered::kNobody) attempted_ = *commit_ts;
    if (sent) sent = RegionSender::WaitAfter(call, backoff);
    if (!sent) return attempted_ != 0 ? AskOutcome(backoff) : Failed(std::move(sent).error());
  }
}

Status Committer::AskOutcome(Backoff& backoff) {
  Result<TransactionOutcome> ended =
      parts_.resolver.EndOwn(primary_, start_ts_, attempted_, backoff);
  if (!ended) {
    return Error(ErrorCode::kUndetermined, "tikv: commit", ended.error().ToString());
  }
  if (ended->committed()) return Committed(ended->commit_ts, {});
  return Failed(Error(ErrorCode::kConflict, "tikv: commit", "rolled back"));
}

Status Committer::Committed(Timestamp commit_ts, std::span<const std::string> done) {
  outcome_ = Outcome::kCommitted;
  parts_.resolver.Note(start_ts_, {commit_ts});
  std::vector<std::string> rest;
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (mutations_[i].op() == kvrpcpb::CheckNotExists) continue;
    if (std::ranges::find(done, keys_[i]) == done.end()) rest.push_back(keys_[i]);
  }
  if (rest.empty()) return {};
  parts_.cleanup.Add([parts = parts_, start_ts = start_ts_, commit_ts, primary = primary_,
                      rest = std::move(rest)] {
    Backoff backoff = parts.environment.NewBackoff();
    kvrpcpb::CommitRequest request;
    request.set_start_version(start_ts);
    request.set_commit_version(commit_ts);
    request.set_primary_key(primary);
    SweepKeys(parts.sender, rest, request, backoff);
  });
  return {};
}

Status Committer::Failed(Error error) {
  outcome_ = Outcome::kFailed;
  parts_.resolver.Note(start_ts_, {});
  parts_.cleanup.Add([parts = parts_, start_ts = start_ts_, keys = keys_] {
    Backoff backoff = parts.environment.NewBackoff();
    kvrpcpb::BatchRollbackRequest request;
    request.set_start_version(start_ts);
    SweepKeys(parts.sender, keys, request, backoff);
  });
  return error;
}

Result<bool> Committer::Determine() {
  if (outcome_ == Outcome::kOpen) {
    Backoff backoff = parts_.environment.NewBackoff();
    Status status = AskOutcome(backoff);
    if (outcome_ == Outcome::kOpen) {
      return Error(ErrorCode::kUnavailable, "tikv: commit", status.error().ToString());
    }
  }
  return outcome_ == Outcome::kCommitted;
}

}  // namespace tifs::kv::tikv
