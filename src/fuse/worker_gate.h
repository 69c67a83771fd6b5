#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"

namespace tifs::fuse {

// Decides which threads wait for requests. The kernel hands each request to the thread that has
// waited longest; where many wait, each request wakes another one, on a CPU that has to come out of
// idle and has nothing of ours in its caches. So `waiting_limit` threads serve and the rest are
// parked, until a thread is about to block (AboutToBlock) and nobody would be left to wait, or
// until all that serve have been stuck for kStuckAfter. Nothing here runs while there are no
// requests. Safe for use by several threads.
class WorkerGate {
 public:
  static constexpr std::chrono::milliseconds kStuckAfter{2};

  // `clock` outlives the gate.
  WorkerGate(size_t waiting_limit, Clock& clock)
      : waiting_limit_(static_cast<int>(waiting_limit)), clock_(clock) {}

  // Returns when the calling thread is to wait for a request; until then it is parked. False:
  // closed.
  [[nodiscard]] bool Enter();
  // Follows each Enter that returned true, once the request is there or there will be none.
  void Leave();
  // The calling thread, between Leave and Enter, will do something that takes long: somebody else
  // is to wait meanwhile.
  void AboutToBlock();
  // No thread waits any more; those parked are let go.
  void Close();

  size_t parked() const;

 private:
  struct Parked {
    CondVar changed;
    bool released = false;
  };

  void Park(Parked& self) REQUIRES(mutex_);
  void Release(Parked& thread) REQUIRES(mutex_);
  void LetOneGo() REQUIRES(mutex_);
  void Watch();
  // Whether the parked thread that keeps watch is to serve as well. Told once each kStuckAfter.
  bool FoundAllStuck() REQUIRES(mutex_);

  const int waiting_limit_;
  Clock& clock_;
  // Threads between Enter and Leave; for a moment also one that is about to park.
  std::atomic<int> waiting_{0};
  // Counts Leave: while it moves, not all are stuck.
  std::atomic<uint32_t> turns_{0};
  // Whether the last parked thread looks after those that serve. Set under mutex_.
  std::atomic<bool> watching_{false};

  mutable Mutex mutex_;
  std::vector<Parked*> parked_ GUARDED_BY(mutex_);  // the last in, the warmest, is the first out
  uint32_t turns_seen_ GUARDED_BY(mutex_) = 0;
  int calm_ GUARDED_BY(mutex_) = 0;  // in a row, looks at which somebody waited
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace tifs::fuse
