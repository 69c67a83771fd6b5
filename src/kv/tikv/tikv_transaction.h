#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/kv.h"
#include "kv/tikv/committer.h"
#include "kv/tikv/keyspace.h"
#include "kv/tikv/snapshot.h"
#include "kv/write_buffer.h"

namespace tifs::kv::tikv {

// A transaction of one keyspace: reads at a snapshot with its own writes over it, which are
// buffered until Commit. Two transactions that only lock a key may conflict, too.
class TikvTransaction : public Transaction {
 public:
  // Begins: asks for a timestamp, and does not wait for it.
  TikvTransaction(const CommitParts& parts, const Keyspace& keyspace, const Limits& limits);

  Result<std::optional<Value>> Get(std::string_view key) override;
  Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) override;
  Status Scan(const KeyRange& range, size_t limit, Direction direction,
              const ScanVisitor& visitor) override;
  Status Put(std::string_view key, std::string_view value) override;
  Status Delete(std::string_view key) override;
  Status Lock(std::string_view key) override;
  void LimitCommit(Timestamp largest) override { max_commit_ts_ = largest; }
  Status Commit() override;
  Result<bool> DetermineCommit() override;
  // Waits for the timestamp; 0 if it cannot be had.
  Timestamp begin_timestamp() override;

 private:
  friend class PiecewiseScan;

  Result<Snapshot*> AtSnapshot(Backoff& backoff);
  std::vector<kvrpcpb::Mutation> Mutations() const;

  const CommitParts parts_;
  const Keyspace& keyspace_;
  const std::chrono::nanoseconds started_;
  const std::shared_ptr<PendingTimestamp> pending_;
  WriteBuffer buffer_;
  std::optional<Snapshot> snapshot_;
  Timestamp start_ts_ = 0;       // 0: not known yet
  Timestamp max_commit_ts_ = 0;  // 0: no limit
  std::optional<Committer> committer_;
  bool ended_ = false;
  bool committed_ = false;  // without a committer: there was nothing to commit
};

}  // namespace tifs::kv::tikv
