#pragma once

#include <pthread.h>

#include <csignal>

#include "base/result.h"

namespace tifs::cli {

// While it lives, signals that ask to stop wait, so that what is half done can be taken away
// again; then they end the process as ever. Threads that are started meanwhile leave them alone,
// too.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
    (void)pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~StopSignals() { (void)pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // kInterrupted once one came. From any thread.
  Status Check() const {
    sigset_t pending;
    sigpending(&pending);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      if (sigismember(&pending, number) == 1 && sigismember(&before_, number) == 0) {
        return Error(ErrorCode::kInterrupted, "volume");
      }
    }
    return {};
  }

 private:
  sigset_t signals_;
  sigset_t before_;
};

}  // namespace tifs::cli
