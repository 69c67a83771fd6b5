#include "kv/tikv/cleanup_queue.h"

#include <utility>

namespace tifs::kv::tikv {

CleanupQueue::CleanupQueue() {
  for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
}

void CleanupQueue::Add(Task task) {
  {
    MutexLock lock(mutex_);
    if (!closed_ && waiting_.size() < kMaxWaiting) {
      waiting_.push_back(std::move(task));
      added_.NotifyOne();
      return;
    }
  }
  task();
}

void CleanupQueue::Run() {
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !closed_) added_.Wait(mutex_);
      if (waiting_.empty()) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
      ++running_;
    }
    task();
    task = nullptr;
    MutexLock lock(mutex_);
    --running_;
    if (running_ == 0 && waiting_.empty()) idle_.NotifyAll();
  }
}

void CleanupQueue::Drain() {
  MutexLock lock(mutex_);
  while (running_ > 0 || !waiting_.empty()) idle_.Wait(mutex_);
}

void CleanupQueue::Close(std::chrono::nanoseconds grace) {
  const auto until = std::chrono::steady_clock::now() + grace;
  MutexLock lock(mutex_);
  while (running_ > 0 || !waiting_.empty()) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) break;
    idle_.WaitFor(mutex_, left);
  }
  waiting_.clear();
  closed_ = true;
  added_.NotifyAll();
  idle_.NotifyAll();
}

CleanupQueue::~CleanupQueue() {
  Close(std::chrono::nanoseconds(0));
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace tifs::kv::tikv
