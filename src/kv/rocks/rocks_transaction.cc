#include "kv/rocks/rocks_transaction.h"

#include <rocksdb/db.h>

#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "kv/rocks/rocks_status.h"

namespace tifs::kv {
namespace {

// Below this, copying costs less than keeping a block of the cache pinned.
constexpr size_t kCopyLimit = 4096;

class PinnedBytes : public Value::Owner {
 public:
  explicit PinnedBytes(rocksdb::PinnableSlice&& slice) : slice_(std::move(slice)) {}
  std::string_view view() const { return ToView(slice_); }

 private:
  rocksdb::PinnableSlice slice_;
};

// Bytes in the same allocation as their owner.
class InlineBytes : public Value::Owner {
 public:
  static void* operator new(size_t size, size_t bytes) { return ::operator new(size + bytes); }
  static void operator delete(void* memory) { ::operator delete(memory); }
  static void operator delete(void* memory, size_t) { ::operator delete(memory); }

  char* bytes() { return reinterpret_cast<char*>(this + 1); }
};

Value CopyOf(std::string_view bytes) {
  std::unique_ptr<InlineBytes> owner(new (bytes.size()) InlineBytes);
  std::memcpy(owner->bytes(), bytes.data(), bytes.size());
  const std::string_view view(owner->bytes(), bytes.size());
  return Value(view, std::move(owner));
}

// RocksDB's records of one range and the transaction's own writes over them, merged in the order of
// a scan. The own writes are looked up at each step, since the visitor may add to them.
class MergedScan {
 public:
  MergedScan(const WriteBuffer& buffer, const KeyRange& range, Direction direction,
             rocksdb::Iterator& base)
      : buffer_(buffer), range_(range), direction_(direction), base_(base) {
    if (forward()) {
      base_.SeekToFirst();  // of the bounds that the iterator was made with
    } else {
      base_.SeekToLast();
    }
    own_ = buffer_.NextWrite(range_, direction_, std::nullopt);
    Settle();
  }

  bool valid() const { return valid_; }
  std::string_view key() const { return on_own_ ? own_->first : ToView(base_.key()); }
  // Valid until the scan moves on, also if the visitor overwrites the key.
  std::string_view value() {
    if (!on_own_) return ToView(base_.value());
    own_value_.assign(own_->second.value);
    return own_value_;
  }
  void Next() {
    Step();
    Settle();
  }

 private:
  bool forward() const { return direction_ == Direction::kForward; }
  bool own_valid() const { return own_ != buffer_.end(); }

  // Negative if RocksDB's record comes first, positive if the own write does, zero for the same
  // key.
  int Compare() const {
    const int order = ToView(base_.key()).compare(own_->first);
    return forward() ? order : -order;
  }

  // Decides whose key is next, passing over own deletions and what they hide.
  void Settle() {
    for (;; Step()) {
      const bool has_base = base_.Valid();
      valid_ = has_base || own_valid();
      if (!valid_) return;
      const int order = !own_valid() ? -1 : !has_base ? 1 : Compare();
      on_own_ = order >= 0;
      hides_base_ = order == 0;
      if (!on_own_ || !own_->second.deleted) return;
    }
  }

  void Step() {
    // The key's bytes stay where they are until RocksDB's iterator moves.
    if (!buffer_.empty()) own_ = buffer_.NextWrite(range_, direction_, key());
    if (on_own_ && !hides_base_) return;
    if (forward()) {
      base_.Next();
    } else {
      base_.Prev();
    }
  }

  const WriteBuffer& buffer_;
  const KeyRange range_;
  const Direction direction_;
  rocksdb::Iterator& base_;
  WriteBuffer::Entries::const_iterator own_;
  bool valid_ = false;
  bool on_own_ = false;
  bool hides_base_ = false;
  std::string own_value_;
};

}  // namespace

Value TakeValue(rocksdb::PinnableSlice& slice) {
  if (slice.size() < kCopyLimit) {
    Value value = CopyOf(ToView(slice));
    slice.Reset();
    return value;
  }
  auto owner = std::make_unique<PinnedBytes>(std::move(slice));
  slice.Reset();
  const std::string_view view = owner->view();
  return Value(view, std::move(owner));
}

RocksTransaction::~RocksTransaction() {
  if (read_options_.snapshot) store_.db_->ReleaseSnapshot(read_options_.snapshot);
}

const rocksdb::ReadOptions& RocksTransaction::AtSnapshot() {
  if (!read_options_.snapshot) read_options_.snapshot = store_.db_->GetSnapshot();
  return read_options_;
}

Result<std::optional<Value>> RocksTransaction::Get(std::string_view key) {
  if (const WriteBuffer::Entry* own = buffer_.FindWrite(key)) {
    if (own->deleted) return std::optional<Value>();
    return std::optional<Value>(CopyOf(own->value));
  }
  const rocksdb::ReadOptions& read_options = AtSnapshot();
  std::optional<Value> value;
  const auto take = [&](const std::string* bytes) {
    if (bytes != nullptr) value = CopyOf(*bytes);
  };
  if (store_.recent_.Find(key, begun_after_, take)) return value;
  const rocksdb::Status status =
      store_.db_->Get(read_options, store_.db_->DefaultColumnFamily(), ToSlice(key), &scratch_);
  if (!status.IsNotFound()) {
    TRY(StatusFromRocks(status, "get"));
    value = TakeValue(scratch_);
  }
  store_.recent_.NoteRead(key, value ? std::optional(value->view()) : std::nullopt, begun_after_);
  return value;
}

Result<std::vector<std::optional<Value>>> RocksTransaction::BatchGet(
    std::span<const std::string_view> keys) {
  std::vector<std::optional<Value>> values(keys.size());
  std::vector<rocksdb::Slice> wanted;
  std::vector<size_t> places;
  wanted.reserve(keys.size());
  places.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (const WriteBuffer::Entry* own = buffer_.FindWrite(keys[i])) {
      if (!own->deleted) values[i] = CopyOf(own->value);
    } else {
      wanted.push_back(ToSlice(keys[i]));
      places.push_back(i);
    }
  }
  if (wanted.empty()) return values;
  std::vector<rocksdb::PinnableSlice> found(wanted.size());
  std::vector<rocksdb::Status> statuses(wanted.size());
  store_.db_->MultiGet(AtSnapshot(), store_.db_->DefaultColumnFamily(), wanted.size(),
                       wanted.data(), found.data(), statuses.data());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    TRY(StatusFromRocks(statuses[i], "get"));
    values[places[i]] = TakeValue(found[i]);
  }
  return values;
}

Status RocksTransaction::Scan(const KeyRange& range, size_t limit, Direction direction,
                              const ScanVisitor& visitor) {
  if (!range.end.empty() && range.begin >= range.end) return {};
  const rocksdb::Slice lower = ToSlice(range.begin);
  const rocksdb::Slice upper = ToSlice(range.end);
  rocksdb::ReadOptions read_options = AtSnapshot();
  if (!range.begin.empty()) read_options.iterate_lower_bound = &lower;
  if (!range.end.empty()) read_options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> base(store_.db_->NewIterator(read_options));
  size_t visited = 0;
  for (MergedScan scan(buffer_, range, direction, *base); scan.valid(); scan.Next()) {
    if (!visitor(scan.key(), scan.value())) return {};
    if (++visited == limit) return {};
  }
  return StatusFromRocks(base->status(), "scan");
}

Status RocksTransaction::Commit() {
  CHECK(!ended_);
  ended_ = true;
  Status status = buffer_.empty() ? Status() : store_.Commit(buffer_, begun_after_);
  committed_ = status.ok();
  return status;
}

Timestamp RocksTransaction::begin_timestamp() { return AtSnapshot().snapshot->GetSequenceNumber(); }

}  // namespace tifs::kv
