#include "kv/rocks/wal_syncer.h"

#include <algorithm>
#include <utility>

namespace tifs::kv {

WalSyncer::WalSyncer(Clock& clock, const WalSyncOptions& options, Writer writer)
    : clock_(clock),
      options_(options),
      writer_(std::move(writer)),
      thread_([this] { RunThread(); }) {}

WalSyncer::~WalSyncer() {
  {
    MutexLock lock(wake_mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
}

Status WalSyncer::Sync() {
  const uint64_t wanted = committed_.load(std::memory_order_acquire);
  if (synced_.load(std::memory_order_acquire) >= wanted) return {};
  sync_mutex_.Lock();
  while (synced_.load(std::memory_order_relaxed) < wanted) {
    if (syncing_) {
      sync_ended_.Wait(sync_mutex_);
      continue;
    }
    syncing_ = true;
    sync_mutex_.Unlock();
    const uint64_t covered = committed_.load(std::memory_order_acquire);
    Status status = writer_(true);
    sync_mutex_.Lock();
    syncing_ = false;
    if (status) synced_.store(covered, std::memory_order_release);
    sync_ended_.NotifyAll();
    if (!status) {
      sync_mutex_.Unlock();
      return status;
    }
  }
  sync_mutex_.Unlock();
  return {};
}

void WalSyncer::Wake() {
  if (pending_.exchange(true)) return;
  MutexLock lock(wake_mutex_);
  wake_.NotifyAll();
}

bool WalSyncer::AwaitCommit() {
  MutexLock lock(wake_mutex_);
  while (!stop_ && !pending_.load(std::memory_order_acquire)) wake_.Wait(wake_mutex_);
  return !stop_;
}

bool WalSyncer::SleepFor(std::chrono::nanoseconds duration) {
  const auto end = clock_.Monotonic() + duration;
  MutexLock lock(wake_mutex_);
  for (auto left = duration; !stop_ && left.count() > 0; left = end - clock_.Monotonic()) {
    clock_.WaitFor(wake_, wake_mutex_, left);
  }
  return !stop_;
}

Status WalSyncer::WriteOut() {
  const auto sync_at = clock_.Monotonic() + options_.sync_interval;
  uint64_t flushed = 0;
  while (SleepFor(std::min(options_.flush_interval, options_.sync_interval))) {
    const uint64_t committed = committed_.load();
    if (synced_.load(std::memory_order_acquire) >= committed) break;
    if (clock_.Monotonic() >= sync_at) return Sync();
    if (committed == flushed) continue;
    TRY(writer_(false));
    flushed = committed;
  }
  return {};
}

void WalSyncer::RunThread() {
  while (AwaitCommit()) {
    const Status status = WriteOut();
    pending_.store(false);
    // After a failure, which the writer has latched and which Sync will tell to who asks, there is
    // nothing to do until another commit succeeds.
    if (status && synced_.load(std::memory_order_acquire) < committed_.load()) pending_.store(true);
  }
}

}  // namespace tifs::kv
