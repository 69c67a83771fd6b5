#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/tikv/lock_resolver.h"
#include "kv/tikv/region_request.h"

namespace tifs::kv::tikv {

// A part of a scan: what one region had, or less.
struct ScanPiece {
  std::vector<std::pair<std::string, std::string>> pairs;  // in the scan's order
  // Where to go on: the new begin of a forward scan, the new end of a backward one. Nothing: the
  // range has no more.
  std::optional<std::string> next;
};

struct ScanBounds {
  std::string begin;
  std::string end;  // not empty
};

// The cluster as it was at one timestamp. Keys are those of the cluster, their keyspace included.
// Used by one thread at a time.
//
// Errors: kUnavailable when the backoff gives up; kCorrupt.
class Snapshot {
 public:
  // Reads the newest commit of a key, linearizable for it; for Get only.
  static constexpr Timestamp kLatest = UINT64_MAX;

  Snapshot(RegionSender& sender, LockResolver& resolver, Timestamp timestamp)
      : sender_(sender), resolver_(resolver), timestamp_(timestamp) {}

  Result<std::optional<std::string>> Get(const std::string& key, Backoff& backoff);
  // One answer a key, in their order.
  Result<std::vector<std::optional<std::string>>> BatchGet(std::span<const std::string> keys,
                                                           Backoff& backoff);
  // At most `limit` (> 0) pairs of the range, from its begin or from its end. With `key_only` the
  // values are empty.
  Result<ScanPiece> Scan(const ScanBounds& bounds, uint32_t limit, Direction direction,
                         bool key_only, Backoff& backoff);

 private:
  void PassLocks(kvrpcpb::Context& context) const;
  // Returns when it makes sense to ask again.
  Status AwaitLocks(std::span<const kvrpcpb::LockInfo> locks, Backoff& backoff);

  RegionSender& sender_;
  LockResolver& resolver_;
  const Timestamp timestamp_;
  std::vector<Timestamp> passable_;
};

}  // namespace tifs::kv::tikv
