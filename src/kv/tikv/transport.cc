#include "kv/tikv/transport.h"

#include <utility>

#include "base/sync.h"

namespace tifs::kv::tikv {
namespace {

// Counts answers; its waiter may destroy it as soon as it has seen the last.
class Countdown {
 public:
  explicit Countdown(size_t count) : left_(count) {}

  void Done() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--left_ == 0) zero_.NotifyAll();
  }
  void Wait() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (left_ > 0) zero_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar zero_;
  size_t left_ GUARDED_BY(mutex_);
};

}  // namespace

void CallAll(Transport& transport, std::span<OutgoingCall> calls,
             std::chrono::nanoseconds timeout) {
  Countdown countdown(calls.size());
  for (OutgoingCall& call : calls) {
    transport.Call(call.address, call.method, *call.request, *call.response, timeout,
                   [&call, &countdown](Status status) {
                     call.status = std::move(status);
                     countdown.Done();
                   });
  }
  countdown.Wait();
}

}  // namespace tifs::kv::tikv
