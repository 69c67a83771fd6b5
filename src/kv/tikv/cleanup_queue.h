#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/sync.h"

namespace tifs::kv::tikv {

// Work that nobody waits for: commits of secondaries, rollbacks. Two threads do it, in order of
// arrival. What is left undone does no harm: whoever meets the locks finishes it. Safe for use by
// several threads.
class CleanupQueue {
 public:
  using Task = std::function<void()>;

  CleanupQueue();
  // Waits for the tasks that run.
  ~CleanupQueue();

  // Runs `task` in the background; at once, by the caller, if too many wait already or the queue is
  // closed.
  void Add(Task task) EXCLUDES(mutex_);
  // Returns when all that was added has been done.
  void Drain() EXCLUDES(mutex_);
  // Gives what was added `grace` to be done, then drops what has not begun.
  void Close(std::chrono::nanoseconds grace) EXCLUDES(mutex_);

 private:
  static constexpr size_t kThreads = 2;
  static constexpr size_t kMaxWaiting = 1024;

  void Run() EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar added_;
  CondVar idle_;
  std::deque<Task> waiting_ GUARDED_BY(mutex_);
  size_t running_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tifs::kv::tikv
