#include "kv/run_transaction.h"

#include <algorithm>

namespace tifs::kv {
namespace {

// Exponential from the initial to the largest, each wait uniform in its upper half, so that those
// who conflicted do not meet again.
class Backoff {
 public:
  Backoff(const RetryOptions& options, uint64_t seed)
      : next_(options.initial_backoff), max_(options.max_backoff), random_(seed) {}

  std::chrono::nanoseconds Next() {
    const auto full = static_cast<uint64_t>(next_.count());
    next_ = std::min(next_ * 2, max_);
    return std::chrono::nanoseconds(full / 2 + random_.Below(full / 2 + 1));
  }

 private:
  std::chrono::nanoseconds next_;
  std::chrono::nanoseconds max_;
  Random random_;
};

}  // namespace

Status TransactionRunner::RunUntyped(const UntypedBody& body) {
  return RetryLoop([&] { return RunOnce(body); });
}

Status TransactionRunner::ReadUntyped(const UntypedBody& body) {
  return RetryLoop([&]() -> Status {
    metrics_.started.Add();
    std::unique_ptr<Transaction> transaction = TRY(store_.Begin());
    if (admission_) TRY(admission_(*transaction));
    return body(*transaction);
  });
}

Status TransactionRunner::RetryLoop(const std::function<Status()>& attempt) {
  std::optional<Backoff> backoff;
  std::chrono::nanoseconds give_up{0};
  for (;;) {
    Status status = attempt();
    if (status) return status;
    switch (status.error().retry_class()) {
      case RetryClass::kNever:
      case RetryClass::kUndetermined: return status;
      case RetryClass::kConflict: metrics_.conflicts.Add(); break;
      case RetryClass::kUnavailable: metrics_.unavailable.Add(); break;
    }
    if (!backoff) {
      backoff.emplace(options_, seed_.fetch_add(1, std::memory_order_relaxed));
      if (options_.deadline.count() > 0) give_up = clock_.Monotonic() + options_.deadline;
    }
    const auto wait = backoff->Next();
    if (give_up.count() > 0 && clock_.Monotonic() + wait > give_up) {
      return Error(ErrorCode::kDeadlineExceeded, "transaction", status.error().ToString());
    }
    clock_.SleepFor(wait);
  }
}

Status TransactionRunner::RunOnce(const UntypedBody& body) {
  metrics_.started.Add();
  std::unique_ptr<Transaction> transaction = TRY(store_.Begin());
  if (admission_) TRY(admission_(*transaction));
  TRY(body(*transaction));
  Status committed = transaction->Commit();
  if (!committed && committed.error().retry_class() == RetryClass::kUndetermined) {
    metrics_.undetermined.Add();
    committed = AwaitOutcome(*transaction);
  }
  if (committed) metrics_.committed.Add();
  return committed;
}

Status TransactionRunner::AwaitOutcome(Transaction& transaction) {
  Backoff backoff(options_, seed_.fetch_add(1, std::memory_order_relaxed));
  for (;;) {
    Result<bool> happened = transaction.DetermineCommit();
    if (happened) {
      if (*happened) return {};
      return Error(ErrorCode::kConflict, "commit was rolled back");
    }
    if (happened.error().retry_class() != RetryClass::kUnavailable) {
      return std::move(happened).error();
    }
    // The deadline does not end this wait: an outcome that is not known must not be reported as
    // one.
    clock_.SleepFor(backoff.Next());
  }
}

}  // namespace tifs::kv
