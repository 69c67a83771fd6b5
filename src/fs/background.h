#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "fs/operation.h"

namespace tifs::fs {

// The work that operations leave: reclaiming orphans, clearing blocks, storing access times,
// counting usage after a crash. All in bounded steps, each a transaction, resumable after a kill at
// any point.
//
// With sessions also: ending those that died, taking over what they left, and keeping this one's
// reservation as large as it need be. Orphans wait until every session has seen them.
class Background : public Session::Listener {
 public:
  explicit Background(MountState& mount) : mount_(mount) {}
  ~Background() override { Stop(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Queues what an earlier mount left.
  Status QueueLeftovers();
  void Start();
  // Waits for the step under way; what is left stays for the next mount. Idempotent.
  void Stop();

  // One step; false: nothing is left. Safe from any thread, one at a time.
  Result<bool> RunStep();
  // Works off what would give space back, for at most some seconds; what is open stays.
  void FreeSpace();
  Status StoreAtimes();
  // Everything that was committed before is durable.
  Status Sync();
  // Stores access times, makes what nobody synced durable and gives released space back.
  Status Tidy();
  // Whether a step is under way, which may give space back.
  bool busy() const { return busy_.load(std::memory_order_relaxed); }

  void SessionDied() override;
  void SessionMoved() override;
  void ClosedUnlinked(InodeNumber inode, kv::Timestamp begun) override;

 private:
  void Run();
  // When what waits is to be tidied up: some time after it began to wait; nothing if nothing waits.
  void PlanTidy(std::optional<std::chrono::nanoseconds>& tidy_at);
  Result<bool> ReclaimOne();
  // What there is to do because of other sessions; whether there was something.
  Result<bool> SessionStep();
  // Whether it may be reclaimed; else it waits until it may.
  Result<bool> IsSeenByAll(Leftover& orphan);
  // Syncs what has released blocks, and gives their space back.
  Status Recycle();

  MountState& mount_;
  Mutex step_mutex_;
  Mutex atimes_mutex_;  // held by who has taken access times to store them
  std::atomic<bool> busy_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> session_moved_{false};
  Mutex waiting_mutex_;
  std::vector<Leftover> waiting_ GUARDED_BY(waiting_mutex_);  // until all sessions have seen them
  std::thread thread_;
};

}  // namespace tifs::fs
