#include "kv/tikv/heartbeat.h"

#include <algorithm>
#include <utility>

namespace tifs::kv::tikv {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

Heartbeat::Registration::~Registration() {
  MutexLock lock(heartbeat_.mutex_);
  heartbeat_.commits_.erase(commit_);
}

Heartbeat::Heartbeat(Environment& environment, RegionSender& sender)
    : environment_(environment), sender_(sender), thread_([this] { Run(); }) {}

std::unique_ptr<Heartbeat::Registration> Heartbeat::Register(const std::string& primary,
                                                             Timestamp start_ts,
                                                             nanoseconds started,
                                                             milliseconds ttl) {
  const nanoseconds now = environment_.clock.Monotonic();
  const nanoseconds left = started + ttl - now;
  MutexLock lock(mutex_);
  const auto commit = commits_.insert(
      commits_.end(),
      {.primary = primary, .start_ts = start_ts, .started = started, .due = now + left / 2});
  if (sleeping_) changed_.NotifyAll();
  return std::make_unique<Registration>(*this, commit);
}

void Heartbeat::Run() {
  const milliseconds ttl = environment_.options.lock_ttl;
  for (;;) {
    std::string primary;
    Timestamp start_ts = 0;
    milliseconds advised{0};
    {
      MutexLock lock(mutex_);
      while (start_ts == 0) {
        if (closed_) return;
        if (commits_.empty()) {
          sleeping_ = true;
          changed_.Wait(mutex_);
          sleeping_ = false;
          continue;
        }
        const nanoseconds now = environment_.clock.Monotonic();
        const auto next = std::ranges::min_element(commits_, {}, &Commit::due);
        // A commit that is registered meanwhile is due later than that.
        const nanoseconds wait = std::min<nanoseconds>(next->due - now, ttl / 2);
        if (next->due > now) {
          changed_.WaitFor(mutex_, wait);
          continue;
        }
        next->due = now + ttl / 2;
        primary = next->primary;
        start_ts = next->start_ts;
        advised = duration_cast<milliseconds>(now - next->started) + ttl;
      }
    }
    Beat(primary, start_ts, advised);
  }
}

// Whatever comes back: the commit itself finds out whether its locks are still there.
void Heartbeat::Beat(const std::string& primary, Timestamp start_ts, milliseconds ttl) {
  kvrpcpb::TxnHeartBeatRequest request;
  request.set_primary_lock(primary);
  request.set_start_version(start_ts);
  request.set_advise_lock_ttl(ttl.count());
  Backoff backoff = environment_.NewBackoff(environment_.options.lock_ttl / 4);
  (void)sender_.Repeat(primary, request, backoff);
}

void Heartbeat::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace tifs::kv::tikv
