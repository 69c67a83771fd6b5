#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sync.h"
#include "kv/kv.h"
#include "kv/rocks/conflict_table.h"
#include "kv/rocks/recent_values.h"
#include "kv/rocks/rocks_options.h"
#include "kv/rocks/wal_syncer.h"
#include "kv/write_buffer.h"

namespace rocksdb {
class DB;
class Env;
class FileLock;
class Snapshot;
class Status;
}  // namespace rocksdb

namespace tifs::kv {

class StoreHealth;
class WalFileSystem;

// The embedded store: transactions over one RocksDB. One process at a time has it open.
//
// Commits are numbered. A transaction notes the number of the last commit when it begins, and takes
// its RocksDB snapshot later, at its first read. Commit holds one mutex over: check that no key
// written or locked was touched by a commit after the noted number; write the batch; stamp the keys
// with the new number; publish the number. From that follows, without more:
//   - A Begin after a Commit has returned notes at least that number, and its snapshot, being
//     younger still, holds that commit.
//   - A snapshot may be newer than the noted number: it may hold commits that came between Begin
//     and the first read, or one that is written and not yet published. A transaction that touches
//     their keys runs again although it has seen them: a false conflict. A commit that a snapshot
//     does not hold was written after the snapshot was taken, so its number is larger than the one
//     noted before: none is missed.
//   - Keys share slots of the table of stamps by their hash: again false conflicts only.
//
// Nothing is lost by the end of the process but what was committed within the last
// `wal.flush_interval`, nothing by a power cut but what was committed within the last
// `wal.sync_interval` and not synced. What remains is always a prefix of the commits.
class RocksKv : public Store {
 public:
  // Errors: kNotFound (no store there), kBusy (open elsewhere), kCorrupt, kNotSupported (of a newer
  // version), kNoSpace, kAccessDenied, kIo, kInvalid (options).
  static Result<std::unique_ptr<RocksKv>> Open(const RocksOptions& options);
  // All transactions and values must be gone. Syncs and flushes, so that the next Open is quick.
  ~RocksKv() override;

  Result<std::unique_ptr<Transaction>> Begin() override;
  Result<std::optional<Value>> GetLatest(std::string_view key) override;
  Status Sync() override;
  const Limits& limits() const override { return options_.limits; }
  Result<SpaceUsage> Space() override;
  std::string ReadOnlyReason() override;

 private:
  friend class RocksTransaction;

  explicit RocksKv(const RocksOptions& options);

  Status OpenDb();
  Status LockForReading();
  Status Commit(const WriteBuffer& buffer, uint64_t begun_after) EXCLUDES(commit_mutex_);
  Status WriteLog(bool durable) EXCLUDES(commit_mutex_);
  Status Resume();

  const RocksOptions options_;
  std::shared_ptr<WalFileSystem> file_system_;
  std::unique_ptr<rocksdb::Env> env_;
  rocksdb::FileLock* read_lock_ = nullptr;
  std::unique_ptr<StoreHealth> health_;
  std::unique_ptr<rocksdb::DB> db_;
  std::unique_ptr<WalSyncer> syncer_;

  std::atomic<uint64_t> last_commit_{1};
  Mutex commit_mutex_;
  ConflictTable conflicts_ GUARDED_BY(commit_mutex_);
  RecentValues recent_;
};

}  // namespace tifs::kv
