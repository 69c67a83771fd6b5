#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/sync.h"
#include "kv/kv.h"
#include "kv/write_buffer.h"

namespace tifs::kv {

inline constexpr Limits kMemLimits{
    .max_key_bytes = 4096, .max_value_bytes = 4 << 20, .max_transaction_bytes = 32 << 20};

// A store in memory, for tests and models: a map from key to the versions that some transaction may
// still read. Nothing is durable. Safe for use by several threads, under one mutex.
class MemKv : public Store {
 public:
  explicit MemKv(const Limits& limits = kMemLimits) : limits_(limits) {}

  Result<std::unique_ptr<Transaction>> Begin() override;
  Result<std::optional<Value>> GetLatest(std::string_view key) override;
  Status Sync() override { return {}; }
  const Limits& limits() const override { return limits_; }
  Result<SpaceUsage> Space() override;
  std::string ReadOnlyReason() override { return {}; }

  // Versions held, tombstones and remembered locks included: what collection keeps small.
  size_t VersionCount();

 private:
  friend class MemTransaction;

  using Bytes = std::shared_ptr<const std::string>;
  struct Version {
    Timestamp committed;
    Bytes value;  // null: deleted
  };
  struct Record {
    std::vector<Version> versions;  // oldest first
    Timestamp locked = 0;           // the last commit that locked the key
  };
  using Found = std::pair<std::string, Bytes>;

  static Bytes ReadAt(const Record& record, Timestamp snapshot);
  Bytes Read(std::string_view key, Timestamp snapshot) EXCLUDES(mutex_);
  // Up to `count` live records beyond `last` in the direction.
  std::vector<Found> ReadRange(const KeyRange& range, Direction direction,
                               std::optional<std::string_view> last, size_t count,
                               Timestamp snapshot) EXCLUDES(mutex_);
  Status Commit(const WriteBuffer& buffer, Timestamp snapshot) EXCLUDES(mutex_);
  bool Conflicts(const WriteBuffer& buffer, Timestamp snapshot) const REQUIRES(mutex_);
  void EndTransaction(Timestamp snapshot) EXCLUDES(mutex_);
  void Collect() REQUIRES(mutex_);
  void Prune(const std::string& key, Timestamp oldest) REQUIRES(mutex_);

  const Limits limits_;
  Mutex mutex_;
  std::map<std::string, Record, std::less<>> records_ GUARDED_BY(mutex_);
  Timestamp last_commit_ GUARDED_BY(mutex_) = 1;
  std::multiset<Timestamp> snapshots_ GUARDED_BY(mutex_);
  // Records that have something to drop once every snapshot is at least that new; oldest first.
  std::deque<std::pair<Timestamp, std::string>> garbage_ GUARDED_BY(mutex_);
};

}  // namespace tifs::kv
