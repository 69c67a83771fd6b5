#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/sync.h"
#include "block/io_class.h"

namespace tifs::volume {

// Threads on which a volume transfers what nobody waits for yet. They never queue: a task is taken
// only by a thread that has nothing else to do, so none waits behind another's, whatever that
// is for. Threads are started when they are first wanted. Safe for use by several threads.
class TransferThreads {
 public:
  using Task = std::move_only_function<void()>;

  // At most so many threads; none: every task is left to its caller.
  explicit TransferThreads(size_t most) : most_(most) {}
  ~TransferThreads() { Stop(); }
  TransferThreads(const TransferThreads&) = delete;
  TransferThreads& operator=(const TransferThreads&) = delete;

  // Whether a thread took the task, which is then moved from; else the caller still has it. A task
  // says by an IoScope what it is for.
  bool TryRun(Task& task) EXCLUDES(mutex_);
  // The instance of those scopes: the one that a transfer is for counts it where the task is given
  // out or its outcome is used (CountForCaller), since it may be gone when the task runs.
  block::IoCounter& counted_elsewhere() { return counted_elsewhere_; }
  // Counts for the calling thread's instance what a task transfers.
  static void CountForCaller(block::IoKind kind, uint64_t bytes);
  // Returns when all tasks are done and the threads are gone; none is taken any more. Idempotent;
  // not from a task.
  void Stop() EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);

  const size_t most_;
  block::IoCounter counted_elsewhere_;
  Mutex mutex_;
  CondVar given_;
  // Each is for a thread that waits for it already, or that is just starting.
  std::deque<Task> tasks_ GUARDED_BY(mutex_);
  size_t idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace tifs::volume
