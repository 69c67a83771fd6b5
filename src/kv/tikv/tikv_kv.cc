#include "kv/tikv/tikv_kv.h"

#include <utility>

#include "kv/tikv/tikv_transaction.h"

namespace tifs::kv::tikv {

// Each part uses those above it.
struct TikvKv::Parts {
  Parts(const TikvOptions& options, std::unique_ptr<Transport> carrier, Clock& clock)
      : transport(std::move(carrier)),
        environment{.transport = *transport, .clock = clock, .stop = stop, .options = options},
        keyspace(options.keyspace) {}

  const std::unique_ptr<Transport> transport;
  StopSignal stop;
  Environment environment;
  const Keyspace keyspace;
  PdClient pd{environment};
  TimestampOracle oracle{environment, pd};
  RegionCache cache{environment, pd};
  RegionSender sender{environment, cache, pd};
  LockResolver resolver{environment, sender, oracle};
  CleanupQueue cleanup;
  Heartbeat heartbeat{environment, sender};
  const CommitParts commit_parts{.environment = environment,
                                 .sender = sender,
                                 .resolver = resolver,
                                 .oracle = oracle,
                                 .cleanup = cleanup,
                                 .heartbeat = heartbeat};
};

TikvKv::TikvKv(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Result<std::unique_ptr<TikvKv>> TikvKv::Open(const TikvOptions& options,
                                             std::unique_ptr<Transport> transport, Clock& clock) {
  TRY(options.Validate());
  std::unique_ptr<TikvKv> store(
      new TikvKv(std::make_unique<Parts>(options, std::move(transport), clock)));
  Backoff backoff = store->parts_->environment.NewBackoff();
  TRY(store->parts_->pd.Leader(backoff));
  return store;
}

TikvKv::~TikvKv() {
  parts_->cleanup.Close(std::chrono::seconds(1));
  // From here on every wait and every call ends at once, and the threads of the parts with them.
  parts_->stop.Stop();
  parts_->transport->Shutdown();
}

Result<std::unique_ptr<Transaction>> TikvKv::Begin() {
  return std::make_unique<TikvTransaction>(parts_->commit_parts, parts_->keyspace, kTikvLimits);
}

Result<std::optional<Value>> TikvKv::GetLatest(std::string_view key) {
  Backoff backoff = parts_->environment.NewBackoff();
  Snapshot latest(parts_->sender, parts_->resolver, Snapshot::kLatest);
  std::optional<std::string> found = TRY(latest.Get(parts_->keyspace.Encode(key), backoff));
  if (!found) return std::optional<Value>();
  return std::optional<Value>(Value(*std::move(found)));
}

Result<SpaceUsage> TikvKv::Space() {
  Backoff backoff = parts_->environment.NewBackoff();
  return parts_->pd.Space(backoff);
}

void TikvKv::DrainCleanup() { parts_->cleanup.Drain(); }

}  // namespace tifs::kv::tikv
