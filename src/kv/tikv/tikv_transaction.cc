#include "kv/tikv/tikv_transaction.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tifs::kv::tikv {

// The store's pairs of a scan, one after the other. They come in pieces, of few pairs at first and
// of about a megabyte later, and are read without the visitor, which may come back into the
// transaction.
class PiecewiseScan {
 public:
  PiecewiseScan(TikvTransaction& transaction, const KeyRange& range, size_t limit,
                Direction direction)
      : transaction_(transaction), direction_(direction) {
    const Keyspace& keyspace = transaction.keyspace_;
    bounds_.begin = keyspace.Encode(range.begin);
    bounds_.end = range.end.empty() ? keyspace.end() : keyspace.Encode(range.end);
    drained_ = bounds_.begin >= bounds_.end;
    // What own writes hide is asked for in vain, so one more than the limit does not help.
    if (limit > 0) next_limit_ = std::clamp<size_t>(limit, 1, kMaxPairs);
  }

  // The current pair's key without its keyspace, or nothing at the end. Reads on where needed.
  Result<std::optional<std::string_view>> Key() {
    while (at_ == piece_.pairs.size()) {
      if (drained_) return std::optional<std::string_view>();
      TRY(Fetch());
    }
    return std::optional(TRY(transaction_.keyspace_.Decode(piece_.pairs[at_].first)));
  }
  std::string_view value() const { return piece_.pairs[at_].second; }
  void Next() { ++at_; }

 private:
  static constexpr size_t kFirstPairs = 32;
  static constexpr size_t kMaxPairs = 1024;
  static constexpr size_t kPieceBytes = size_t{1} << 20;

  Status Fetch() {
    Backoff backoff = transaction_.parts_.environment.NewBackoff();
    Snapshot* snapshot = TRY(transaction_.AtSnapshot(backoff));
    piece_ = TRY(
        snapshot->Scan(bounds_, static_cast<uint32_t>(next_limit_), direction_, false, backoff));
    at_ = 0;
    if (!piece_.next) {
      drained_ = true;
    } else if (direction_ == Direction::kForward) {
      bounds_.begin = *piece_.next;
    } else {
      bounds_.end = *piece_.next;
    }
    drained_ = drained_ || bounds_.begin >= bounds_.end;
    size_t bytes = 0;
    for (const auto& [key, value] : piece_.pairs) bytes += key.size() + value.size();
    if (piece_.pairs.size() < next_limit_) return {};
    const size_t each = std::max<size_t>(bytes / piece_.pairs.size(), 1);
    next_limit_ = std::clamp<size_t>(kPieceBytes / each, 1, std::min(2 * next_limit_, kMaxPairs));
    return {};
  }

  TikvTransaction& transaction_;
  const Direction direction_;
  ScanBounds bounds_;
  size_t next_limit_ = kFirstPairs;
  ScanPiece piece_;
  size_t at_ = 0;
  bool drained_ = false;
};

TikvTransaction::TikvTransaction(const CommitParts& parts, const Keyspace& keyspace,
                                 const Limits& limits)
    : parts_(parts),
      keyspace_(keyspace),
      started_(parts.environment.clock.Monotonic()),
      pending_(parts.oracle.Ask()),
      buffer_(limits) {}

Result<Snapshot*> TikvTransaction::AtSnapshot(Backoff& backoff) {
  if (!snapshot_) {
    start_ts_ = TRY(parts_.oracle.Wait(*pending_, backoff));
    snapshot_.emplace(parts_.sender, parts_.resolver, start_ts_);
  }
  return &*snapshot_;
}

Timestamp TikvTransaction::begin_timestamp() {
  Backoff backoff = parts_.environment.NewBackoff();
  return AtSnapshot(backoff) ? start_ts_ : 0;
}

Result<std::optional<Value>> TikvTransaction::Get(std::string_view key) {
  if (const WriteBuffer::Entry* own = buffer_.FindWrite(key)) {
    if (own->deleted) return std::optional<Value>();
    return std::optional<Value>(Value(std::string(own->value)));
  }
  Backoff backoff = parts_.environment.NewBackoff();
  Snapshot* snapshot = TRY(AtSnapshot(backoff));
  std::optional<std::string> found = TRY(snapshot->Get(keyspace_.Encode(key), backoff));
  if (!found) return std::optional<Value>();
  return std::optional<Value>(Value(*std::move(found)));
}

Result<std::vector<std::optional<Value>>> TikvTransaction::BatchGet(
    std::span<const std::string_view> keys) {
  std::vector<std::optional<Value>> values(keys.size());
  std::vector<std::string> wanted;
  std::vector<size_t> places;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (const WriteBuffer::Entry* own = buffer_.FindWrite(keys[i])) {
      if (!own->deleted) values[i] = Value(std::string(own->value));
    } else {
      wanted.push_back(keyspace_.Encode(keys[i]));
      places.push_back(i);
    }
  }
  if (wanted.empty()) return values;
  Backoff backoff = parts_.environment.NewBackoff();
  Snapshot* snapshot = TRY(AtSnapshot(backoff));
  std::vector<std::optional<std::string>> found = TRY(snapshot->BatchGet(wanted, backoff));
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i]) values[places[i]] = Value(*std::move(found[i]));
  }
  return values;
}

// The own writes are looked up at each step, since the visitor may add to them.
Status TikvTransaction::Scan(const KeyRange& range, size_t limit, Direction direction,
                             const ScanVisitor& visitor) {
  PiecewiseScan base(*this, range, limit, direction);
  std::optional<std::string> last;
  for (size_t visited = 0; limit == 0 || visited < limit;) {
    const std::optional<std::string_view> base_key = TRY(base.Key());
    const auto own = buffer_.NextWrite(range, direction, last);
    const bool has_own = own != buffer_.end();
    if (!has_own && !base_key) return {};
    std::strong_ordering order = std::strong_ordering::less;  // of the store's against the own
    if (has_own && base_key) order = *base_key <=> own->first;
    if (direction == Direction::kBackward) order = 0 <=> order;
    const bool take_own = has_own && (!base_key || order >= 0);
    if (!take_own) {
      last.emplace(*base_key);
      ++visited;
      if (!visitor(*last, base.value())) return {};
      base.Next();
      continue;
    }
    if (base_key && order == 0) base.Next();
    last.emplace(own->first);
    if (own->second.deleted) continue;
    ++visited;
    if (!visitor(*last, std::string(own->second.value))) return {};
  }
  return {};
}

Status TikvTransaction::Put(std::string_view key, std::string_view value) {
  return buffer_.Put(key, value);
}
Status TikvTransaction::Delete(std::string_view key) { return buffer_.Delete(key); }
Status TikvTransaction::Lock(std::string_view key) { return buffer_.Lock(key); }

std::vector<kvrpcpb::Mutation> TikvTransaction::Mutations() const {
  std::vector<kvrpcpb::Mutation> mutations;
  for (const auto& [key, entry] : buffer_.entries()) {
    kvrpcpb::Mutation& mutation = mutations.emplace_back();
    mutation.set_key(keyspace_.Encode(key));
    if (!entry.written) {
      mutation.set_op(kvrpcpb::Lock);
    } else if (entry.deleted) {
      mutation.set_op(kvrpcpb::Del);
    } else {
      mutation.set_op(kvrpcpb::Put);
      mutation.set_value(entry.value.data(), entry.value.size());
    }
  }
  return mutations;
}

Status TikvTransaction::Commit() {
  CHECK(!ended_);
  ended_ = true;
  if (buffer_.empty()) {
    committed_ = true;
    return {};
  }
  std::shared_ptr<PendingTimestamp> floor;
  if (start_ts_ == 0) {
    // Without a read before it, both timestamps come in one round trip.
    const TikvOptions& options = parts_.environment.options;
    const bool fresh = options.commit_floor == CommitFloor::kFresh;
    if (fresh && (options.one_phase || options.async_commit)) floor = parts_.oracle.Ask();
    Backoff backoff = parts_.environment.NewBackoff();
    TRY(AtSnapshot(backoff));
  }
  committer_.emplace(parts_, start_ts_, started_, Mutations(), max_commit_ts_);
  return committer_->Commit(floor);
}

Result<bool> TikvTransaction::DetermineCommit() {
  if (!committer_) return committed_;
  return committer_->Determine();
}

}  // namespace tifs::kv::tikv
