#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace tifs::kv::tikv {

// Where the smallest commit timestamp of one-phase and async commits comes from:
// docs/tikv_client.md, "Why the commit timestamps are right".
enum class CommitFloor : uint8_t {
  kFresh,  // a timestamp that is asked for when Commit is called
  // The start timestamp: for callers whose transactions begin after whatever they must follow had
  // returned.
  kStart,
};

// Whether this client may collect the cluster's garbage (garbage_collector.h).
enum class GcMode : uint8_t {
  kOff,
  kAuto,  // where no other does: it is elected, and steps once a minute
};

struct GcOptions {
  // How long a snapshot can be read, at least.
  std::chrono::milliseconds life_time = std::chrono::minutes(10);
  // How long a client stays elected after its last step; a few times as long as steps are apart.
  std::chrono::milliseconds lease = std::chrono::minutes(5);
  // After a safe point that somebody else moved has stood still for that long, we move it.
  std::chrono::milliseconds patience = std::chrono::hours(1);
};

struct TikvOptions {
  // "host:port" of at least one live member.
  std::vector<std::string> pd_addresses;
  // Which keyspace of the cluster; 0 is kept for the table of names.
  uint32_t keyspace = 1;

  bool one_phase = true;
  bool async_commit = true;
  CommitFloor commit_floor = CommitFloor::kFresh;

  // After which a call answers kUnavailable (a Commit that may have happened: kUndetermined).
  std::chrono::nanoseconds operation_timeout = std::chrono::seconds(20);
  // Of one request; it is then repeated, elsewhere if possible.
  std::chrono::nanoseconds rpc_timeout = std::chrono::seconds(5);
  // How long the locks of a client that died stay in the way, at least; more for large ones.
  std::chrono::milliseconds lock_ttl = std::chrono::seconds(3);
  GcMode gc = GcMode::kOff;
  GcOptions gc_options;
  // Keys and values of one prewrite request, but for a larger single value.
  size_t prewrite_bytes = size_t{1} << 20;

  // kInvalid with what is wrong.
  Status Validate() const;
};

}  // namespace tifs::kv::tikv
