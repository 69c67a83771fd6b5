#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "kv/kv.h"
#include "kv/tikv/garbage_collector.h"
#include "kv/tikv/tikv_options.h"
#include "kv/tikv/transport.h"

namespace tifs::kv::tikv {

// What TiKV takes in one raft entry, with room for the rest of it.
inline constexpr Limits kTikvLimits{
    .max_key_bytes = 4096, .max_value_bytes = 4 << 20, .max_transaction_bytes = 32 << 20};

// One keyspace of a TiKV cluster as a store. docs/tikv_client.md says how it works and what it
// survives. What differs from other stores: two transactions that only lock a key may conflict;
// every commit is durable when it returns. Safe for use by several threads.
class TikvKv : public Store {
 public:
  // Finds PD and the cluster. Errors: kInvalid (the options), kUnavailable (no PD answers within
  // the operation timeout).
  static Result<std::unique_ptr<TikvKv>> Open(const TikvOptions& options,
                                              std::unique_ptr<Transport> transport, Clock& clock);
  // Gives what is left behind replies a second to be done, then ends everything.
  ~TikvKv() override;

  Result<std::unique_ptr<Transaction>> Begin() override;
  Result<std::optional<Value>> GetLatest(std::string_view key) override;
  Status Sync() override { return {}; }
  std::optional<Timestamp> Ahead(Timestamp timestamp,
                                 std::chrono::milliseconds time) const override;
  Status SettleUpTo(Timestamp limit) override;
  const Limits& limits() const override { return kTikvLimits; }
  Result<SpaceUsage> Space() override;
  std::string ReadOnlyReason() override { return {}; }

  // One step of collecting the cluster's garbage, whatever the options say (with GcMode::kAuto a
  // thread of this store makes one a minute). One caller at a time.
  Result<GcReport> CollectGarbage();
  // Snapshots at and after `snapshot` stay readable for `ttl`, whoever collects: for reads that
  // take longer than GcOptions::life_time; renew it in time. `service`: the reader's name in the
  // cluster. A `ttl` of zero ends it. kUnavailable if that snapshot may be gone already.
  Status HoldSnapshots(const std::string& service, Timestamp snapshot, std::chrono::seconds ttl);

  // Returns when what was left behind replies until now is done.
  void DrainCleanup();

 private:
  struct Parts;
  TikvKv(const TikvOptions& options, std::unique_ptr<Transport> transport, Clock& clock);
  void CollectNowAndThen();

  const std::unique_ptr<Parts> parts_;
};

}  // namespace tifs::kv::tikv
