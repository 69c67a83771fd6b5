#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "base/sync.h"
#include "kv/kv.h"
#include "kv/tikv/region_request.h"

namespace tifs::kv::tikv {

// Keeps the primary locks of commits alive that take longer than half of their time to live. One
// thread for all; it sleeps while no commit is under way. Safe for use by several threads.
class Heartbeat {
 private:
  struct Commit;

 public:
  // Ends the heartbeats of a commit when it goes.
  class Registration {
   public:
    Registration(Heartbeat& heartbeat, std::list<Commit>::iterator commit)
        : heartbeat_(heartbeat), commit_(commit) {}
    ~Registration();
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    Heartbeat& heartbeat_;
    const std::list<Commit>::iterator commit_;
  };

  Heartbeat(Environment& environment, RegionSender& sender);
  ~Heartbeat() { Close(); }

  // The transaction's locks were made to live until `ttl` after its start timestamp, which was
  // taken at `started` on the clock.
  std::unique_ptr<Registration> Register(const std::string& primary, Timestamp start_ts,
                                         std::chrono::nanoseconds started,
                                         std::chrono::milliseconds ttl) EXCLUDES(mutex_);
  void Close() EXCLUDES(mutex_);

 private:
  struct Commit {
    std::string primary;
    Timestamp start_ts;
    std::chrono::nanoseconds started;
    std::chrono::nanoseconds due;
  };

  void Run() EXCLUDES(mutex_);
  void Beat(const std::string& primary, Timestamp start_ts, std::chrono::milliseconds ttl);

  Environment& environment_;
  RegionSender& sender_;
  Mutex mutex_;
  CondVar changed_;
  std::list<Commit> commits_ GUARDED_BY(mutex_);
  bool sleeping_ GUARDED_BY(mutex_) = false;  // without a time to wake up
  bool closed_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tifs::kv::tikv
