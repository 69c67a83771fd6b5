#pragma once

#include <memory>

#include "kv/kv.h"
#include "kv/tikv/environment.h"
#include "kv/tikv/pd_client.h"

namespace tifs::kv::tikv {

class TimestampStream;

// A timestamp that has been asked for.
class PendingTimestamp;

// Timestamps from PD, for all threads of a client over one stream. Whoever asks joins the next
// request that is sent, never one that has been sent: the timestamp that comes back was allocated
// after it was asked for. Timestamps rise. Safe for use by several threads.
class TimestampOracle {
 public:
  TimestampOracle(Environment& environment, PdClient& pd);
  ~TimestampOracle();

  // Asks, without waiting for anything.
  std::shared_ptr<PendingTimestamp> Ask();
  // Waits for the answer; repeatable. Errors: kUnavailable, kCorrupt (PD went back).
  Result<Timestamp> Wait(PendingTimestamp& pending, Backoff& backoff);

  Result<Timestamp> Get(Backoff& backoff) { return Wait(*Ask(), backoff); }

 private:
  std::shared_ptr<TimestampStream> stream_;
};

// The two parts of a timestamp.
inline constexpr int kLogicalBits = 18;
constexpr uint64_t PhysicalMs(Timestamp timestamp) { return timestamp >> kLogicalBits; }

}  // namespace tifs::kv::tikv
