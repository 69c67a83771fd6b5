#include "fs/leftover_queue.h"

namespace tifs::fs {

void LeftoverQueue::Push(const Leftover& leftover) {
  MutexLock lock(mutex_);
  queue_.push_back(leftover);
  changed_.NotifyOne();
}

std::optional<Leftover> LeftoverQueue::Pop() {
  MutexLock lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  const Leftover leftover = queue_.front();
  queue_.pop_front();
  return leftover;
}

void LeftoverQueue::Wait(Clock& clock, std::chrono::nanoseconds timeout) {
  MutexLock lock(mutex_);
  if (queue_.empty() && !woken_) clock.WaitFor(changed_, mutex_, timeout);
  woken_ = false;
}

void LeftoverQueue::Pause(Clock& clock, std::chrono::nanoseconds timeout) {
  const auto end = clock.Monotonic() + timeout;
  MutexLock lock(mutex_);
  for (auto left = timeout; !woken_ && left.count() > 0; left = end - clock.Monotonic()) {
    clock.WaitFor(changed_, mutex_, left);
  }
  woken_ = false;
}

void LeftoverQueue::Wait() {
  MutexLock lock(mutex_);
  idle_ = true;
  while (queue_.empty() && !woken_ && !idle_woken_) changed_.Wait(mutex_);
  idle_ = woken_ = idle_woken_ = false;
}

void LeftoverQueue::AwaitWake() {
  MutexLock lock(mutex_);
  idle_ = true;
  while (!woken_ && !idle_woken_) changed_.Wait(mutex_);
  idle_ = woken_ = idle_woken_ = false;
}

void LeftoverQueue::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyOne();
}

void LeftoverQueue::WakeIdle() {
  MutexLock lock(mutex_);
  idle_woken_ = true;
  if (idle_) changed_.NotifyOne();
}

uint64_t LeftoverQueue::size() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

}  // namespace tifs::fs
