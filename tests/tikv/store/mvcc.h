#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/kv.h"
#include "proto/kvrpcpb.pb.h"

// Percolator's records of keys in memory, with the answers that TiKV gives: the data of the test
// store. It knows nothing of regions.
namespace tifs::tikv_store {

using kv::Direction;
using kv::Timestamp;

struct Lock {
  Timestamp start_ts = 0;
  std::string primary;
  kvrpcpb::Op op = kvrpcpb::Put;
  std::string value;
  uint64_t ttl_ms = 0;
  uint64_t txn_size = 0;
  Timestamp min_commit_ts = 0;
  bool async_commit = false;
  std::vector<std::string> secondaries;
  Timestamp max_commit_ts = 0;  // 0: no limit
};

// A commit, or a rollback, which stands at its own start timestamp.
struct Write {
  Timestamp start_ts = 0;
  kvrpcpb::Op op = kvrpcpb::Put;  // Put, Del, Lock, Rollback
  std::string value;
};

struct KeyRecord {
  std::optional<Lock> lock;
  std::map<Timestamp, Write, std::greater<>> writes;  // by commit timestamp, newest first
  // Transactions that were rolled back where another one's commit stands at the same timestamp.
  std::map<Timestamp, bool> overlapped_rollbacks;
};

// A read or a write that was answered by a key error, or not.
using KeyErrors = std::vector<kvrpcpb::KeyError>;

// The records of all regions of a cluster. Not safe for use by several threads.
class Mvcc {
 public:
  // What a read at `timestamp` that may pass the locks of `passable` finds. Exactly one of the
  // three in the result: an error, no value, a value.
  struct Read {
    std::optional<kvrpcpb::KeyError> error;
    std::optional<std::string> value;
  };
  Read Get(const std::string& key, Timestamp timestamp, const std::vector<Timestamp>& passable);
  // Up to `limit` pairs of begin <= key < end (empty: no end), in the direction; locked keys are
  // among them, with their error.
  std::vector<kvrpcpb::KvPair> Scan(const std::string& begin, const std::string& end,
                                    Direction direction, size_t limit, Timestamp timestamp,
                                    bool key_only, const std::vector<Timestamp>& passable);

  // All or nothing. `max_ts`: the newest timestamp that has been read at.
  void Prewrite(const kvrpcpb::PrewriteRequest& request, Timestamp max_ts,
                kvrpcpb::PrewriteResponse& response);
  void Commit(const kvrpcpb::CommitRequest& request, kvrpcpb::CommitResponse& response);
  void Rollback(const kvrpcpb::BatchRollbackRequest& request,
                kvrpcpb::BatchRollbackResponse& response);
  void CheckTxnStatus(const kvrpcpb::CheckTxnStatusRequest& request,
                      kvrpcpb::CheckTxnStatusResponse& response);
  void CheckSecondaryLocks(const kvrpcpb::CheckSecondaryLocksRequest& request,
                           kvrpcpb::CheckSecondaryLocksResponse& response);
  void HeartBeat(const kvrpcpb::TxnHeartBeatRequest& request,
                 kvrpcpb::TxnHeartBeatResponse& response);
  // Keys of the request, or all locked ones of begin <= key < end.
  void ResolveLock(const kvrpcpb::ResolveLockRequest& request, const std::string& begin,
                   const std::string& end, kvrpcpb::ResolveLockResponse& response);
  void ScanLock(const kvrpcpb::ScanLockRequest& request, const std::string& begin,
                const std::string& end, kvrpcpb::ScanLockResponse& response);

  size_t LockCount() const;
  // How many keys were committed beyond the largest timestamp that their prewrite allowed: in two
  // phases it is the client that must not do so.
  size_t commits_beyond_limit() const { return commits_beyond_limit_; }

 private:
  // How a transaction ended at a key, if it did: its commit timestamp, 0 for a rollback.
  static std::optional<Timestamp> EndOf(const KeyRecord& record, Timestamp start_ts);
  static void CommitLock(KeyRecord& record, Timestamp commit_ts);
  static void RollBack(KeyRecord& record, Timestamp start_ts);
  // The error of a mutation that cannot be prewritten. Sets `commit_ts` if the key is already
  // committed by the same transaction, which only a retry may find.
  std::optional<kvrpcpb::KeyError> CheckMutation(const kvrpcpb::PrewriteRequest& request,
                                                 const kvrpcpb::Mutation& mutation,
                                                 Timestamp& commit_ts);
  void PutLock(const kvrpcpb::PrewriteRequest& request, const kvrpcpb::Mutation& mutation,
               bool async_commit, Timestamp min_commit_ts);

  std::map<std::string, KeyRecord> records_;
  size_t commits_beyond_limit_ = 0;
};

void FillLock(const Lock& lock, const std::string& key, kvrpcpb::LockInfo& out);

}  // namespace tifs::tikv_store
