#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/sync.h"

namespace tifs::kv::tikv {

// Ends all waits of a client that is closing. Safe for use by several threads.
class StopSignal {
 public:
  void Stop() EXCLUDES(mutex_);
  bool stopped() EXCLUDES(mutex_);
  // False if the signal was given before or meanwhile.
  bool SleepFor(Clock& clock, std::chrono::nanoseconds duration) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
};

enum class BackoffKind : uint8_t {
  kTransport,   // no answer
  kLeader,      // no leader known
  kRegion,      // the region has changed
  kServerBusy,  // the store asks for time
  kNotReady,    // the region will be ready soon
  kLock,        // another transaction is at work on a key
  kPd,          // PD does not answer, or has no leader
};

// The waits of one operation: each kind doubles from its own first wait to its own cap, jittered
// over the upper half, under one deadline for all. Used by one thread at a time.
class Backoff {
 public:
  // `timeout`: from now until the operation gives up.
  Backoff(Clock& clock, StopSignal& stop, std::chrono::nanoseconds timeout, uint64_t seed);

  // Waits, but at least `at_least`. Errors: kUnavailable with the detail of `cause`, at once if the
  // wait would end past the deadline, or when the client closes.
  Status Wait(BackoffKind kind, const Error& cause, std::chrono::nanoseconds at_least = {});
  // As Wait, but no longer than `at_most`.
  Status WaitAtMost(BackoffKind kind, const Error& cause, std::chrono::nanoseconds at_most);

  // Time until the deadline, not negative.
  std::chrono::nanoseconds remaining();

 private:
  static constexpr size_t kKinds = 7;

  std::chrono::nanoseconds Next(BackoffKind kind);
  Status Sleep(std::chrono::nanoseconds wait, const Error& cause);

  Clock& clock_;
  StopSignal& stop_;
  const std::chrono::nanoseconds deadline_;
  Random random_;
  std::array<uint32_t, kKinds> attempts_{};
};

}  // namespace tifs::kv::tikv
