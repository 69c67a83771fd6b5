#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"

namespace tifs::kv {

struct WalSyncOptions {
  // How long a commit may stay in this process alone, where kill -9 loses it.
  std::chrono::nanoseconds flush_interval = std::chrono::milliseconds(100);
  // How long a commit that nobody syncs may stay in the page cache, where a power cut loses it.
  std::chrono::nanoseconds sync_interval = std::chrono::seconds(5);
};

// Makes commits durable: shared syncs for those who wait, and a thread for those who do not. The
// thread sleeps while there is nothing to write out. Commits are numbered from 1, as NoteCommit is
// told. Safe for use by several threads.
class WalSyncer {
 public:
  // Writes the log's buffer to the operating system (false), and on to the medium (true). Called by
  // one thread at a time when true.
  using Writer = std::function<Status(bool durable)>;

  WalSyncer(Clock& clock, const WalSyncOptions& options, Writer writer);
  ~WalSyncer();  // does not sync
  WalSyncer(const WalSyncer&) = delete;
  WalSyncer& operator=(const WalSyncer&) = delete;

  // Numbers only rise.
  void NoteCommit(uint64_t number) {
    // Against the thread, which clears `pending_` and then reads `committed_`: one of the two sees
    // the other's store.
    committed_.store(number);
    if (!pending_.load()) [[unlikely]]
      Wake();
  }

  // Returns when all commits noted before the call are durable. Callers that come while a sync runs
  // share the next one.
  Status Sync();

 private:
  void Wake();
  void RunThread();
  // Waits until there is something to write out; false if the thread has to end.
  bool AwaitCommit() EXCLUDES(wake_mutex_);
  // Writes out at the intervals until all is durable, or something failed.
  Status WriteOut();
  bool SleepFor(std::chrono::nanoseconds duration) EXCLUDES(wake_mutex_);

  Clock& clock_;
  const WalSyncOptions options_;
  const Writer writer_;

  std::atomic<uint64_t> committed_{0};
  std::atomic<uint64_t> synced_{0};
  // Set by the commit that wakes the thread, cleared by the thread before it looks.
  std::atomic<bool> pending_{false};

  Mutex sync_mutex_;
  CondVar sync_ended_;
  bool syncing_ GUARDED_BY(sync_mutex_) = false;

  Mutex wake_mutex_;
  CondVar wake_;
  bool stop_ GUARDED_BY(wake_mutex_) = false;
  std::thread thread_;
};

}  // namespace tifs::kv
