#include "fuse/worker_gate.h"

namespace tifs::fuse {
namespace {

// So many looks at which all was well end the watch.
constexpr int kCalmLooks = 25;

}  // namespace

bool WorkerGate::Enter() {
  if (waiting_.fetch_add(1) < waiting_limit_) return true;
  waiting_.fetch_sub(1);
  MutexLock lock(mutex_);
  if (closed_) return false;
  // Those who waited may all have left since.
  if (waiting_.load() == 0) {
    waiting_.fetch_add(1);
    return true;
  }
  Parked self;
  Park(self);
  return !closed_;
}

void WorkerGate::Leave() {
  turns_.fetch_add(1, std::memory_order_relaxed);
  if (waiting_.fetch_sub(1) == 1 && !watching_.load(std::memory_order_relaxed)) Watch();
}

void WorkerGate::AboutToBlock() {
  if (waiting_.load() > 0) return;
  MutexLock lock(mutex_);
  if (waiting_.load() == 0) LetOneGo();
}

void WorkerGate::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  while (!parked_.empty()) Release(*parked_.back());
}

void WorkerGate::Park(Parked& self) {
  parked_.push_back(&self);
  while (!self.released) {
    if (!watching_.load(std::memory_order_relaxed) || parked_.back() != &self) {
      self.changed.Wait(mutex_);
    } else if (!clock_.WaitFor(self.changed, mutex_, kStuckAfter) && !self.released &&
               parked_.back() == &self && FoundAllStuck()) {
      LetOneGo();
    }
  }
}

void WorkerGate::LetOneGo() {
  if (parked_.empty()) return;
  waiting_.fetch_add(1);  // on behalf of the thread that is let go
  Release(*parked_.back());
  if (watching_.load(std::memory_order_relaxed) && !parked_.empty()) {
    parked_.back()->changed.NotifyOne();
  }
}

void WorkerGate::Release(Parked& thread) {
  parked_.pop_back();
  thread.released = true;
  thread.changed.NotifyOne();
}

void WorkerGate::Watch() {
  MutexLock lock(mutex_);
  if (parked_.empty() || watching_.load(std::memory_order_relaxed)) return;
  watching_.store(true, std::memory_order_relaxed);
  calm_ = 0;
  turns_seen_ = turns_.load(std::memory_order_relaxed);
  parked_.back()->changed.NotifyOne();
}

bool WorkerGate::FoundAllStuck() {
  const uint32_t turns = turns_.load(std::memory_order_relaxed);
  const bool moved = turns != turns_seen_;
  turns_seen_ = turns;
  if (waiting_.load() == 0) {
    calm_ = 0;
    return !moved;
  }
  if (++calm_ == kCalmLooks) watching_.store(false, std::memory_order_relaxed);
  return false;
}

size_t WorkerGate::parked() const {
  MutexLock lock(mutex_);
  return parked_.size();
}

}  // namespace tifs::fuse
