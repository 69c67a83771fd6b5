#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/metrics.h"
#include "base/random.h"
#include "base/sync.h"
#include "kv/kv.h"

namespace tifs::sim {

// How often each fault strikes, per thousand of the calls that it can strike.
struct FaultRates {
  // Begin, reads and Commit: nothing happened, try again.
  uint32_t unavailable_permille = 0;
  // Reads; final for the operation.
  uint32_t read_io_permille = 0;
  // Commit of a transaction that another one might have overtaken; nothing happened.
  uint32_t conflict_permille = 0;
  // Commit answers kUndetermined, and
  uint32_t undetermined_happened_permille = 0;  // has happened,
  uint32_t undetermined_lost_permille = 0;      // has not and never will,
  uint32_t undetermined_late_permille = 0;      // happens, or conflicts, when somebody asks.
  // DetermineCommit: not known yet.
  uint32_t determine_unavailable_permille = 0;
};

struct FaultCounts {
  Counter unavailable;
  Counter read_io;
  Counter conflict;
  Counter undetermined;
};

// A store whose network and disks are bad, by a seed: the same calls in the same order meet the
// same faults. What a transaction changed is always all there or not at all, and DetermineCommit
// tells the truth. Safe for use by several threads (then the seed no longer fixes who meets which
// fault).
class FaultyStore : public kv::ForwardingStore {
 public:
  FaultyStore(kv::Store& base, uint64_t seed, const FaultRates& rates);

  Result<std::unique_ptr<kv::Transaction>> Begin() override;
  Result<std::optional<kv::Value>> GetLatest(std::string_view key) override;

  // Faults strike from the start; switched off, everything is forwarded. Transactions that are open
  // go by what is set when they call.
  void SetEnabled(bool enabled) { enabled_.store(enabled); }
  const FaultCounts& counts() const { return counts_; }

 private:
  friend class FaultyTransaction;

  uint64_t NextSeed() EXCLUDES(mutex_);
  // An error that a read, or any call, meets; or nothing.
  std::optional<Error> ReadFault(Random& random);
  std::optional<Error> CallFault(Random& random);
  bool Strikes(Random& random, uint32_t permille) const;

  const FaultRates rates_;
  std::atomic<bool> enabled_{true};
  FaultCounts counts_;
  Mutex mutex_;
  Random random_ GUARDED_BY(mutex_);
};

}  // namespace tifs::sim
