#include "volume/transfer_threads.h"

#include <pthread.h>

#include <system_error>
#include <utility>

namespace tifs::volume {

bool TransferThreads::TryRun(Task& task) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  if (idle_ != 0) {
    --idle_;
    given_.NotifyOne();
  } else if (threads_.size() < most_) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {
      return false;  // no more threads are to be had
    }
  } else {
    return false;
  }
  tasks_.push_back(std::move(task));
  return true;
}

void TransferThreads::CountForCaller(block::IoKind kind, uint64_t bytes) {
  block::IoCounter* const instance = block::IoScope::CurrentInstance();
  if (instance != nullptr) instance->Add(block::IoScope::CurrentClass(), kind, bytes);
}

void TransferThreads::Run() {
  pthread_setname_np(pthread_self(), "volume-transfer");
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) given_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    task = nullptr;  // what it holds goes before the thread says that it is idle
    MutexLock lock(mutex_);
    ++idle_;
  }
}

void TransferThreads::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    given_.NotifyAll();
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace tifs::volume
