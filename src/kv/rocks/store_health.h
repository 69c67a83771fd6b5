#pragma once

#include <rocksdb/listener.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"

namespace tifs::kv {

// Whether an embedded store can be written.
//   writable   all is well.
//   full       the medium had no space. RocksDB has stopped writing; once there is space again it
//   is
//              resumed, by the next writer that asks (not more often than `kRetry`).
//   latched    a write or sync failed in any other way: what reached the medium is not known, so
//              nothing is written until the store is opened again.
// Safe for use by several threads.
class StoreHealth {
 public:
  static constexpr std::chrono::nanoseconds kRetry = std::chrono::milliseconds(200);

  explicit StoreHealth(Clock& clock) : clock_(clock) {}

  // Success if writable; kNoSpace, kReadOnly. `resume` makes RocksDB write again, if it can.
  Status CheckWritable(const std::function<Status()>& resume) {
    if (state_.load(std::memory_order_acquire) == State::kWritable) [[likely]]
      return {};
    return CheckSlowly(resume);
  }
  // Takes note of the outcome of a write to RocksDB and returns it as an Error.
  Error NoteFailure(const rocksdb::Status& status, const char* what);
  void Latch(std::string reason) EXCLUDES(mutex_);
  // For a store that is opened for reading only: latched, without a word in the log.
  void SetReadOnly() EXCLUDES(mutex_);
  std::string reason();

  // Tells this object of RocksDB's failures in the background.
  std::shared_ptr<rocksdb::EventListener> MakeListener();

 private:
  class Listener;
  enum class State : uint8_t { kWritable, kFull, kLatched };

  Status CheckSlowly(const std::function<Status()>& resume) EXCLUDES(mutex_, resume_mutex_);
  void NoteFull(std::string reason) EXCLUDES(mutex_);

  Clock& clock_;
  std::atomic<State> state_{State::kWritable};
  Mutex resume_mutex_;  // before mutex_
  std::chrono::nanoseconds next_resume_ GUARDED_BY(resume_mutex_){0};
  Mutex mutex_;
  std::string reason_ GUARDED_BY(mutex_);
  uint64_t times_full_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tifs::kv
