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
};

// Leftovers that may be worked on now. Safe for several threads.
class LeftoverQueue {
 public:
  void Push(const Leftover& leftover);
  std::optional<Leftover> Pop();
  // Waits until there is something, Wake was called or `timeout` passed.
  void Wait(Clock& clock, std::chrono::nanoseconds timeout);
  // Waits without a time limit.
  void Wait();
  void Wake();
  uint64_t size() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Leftover> queue_ GUARDED_BY(mutex_);
  bool woken_ GUARDED_BY(mutex_) = false;
};

}  // namespace tifs::fs
