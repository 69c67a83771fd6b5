#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"
#include "kv/kv.h"

namespace tifs::kv {

struct RetryOptions {
  // A transaction that has not committed by then answers kDeadlineExceeded; zero: never gives up.
  std::chrono::nanoseconds deadline{0};
  std::chrono::nanoseconds initial_backoff = std::chrono::microseconds(20);
  std::chrono::nanoseconds max_backoff = std::chrono::milliseconds(100);
};

struct TransactionMetrics {
  Counter started;
  Counter committed;
  Counter conflicts;
  Counter unavailable;
  Counter undetermined;
};

// Runs transactions until they have an outcome: the only retry loop of the product.
//   kConflict      reruns the body at a new snapshot after a capped, jittered back-off.
//   kUnavailable   the same.
//   kUndetermined  asks the store about that very transaction until it knows, then returns success
//   or
//                  reruns; never reruns blindly.
// Safe for use by several threads.
class TransactionRunner {
 public:
  TransactionRunner(Store& store, Clock& clock, RetryOptions options = {})
      : store_(store), clock_(clock), options_(options), seed_(RandomSeed()) {}

  // Runs `body(Transaction&) -> Result<T>` and commits. The body may run several times and must
  // have no effect but through the transaction (or undo it at its start). An error of the body that
  // is not retried abandons the transaction and is returned.
  template <typename Body>
  std::invoke_result_t<Body&, Transaction&> Run(Body&& body) {
    using R = std::invoke_result_t<Body&, Transaction&>;
    std::optional<R> result;
    Status outcome = RunUntyped([&](Transaction& transaction) -> Status {
      result.emplace(body(transaction));
      if (!*result) return std::move(*result).error();
      return {};
    });
    if (!outcome) return std::move(outcome).error();
    return *std::move(result);
  }

  // As Run, for a body that only reads: nothing is committed.
  template <typename Body>
  std::invoke_result_t<Body&, Transaction&> Read(Body&& body) {
    using R = std::invoke_result_t<Body&, Transaction&>;
    std::optional<R> result;
    Status outcome = ReadUntyped([&](Transaction& transaction) -> Status {
      result.emplace(body(transaction));
      if (!*result) return std::move(*result).error();
      return {};
    });
    if (!outcome) return std::move(outcome).error();
    return *std::move(result);
  }

  // Called at the start of every transaction; its error is as one of the body's. Set before
  // anything runs. Empty: none.
  using Admission = std::function<Status(Transaction&)>;
  void SetAdmission(Admission admission) { admission_ = std::move(admission); }

  Store& store() const { return store_; }
  const TransactionMetrics& metrics() const { return metrics_; }

 private:
  using UntypedBody = std::function<Status(Transaction&)>;

  Status RunUntyped(const UntypedBody& body);
  Status ReadUntyped(const UntypedBody& body);
  Status RetryLoop(const std::function<Status()>& attempt);
  Status RunOnce(const UntypedBody& body);
  Status AwaitOutcome(Transaction& transaction);

  Store& store_;
  Clock& clock_;
  const RetryOptions options_;
  Admission admission_;
  std::atomic<uint64_t> seed_;
  TransactionMetrics metrics_;
};

}  // namespace tifs::kv
