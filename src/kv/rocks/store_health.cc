#include "kv/rocks/store_health.h"

#include <utility>

#include "base/coding.h"
#include "base/log.h"
#include "kv/rocks/rocks_status.h"

namespace tifs::kv {

class StoreHealth::Listener : public rocksdb::EventListener {
 public:
  explicit Listener(StoreHealth& health) : health_(health) {}

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    if (IsNoSpace(*error)) {
      // A compaction that has no space stops no writer (RocksDB calls that a soft error). Failing
      // to switch memtables is fatal to RocksDB even if it is for lack of space, although resuming
      // repeats it safely: no record was half applied.
      if (error->severity() > rocksdb::Status::Severity::kHardError) {
        *error = rocksdb::Status(*error, rocksdb::Status::Severity::kHardError);
      }
      if (error->severity() >= rocksdb::Status::Severity::kHardError) {
        health_.NoteFull(EscapeForLog(error->ToString()));
      }
      return;
    }
    if (error->severity() >= rocksdb::Status::Severity::kHardError) {
      health_.Latch(EscapeForLog(error->ToString()));
    }
  }

  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status error,
                            bool* auto_recovery) override {
    // Writers resume the store themselves, without RocksDB's wait of seconds, and an idle store
    // does not poll.
    if (error.severity() >= rocksdb::Status::Severity::kHardError) *auto_recovery = false;
  }

 private:
  StoreHealth& health_;
};

std::shared_ptr<rocksdb::EventListener> StoreHealth::MakeListener() {
  return std::make_shared<Listener>(*this);
}

Status StoreHealth::CheckSlowly(const std::function<Status()>& resume) {
  if (state_.load(std::memory_order_acquire) == State::kLatched) {
    return Error(ErrorCode::kReadOnly, "store", reason());
  }
  MutexLock one_at_a_time(resume_mutex_);
  if (state_.load(std::memory_order_acquire) == State::kWritable) return {};
  const auto now = clock_.Monotonic();
  if (now < next_resume_) return Error(ErrorCode::kNoSpace, "store");
  uint64_t times_full;
  {
    MutexLock lock(mutex_);
    times_full = times_full_;
  }
  Status resumed = resume();
  next_resume_ = clock_.Monotonic() + kRetry;
  MutexLock lock(mutex_);
  if (state_.load(std::memory_order_relaxed) == State::kLatched) {
    return Error(ErrorCode::kReadOnly, "store", reason_);
  }
  if (!resumed || times_full != times_full_) return Error(ErrorCode::kNoSpace, "store");
  LogInfo("store: there is space again, writing goes on");
  reason_.clear();
  state_.store(State::kWritable, std::memory_order_release);
  return {};
}

Error StoreHealth::NoteFailure(const rocksdb::Status& status, const char* what) {
  Error error = ErrorFromRocks(status, what);
  const bool is_full = state_.load(std::memory_order_acquire) == State::kFull;
  if (error.code() == ErrorCode::kNoSpace) {
    NoteFull(std::string(error.detail()));
    return error;
  }
  // Once full, RocksDB answers further calls with whatever it remembers of that.
  if (is_full) return Error(ErrorCode::kNoSpace, what, std::string(error.detail()));
  Latch(error.ToString());
  return Error(ErrorCode::kIo, what, std::string(error.detail()));
}

void StoreHealth::NoteFull(std::string reason) {
  MutexLock lock(mutex_);
  if (state_.load(std::memory_order_relaxed) == State::kLatched) return;
  ++times_full_;
  if (state_.load(std::memory_order_relaxed) == State::kFull) return;
  LogError("store: no space left below, writing stops until there is: {}", reason);
  reason_ = std::move(reason);
  state_.store(State::kFull, std::memory_order_release);
}

void StoreHealth::Latch(std::string reason) {
  MutexLock lock(mutex_);
  if (state_.load(std::memory_order_relaxed) == State::kLatched) return;
  LogError("store: read-only until it is opened again: {}", reason);
  reason_ = std::move(reason);
  state_.store(State::kLatched, std::memory_order_release);
}

void StoreHealth::SetReadOnly() {
  MutexLock lock(mutex_);
  reason_ = "opened for reading only";
  state_.store(State::kLatched, std::memory_order_release);
}

std::string StoreHealth::reason() {
  MutexLock lock(mutex_);
  return reason_;
}

}  // namespace tifs::kv
