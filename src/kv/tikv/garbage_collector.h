#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/kv.h"
#include "kv/tikv/lock_resolver.h"

namespace tifs::kv::tikv {

// What one step came to.
struct GcReport {
  enum class What : uint8_t {
    kCollected,    // the safe point has moved
    kNotElected,   // another client collects
    kOthersDo,     // a TiDB runs, or somebody else has moved the safe point
    kNothingToDo,  // all snapshots below it may still be needed
  };
  What what;
  Timestamp safe_point = 0;  // the cluster's after the step
  uint64_t locks = 0;        // that were resolved
};

// Collects the garbage of a cluster where nobody else does: of all clients of all file systems in
// it, one is elected; it ends all transactions that are older than the oldest snapshot that is
// needed, and moves PD's safe point there; the stores do the rest. docs/tikv_client.md, "Garbage",
// says why nothing is lost. Used by one thread.
class GarbageCollector {
 public:
  // `board`: the keyspace that all clients of the cluster share; the election lies there.
  GarbageCollector(Environment& environment, PdClient& pd, RegionSender& sender,
                   LockResolver& resolver, TimestampOracle& oracle, Store& board,
                   const GcOptions& options);

  // One step. Errors: kUnavailable, kCorrupt; nothing is lost, and the next step goes on.
  Result<GcReport> Step();

 private:
  // What the clients tell each other.
  struct Record {
    uint64_t leader = 0;
    uint64_t lease_until_ms = 0;  // in the physical part of timestamps, as all times here
    Timestamp own_safe_point = 0;
    Timestamp seen_safe_point = 0;  // where another's was last seen
    uint64_t seen_at_ms = 0;
  };

  struct LockPiece {
    std::vector<kvrpcpb::LockInfo> locks;
    std::optional<std::string> next;  // where to go on; nothing: that was all
  };

  Result<bool> Elect(uint64_t now_ms, Timestamp current, Record& record);
  Status Note(Timestamp safe_point);
  Result<LockPiece> LocksFrom(const std::string& begin, Timestamp limit, Backoff& backoff);
  // Ends transactions that began at `limit` or before. Answers up to where that is done: an earlier
  // timestamp where one of them lives.
  Result<Timestamp> EndTransactions(Timestamp limit, uint64_t& locks);

  Environment& environment_;
  PdClient& pd_;
  RegionSender& sender_;
  LockResolver& resolver_;
  TimestampOracle& oracle_;
  Store& board_;
  const GcOptions options_;
  const uint64_t id_;  // of this client; random
};

}  // namespace tifs::kv::tikv
