#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"
#include "base/random.h"
#include "kv/tikv/backoff.h"
#include "kv/tikv/tikv_options.h"
#include "kv/tikv/transport.h"

namespace tifs::kv::tikv {

// What all parts of one client share. Constant after construction but for `stop` and `seed`.
struct Environment {
  Transport& transport;
  Clock& clock;
  StopSignal& stop;
  const TikvOptions options;
  std::atomic<uint64_t> seed{RandomSeed()};

  Backoff NewBackoff() { return NewBackoff(options.operation_timeout); }
  Backoff NewBackoff(std::chrono::nanoseconds timeout) {
    return Backoff(clock, stop, timeout, seed.fetch_add(1, std::memory_order_relaxed));
  }
};

}  // namespace tifs::kv::tikv
