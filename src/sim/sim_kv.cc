#include "sim/sim_kv.h"

#include <utility>
#include <vector>

namespace tifs::sim {

using kv::Direction;
using kv::ForwardingTransaction;
using kv::KeyRange;
using kv::ScanVisitor;
using kv::Transaction;
using kv::Value;

class FaultyTransaction : public ForwardingTransaction {
 public:
  FaultyTransaction(std::unique_ptr<Transaction> base, FaultyStore& store, uint64_t seed)
      : ForwardingTransaction(std::move(base)), store_(store), random_(seed) {}

  Result<std::optional<Value>> Get(std::string_view key) override {
    if (auto fault = store_.ReadFault(random_)) return *std::move(fault);
    return base().Get(key);
  }

  Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) override {
    if (auto fault = store_.ReadFault(random_)) return *std::move(fault);
    return base().BatchGet(keys);
  }

  // A fault may come after some keys were visited.
  Status Scan(const KeyRange& range, size_t limit, Direction direction,
              const ScanVisitor& visitor) override {
    std::optional<Error> fault = store_.ReadFault(random_);
    if (!fault) return base().Scan(range, limit, direction, visitor);
    uint64_t left = random_.Below(8);
    if (left == 0) return *std::move(fault);
    bool stopped = false;
    TRY(base().Scan(range, limit, direction, [&](std::string_view key, std::string_view value) {
      stopped = !visitor(key, value);
      return !stopped && --left > 0;
    }));
    if (stopped) return {};
    return *std::move(fault);
  }

  Status Commit() override;
  Result<bool> DetermineCommit() override;

 private:
  Status CommitBase() {
    Status status = base().Commit();
    outcome_ = status.ok();
    return status;
  }
  Status Undetermined() {
    store_.counts_.undetermined.Add();
    return Error(ErrorCode::kUndetermined, "injected");
  }

  FaultyStore& store_;
  Random random_;
  // Nothing: nobody has asked yet for what is to happen late.
  std::optional<bool> outcome_ = false;
};

Status FaultyTransaction::Commit() {
  if (auto fault = store_.CallFault(random_)) return *std::move(fault);
  const FaultRates& rates = store_.rates_;
  if (store_.Strikes(random_, rates.conflict_permille)) {
    store_.counts_.conflict.Add();
    return Error(ErrorCode::kConflict, "injected");
  }
  if (store_.Strikes(random_, rates.undetermined_happened_permille)) {
    TRY(CommitBase());
    return Undetermined();
  }
  if (store_.Strikes(random_, rates.undetermined_lost_permille)) return Undetermined();
  if (store_.Strikes(random_, rates.undetermined_late_permille)) {
    outcome_.reset();
    return Undetermined();
  }
  return CommitBase();
}

Result<bool> FaultyTransaction::DetermineCommit() {
  if (store_.Strikes(random_, store_.rates_.determine_unavailable_permille)) {
    store_.counts_.unavailable.Add();
    return Error(ErrorCode::kUnavailable, "injected");
  }
  if (outcome_) return *outcome_;
  Status late = CommitBase();
  if (!late && late.error().retry_class() != RetryClass::kConflict) {
    return std::move(late).error();
  }
  return late.ok();
}

FaultyStore::FaultyStore(kv::Store& base, uint64_t seed, const FaultRates& rates)
    : ForwardingStore(base), rates_(rates), random_(seed) {}

uint64_t FaultyStore::NextSeed() {
  MutexLock lock(mutex_);
  return random_.Next();
}

Result<std::unique_ptr<Transaction>> FaultyStore::Begin() {
  Random random(NextSeed());
  if (auto fault = CallFault(random)) return *std::move(fault);
  std::unique_ptr<Transaction> base_transaction = TRY(base().Begin());
  return std::make_unique<FaultyTransaction>(std::move(base_transaction), *this, random.Next());
}

Result<std::optional<Value>> FaultyStore::GetLatest(std::string_view key) {
  Random random(NextSeed());
  if (auto fault = ReadFault(random)) return *std::move(fault);
  return base().GetLatest(key);
}

bool FaultyStore::Strikes(Random& random, uint32_t permille) const {
  return permille > 0 && random.Below(1000) < permille && enabled_.load(std::memory_order_relaxed);
}

std::optional<Error> FaultyStore::CallFault(Random& random) {
  if (!Strikes(random, rates_.unavailable_permille)) return std::nullopt;
  counts_.unavailable.Add();
  return Error(ErrorCode::kUnavailable, "injected");
}

std::optional<Error> FaultyStore::ReadFault(Random& random) {
  if (Strikes(random, rates_.read_io_permille)) {
    counts_.read_io.Add();
    return Error(ErrorCode::kIo, "injected");
  }
  return CallFault(random);
}

}  // namespace tifs::sim
