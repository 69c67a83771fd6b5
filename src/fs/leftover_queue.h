#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/clock.h"
#include "base/sync.h"
#include "fs/records.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// What an operation left for the background: an entry of the leftover scope, by its key.
struct Leftover {
  kv::Timestamp begun = 0;
  InodeNumber inode;
  LeftoverKind kind = LeftoverKind::kOrphan;
  // With sessions: a timestamp at which it was there; 0: none is known yet.
  kv::Timestamp seen_at = 0;
};

// Leftovers that may be worked on now. Safe for several threads.
class LeftoverQueue {
 public:
  void Push(const Leftover& leftover);
  std::optional<Leftover> Pop();
  // Waits until there is something, Wake was called or `timeout` passed. One thread at a time.
  void Wait(Clock& clock, std::chrono::nanoseconds timeout);
  // Waits until `timeout` passed or Wake was called, whatever there is to do: before another try.
  void Pause(Clock& clock, std::chrono::nanoseconds timeout);
  // Waits without a time limit; WakeIdle ends it too.
  void Wait();
  // Waits for Wake or WakeIdle, whatever there is to do: nobody may do it.
  void AwaitWake();
  void Wake();
  // There is something to do in time: wakes who waits without a limit, nobody else.
  void WakeIdle();
  uint64_t size() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Leftover> queue_ GUARDED_BY(mutex_);
  bool woken_ GUARDED_BY(mutex_) = false;
  bool idle_woken_ GUARDED_BY(mutex_) = false;
  bool idle_ GUARDED_BY(mutex_) = false;
};

}  // namespace tifs::fs
