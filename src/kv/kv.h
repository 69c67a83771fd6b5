#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// The transactional key-value store that a file system is kept in. Keys and values are byte
// strings; keys sort as unsigned bytes. Implementations: `mem` (tests), `rocks` (embedded), `tikv`.
namespace tifs::kv {

// Part of the contract: a call beyond them answers kTooLarge and leaves the transaction as it was.
struct Limits {
  size_t max_key_bytes;
  size_t max_value_bytes;
  // Keys and values that one transaction may put, delete and lock, together.
  size_t max_transaction_bytes;
};

// Read-only bytes of a value, either owned or pinned in the store's cache. Valid until destroyed,
// also after the transaction that read it has ended; must not outlive the store.
class Value {
 public:
  Value() = default;
  explicit Value(std::string bytes) : owner_(new StringOwner(std::move(bytes))) {
    view_ = static_cast<StringOwner*>(owner_.get())->bytes;
  }
  // What keeps pinned bytes alive.
  class Owner {
   public:
    virtual ~Owner() = default;
  };
  Value(std::string_view view, std::unique_ptr<Owner> owner)
      : view_(view), owner_(std::move(owner)) {}

  Value(Value&& other) noexcept
      : view_(std::exchange(other.view_, {})), owner_(std::move(other.owner_)) {}
  Value& operator=(Value&& other) noexcept {
    view_ = std::exchange(other.view_, {});
    owner_ = std::move(other.owner_);
    return *this;
  }

  std::string_view view() const { return view_; }

 private:
  struct StringOwner : Owner {
    explicit StringOwner(std::string b) : bytes(std::move(b)) {}
    std::string bytes;
  };

  std::string_view view_;
  std::unique_ptr<Owner> owner_;
};

// Keys k with begin <= k < end; an empty `end` has no upper bound. Valid as long as the bytes that
// it views.
struct KeyRange {
  std::string_view begin;
  std::string_view end;
};

enum class Direction : uint8_t { kForward, kBackward };

// Called for each key in order; the views are valid during the call only. Returns whether to go on.
using ScanVisitor = std::function<bool(std::string_view key, std::string_view value)>;

// The store's own order of commits. Larger began later. Not a clock.
using Timestamp = uint64_t;

// One transaction: snapshot isolation, first committer wins on the keys written or locked.
//   - All reads see one snapshot, which holds every transaction whose Commit returned before Begin,
//     with this transaction's own writes over it.
//   - Commit fails with kConflict, and nothing is changed, if another transaction committed a write
//     (not a lock) to any key that this one wrote or locked, after this one's snapshot; and
//     likewise if it committed a lock of a key that this one wrote. So two transactions that each
//     lock or write a key of which one writes it never both commit on overlapping snapshots. A
//     store may let two that only lock a key conflict as well.
//   - Reads alone conflict with nothing.
// Used by one thread at a time. Destroying one that was not committed abandons it.
class Transaction {
 public:
  virtual ~Transaction() = default;

  // Nothing if the key does not exist. Errors: kUnavailable, kIo, kCorrupt.
  virtual Result<std::optional<Value>> Get(std::string_view key) = 0;
  // One answer per key, in the order of `keys`.
  virtual Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) = 0;
  // Visits at most `limit` keys (0: no limit) of the range, ascending or descending. The visitor
  // may read and write through this transaction; writes made during the scan may or may not be
  // visited.
  virtual Status Scan(const KeyRange& range, size_t limit, Direction direction,
                      const ScanVisitor& visitor) = 0;

  // Buffered until Commit. The bytes are copied. Errors: kTooLarge.
  virtual Status Put(std::string_view key, std::string_view value) = 0;
  virtual Status Delete(std::string_view key) = 0;
  // Makes Commit conflict as if the key were written, without changing it.
  virtual Status Lock(std::string_view key) = 0;
  // The transaction commits at `largest` in the store's order, or earlier, or not at all: then
  // Commit answers kConflict. For stores that many share (Store::Ahead); others ignore it.
  virtual void LimitCommit(Timestamp largest) { (void)largest; }

  // Atomically applies all that was put and deleted; visible to every Begin after it returns.
  // Durable after the store's next Sync, or at once where the store says so. Called once, last.
  // Errors: kConflict, kUnavailable, kIo (nothing happened); kUndetermined (ask DetermineCommit);
  // kReadOnly (the store has latched).
  virtual Status Commit() = 0;
  // After kUndetermined: whether the commit happened. Blocks until it is known; repeatable.
  // Errors: kUnavailable, if it cannot be known yet.
  virtual Result<bool> DetermineCommit() = 0;

  // When this transaction's snapshot was taken, in the store's order.
  virtual Timestamp begin_timestamp() = 0;
};

// Bytes of the medium below the store.
struct SpaceUsage {
  uint64_t total_bytes = 0;  // 0: it is not known, as of a cluster that has just started
  uint64_t available_bytes = 0;
};

// Safe for use by several threads. Outlives its transactions and values.
class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::unique_ptr<Transaction>> Begin() = 0;
  // The newest committed value of one key; linearizable for that key alone. Several such answers
  // are no snapshot, and none may feed a transaction.
  virtual Result<std::optional<Value>> GetLatest(std::string_view key) = 0;
  // Returns once every transaction whose Commit returned before the call is durable.
  // Concurrent callers share the work. Errors: kIo (the store latches read-only).
  virtual Status Sync() = 0;

  // For stores that many clients share, whose timestamps go with time: one that is handed out about
  // `time` after `timestamp`. Nothing for a store that one process has to itself.
  virtual std::optional<Timestamp> Ahead(Timestamp timestamp,
                                         std::chrono::milliseconds time) const {
    (void)timestamp;
    (void)time;
    return std::nullopt;
  }
  // Of a shared store: returns once no transaction whose LimitCommit is at most `limit` is under
  // way any more, whoever began it: each has committed or never will, whatever of it still arrives.
  // What is read afterwards is what stays. Errors: kUnavailable, also while the timestamps handed
  // out have not passed `limit`.
  virtual Status SettleUpTo(Timestamp limit) {
    (void)limit;
    return Error(ErrorCode::kNotSupported, "settle");
  }

  virtual const Limits& limits() const = 0;
  virtual Result<SpaceUsage> Space() = 0;
  // Why the store refuses to write, empty while it does not.
  virtual std::string ReadOnlyReason() = 0;
};

// Forwards everything; decorators (faults, traces, metrics) override what they change.
class ForwardingTransaction : public Transaction {
 public:
  explicit ForwardingTransaction(std::unique_ptr<Transaction> base) : base_(std::move(base)) {}

  Result<std::optional<Value>> Get(std::string_view key) override { return base_->Get(key); }
  Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) override {
    return base_->BatchGet(keys);
  }
  Status Scan(const KeyRange& range, size_t limit, Direction direction,
              const ScanVisitor& visitor) override {
    return base_->Scan(range, limit, direction, visitor);
  }
  Status Put(std::string_view key, std::string_view value) override {
    return base_->Put(key, value);
  }
  Status Delete(std::string_view key) override { return base_->Delete(key); }
  Status Lock(std::string_view key) override { return base_->Lock(key); }
  void LimitCommit(Timestamp largest) override { base_->LimitCommit(largest); }
  Status Commit() override { return base_->Commit(); }
  Result<bool> DetermineCommit() override { return base_->DetermineCommit(); }
  Timestamp begin_timestamp() override { return base_->begin_timestamp(); }

 protected:
  Transaction& base() { return *base_; }

 private:
  std::unique_ptr<Transaction> base_;
};

class ForwardingStore : public Store {
 public:
  explicit ForwardingStore(Store& base) : base_(base) {}

  Result<std::unique_ptr<Transaction>> Begin() override { return base_.Begin(); }
  Result<std::optional<Value>> GetLatest(std::string_view key) override {
    return base_.GetLatest(key);
  }
  Status Sync() override { return base_.Sync(); }
  std::optional<Timestamp> Ahead(Timestamp timestamp,
                                 std::chrono::milliseconds time) const override {
    return base_.Ahead(timestamp, time);
  }
  Status SettleUpTo(Timestamp limit) override { return base_.SettleUpTo(limit); }
  const Limits& limits() const override { return base_.limits(); }
  Result<SpaceUsage> Space() override { return base_.Space(); }
  std::string ReadOnlyReason() override { return base_.ReadOnlyReason(); }

 protected:
  Store& base() { return base_; }

 private:
  Store& base_;
};

}  // namespace tifs::kv
