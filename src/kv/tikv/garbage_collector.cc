#include "kv/tikv/garbage_collector.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/random.h"

namespace tifs::kv::tikv {
namespace {

using std::chrono::seconds;

// In the board's keyspace, which also holds the names of file systems.
constexpr std::string_view kRecordKey = "garbage";
constexpr uint8_t kRecordVersion = 1;
// The one service that PD always waits for; it is TiDB's where there is one.
constexpr char kService[] = "gc_worker";
constexpr seconds kForEver = seconds::max();
constexpr uint32_t kLocksAtOnce = 256;

}  // namespace

GarbageCollector::GarbageCollector(Environment& environment, PdClient& pd, RegionSender& sender,
                                   LockResolver& resolver, TimestampOracle& oracle, Store& board,
                                   const GcOptions& options)
    : environment_(environment),
      pd_(pd),
      sender_(sender),
      resolver_(resolver),
      oracle_(oracle),
      board_(board),
      options_(options),
      id_(RandomSeed() | 1) {}

Result<GcReport> GarbageCollector::Step() {
  Backoff backoff = environment_.NewBackoff();
  const uint64_t now_ms = PhysicalMs(TRY(oracle_.Get(backoff)));
  const Timestamp current = TRY(pd_.GcSafePoint(backoff));
  GcReport report{.what = GcReport::What::kNotElected, .safe_point = current};
  Record record;
  if (!TRY(Elect(now_ms, current, record))) return report;
  report.what = GcReport::What::kOthersDo;
  if (TRY(pd_.TidbRuns(backoff))) return report;
  const bool foreign = current > record.own_safe_point;
  if (foreign && now_ms - record.seen_at_ms < static_cast<uint64_t>(options_.patience.count())) {
    return report;
  }
  report.what = GcReport::What::kNothingToDo;
  const auto life_ms = static_cast<uint64_t>(options_.life_time.count());
  const Timestamp wanted = (now_ms - std::min(life_ms, now_ms)) << kLogicalBits;
  if (wanted <= current) return report;
  const Timestamp needed = TRY(pd_.HoldGcSafePoint(kService, wanted, kForEver, backoff));
  const Timestamp limit = std::min(wanted, needed);
  if (limit <= current) return report;
  const Timestamp safe_point = TRY(EndTransactions(limit, report.locks));
  if (safe_point <= current) return report;
  // First, so that a client that stops here does not take its own safe point for another's.
  TRY(Note(safe_point));
  Backoff for_pd = environment_.NewBackoff();
  report.safe_point = TRY(pd_.MoveGcSafePoint(safe_point, for_pd));
  report.what = GcReport::What::kCollected;
  return report;
}

namespace {

template <typename Record>
Result<Record> ParseRecord(std::string_view bytes) {
  Decoder in(bytes);
  Record record;
  const uint8_t version = in.Fixed<uint8_t>();
  record.leader = in.Fixed<uint64_t>();
  record.lease_until_ms = in.Fixed<uint64_t>();
  record.own_safe_point = in.Fixed<uint64_t>();
  record.seen_safe_point = in.Fixed<uint64_t>();
  record.seen_at_ms = in.Fixed<uint64_t>();
  if (!in.done() || version != kRecordVersion) {
    return Error(ErrorCode::kCorrupt, "tikv: record of the garbage collection");
  }
  return record;
}

template <typename Record>
Status PutRecord(Transaction& transaction, const Record& record) {
  std::string bytes;
  Encoder out(bytes);
  out.Fixed(kRecordVersion);
  for (const uint64_t field : {record.leader, record.lease_until_ms, record.own_safe_point,
                               record.seen_safe_point, record.seen_at_ms}) {
    out.Fixed(field);
  }
  return transaction.Put(kRecordKey, bytes);
}

}  // namespace

// Whether this client is elected; then its lease is renewed, and `record` says what is known.
Result<bool> GarbageCollector::Elect(uint64_t now_ms, Timestamp current, Record& record) {
  // Once only: a step that fails is repeated by the next, and one that retried would not end when
  // the client closes.
  const std::unique_ptr<Transaction> transaction = TRY(board_.Begin());
  const std::optional<Value> value = TRY(transaction->Get(kRecordKey));
  if (value) record = TRY(ParseRecord<Record>(value->view()));
  if (record.leader != id_ && record.lease_until_ms > now_ms) return false;
  record.leader = id_;
  record.lease_until_ms = now_ms + static_cast<uint64_t>(options_.lease.count());
  if (record.seen_safe_point != current || record.seen_at_ms == 0) {
    record.seen_safe_point = current;
    record.seen_at_ms = now_ms;
  }
  TRY(PutRecord(*transaction, record));
  Status committed = transaction->Commit();
  if (committed) return true;
  if (committed.error().code() == ErrorCode::kConflict) return false;  // another was quicker
  return std::move(committed).error();
}

Status GarbageCollector::Note(Timestamp safe_point) {
  const std::unique_ptr<Transaction> transaction = TRY(board_.Begin());
  const std::optional<Value> value = TRY(transaction->Get(kRecordKey));
  if (!value) return Error(ErrorCode::kUnavailable, "tikv: gc", "its record is gone");
  Record record = TRY(ParseRecord<Record>(value->view()));
  if (record.leader != id_) return Error(ErrorCode::kUnavailable, "tikv: gc", "deposed");
  record.own_safe_point = safe_point;
  TRY(PutRecord(*transaction, record));
  return transaction->Commit();
}

// The first locks at `begin` and after it, of one region or less, made at `limit` or before.
Result<GarbageCollector::LockPiece> GarbageCollector::LocksFrom(const std::string& begin,
                                                                Timestamp limit, Backoff& backoff) {
  for (;;) {
    RegionCall<kvrpcpb::ScanLockRequest> call(TRY(sender_.cache().Locate(begin, backoff)));
    call.request.set_max_version(limit);
    call.request.set_start_key(begin);
    call.request.set_end_key(call.region->end);
    call.request.set_limit(kLocksAtOnce);
    RegionCallBase* const base = &call;
    TRY(sender_.Send({&base, 1}, backoff));
    if (call.answered != Answered::kYes) {
      TRY(RegionSender::WaitAfter(call, backoff));
      continue;
    }
    if (call.response.has_error()) return ErrorOfKey(call.response.error(), "tikv: scan locks");
    LockPiece piece;
    piece.locks.assign(call.response.locks().begin(), call.response.locks().end());
    if (piece.locks.size() >= kLocksAtOnce) {
      piece.next = piece.locks.back().key() + '\0';
    } else if (!call.region->end.empty()) {
      piece.next = call.region->end;
    }
    return piece;
  }
}

Result<Timestamp> GarbageCollector::EndTransactions(Timestamp limit, uint64_t& locks) {
  Timestamp done = limit;
  std::optional<std::string> begin = "";
  while (begin) {
    // A pass over a large cluster takes longer than one operation may; each piece is one.
    Backoff backoff = environment_.NewBackoff();
    LockPiece piece = TRY(LocksFrom(*begin, limit, backoff));
    const LocksInTheWay way = TRY(resolver_.Resolve(piece.locks, 0, backoff));
    if (way.wait) {
      // Some transaction of these lives, and needs what was there when it began.
      const auto oldest =
          std::ranges::min_element(piece.locks, {}, &kvrpcpb::LockInfo::lock_version);
      done = std::min<Timestamp>(done, oldest->lock_version() - 1);
    }
    locks += piece.locks.size();
    begin = std::move(piece.next);
  }
  return done;
}

}  // namespace tifs::kv::tikv
