#include "kv/tikv/settle.h"

#include <string>
#include <utility>
#include <vector>

namespace tifs::kv::tikv {
namespace {

constexpr uint32_t kLocksAtOnce = 1024;

// The locks of one piece of the range, and where the next begins.
struct LockPiece {
  std::vector<kvrpcpb::LockInfo> locks;
  std::string next;
  bool last = false;
};

Result<LockPiece> ScanLocks(RegionSender& sender, const std::string& begin, const std::string& end,
                            Timestamp now, Backoff& backoff) {
  for (;;) {
    RegionCall<kvrpcpb::ScanLockRequest> call(TRY(sender.cache().Locate(begin, backoff)));
    const Region& region = *call.region;
    LockPiece piece;
    piece.last = region.end.empty() || region.end >= end;
    piece.next = piece.last ? end : region.end;
    call.request.set_max_version(now);
    call.request.set_start_key(begin);
    call.request.set_end_key(piece.next);
    call.request.set_limit(kLocksAtOnce);
    RegionCallBase* const base = &call;
    TRY(sender.Send({&base, 1}, backoff));
    if (call.answered != Answered::kYes) {
      TRY(RegionSender::WaitAfter(call, backoff));
      continue;
    }
    // A lock that its store has in memory only, while it is being prewritten: soon it is a lock
    // that the scan tells of, or none.
    if (call.response.error().has_locked()) {
      TRY(backoff.Wait(BackoffKind::kLock,
                       Error(ErrorCode::kUnavailable, "tikv: settle", "locked")));
      continue;
    }
    if (call.response.has_error()) return ErrorOfKey(call.response.error(), "tikv: scan locks");
    for (kvrpcpb::LockInfo& lock : *call.response.mutable_locks()) {
      piece.locks.push_back(std::move(lock));
    }
    if (piece.locks.size() >= kLocksAtOnce) {
      piece.last = false;
      piece.next = piece.locks.back().key() + '\0';
    }
    return piece;
  }
}

}  // namespace

Status SettleUpTo(RegionSender& sender, LockResolver& resolver, TimestampOracle& oracle,
                  const Keyspace& keyspace, Timestamp limit, Backoff& backoff) {
  const Timestamp now = TRY(oracle.Get(backoff));
  if (now <= limit) return Error(ErrorCode::kUnavailable, "tikv: settle", "too early");
  std::string begin = keyspace.begin();
  for (;;) {
    LockPiece piece = TRY(ScanLocks(sender, begin, keyspace.end(), now, backoff));
    // A transaction that began later cannot commit at the limit.
    std::erase_if(piece.locks, [limit](const auto& l) { return l.lock_version() > limit; });
    while (!piece.locks.empty()) {
      const LocksInTheWay way = TRY(resolver.Resolve(piece.locks, 0, backoff));
      if (!way.wait) break;
      TRY(backoff.WaitAtMost(BackoffKind::kLock,
                             Error(ErrorCode::kUnavailable, "tikv: settle", "locked"), *way.wait));
    }
    if (piece.last) return {};
    begin = std::move(piece.next);
  }
}

}  // namespace tifs::kv::tikv
