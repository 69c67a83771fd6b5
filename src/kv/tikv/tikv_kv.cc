#include "kv/tikv/tikv_kv.h"

#include <thread>
#include <utility>

#include "base/log.h"
#include "kv/tikv/settle.h"
#include "kv/tikv/tikv_transaction.h"

namespace tifs::kv::tikv {
namespace {

constexpr std::chrono::minutes kBetweenGcSteps{1};
// What all clients of a cluster share: the table of names, and who collects the garbage.
constexpr uint32_t kBoardKeyspace = 0;

// Transactions of another keyspace of the same cluster, through the same client.
class BoardStore : public ForwardingStore {
 public:
  BoardStore(Store& base, const CommitParts& parts) : ForwardingStore(base), parts_(parts) {}

  Result<std::unique_ptr<Transaction>> Begin() override {
    return std::make_unique<TikvTransaction>(parts_, keyspace_, kTikvLimits);
  }

 private:
  const CommitParts& parts_;
  const Keyspace keyspace_{kBoardKeyspace};
};

}  // namespace

// Each part uses those above it.
struct TikvKv::Parts {
  Parts(Store& store, const TikvOptions& options, std::unique_ptr<Transport> carrier, Clock& clock)
      : transport(std::move(carrier)),
        environment{.transport = *transport, .clock = clock, .stop = stop, .options = options},
        keyspace(options.keyspace),
        board(store, commit_parts),
        collector(environment, pd, sender, resolver, oracle, board, options.gc_options) {}

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
  BoardStore board;
  GarbageCollector collector;
  std::thread collecting;
};

TikvKv::TikvKv(const TikvOptions& options, std::unique_ptr<Transport> transport, Clock& clock)
    : parts_(std::make_unique<Parts>(*this, options, std::move(transport), clock)) {}

Result<std::unique_ptr<TikvKv>> TikvKv::Open(const TikvOptions& options,
                                             std::unique_ptr<Transport> transport, Clock& clock) {
  TRY(options.Validate());
  std::unique_ptr<TikvKv> store(new TikvKv(options, std::move(transport), clock));
  Backoff backoff = store->parts_->environment.NewBackoff();
  TRY(store->parts_->pd.Leader(backoff));
  if (options.gc == GcMode::kAuto) {
    store->parts_->collecting = std::thread([raw = store.get()] { raw->CollectNowAndThen(); });
  }
  return store;
}

// Its first step is due a while after the start: short-lived programs leave it to others.
void TikvKv::CollectNowAndThen() {
  Environment& environment = parts_->environment;
  while (environment.stop.SleepFor(environment.clock, kBetweenGcSteps)) {
    const Result<GcReport> report = CollectGarbage();
    if (!report && !environment.stop.stopped()) {
      LogWarning("garbage of the cluster: {}", report.error().ToString());
    }
  }
}

Result<GcReport> TikvKv::CollectGarbage() { return parts_->collector.Step(); }

Status TikvKv::HoldSnapshots(const std::string& service, Timestamp snapshot,
                             std::chrono::seconds ttl) {
  Backoff backoff = parts_->environment.NewBackoff();
  const Timestamp oldest = TRY(parts_->pd.HoldGcSafePoint(service, snapshot, ttl, backoff));
  if (ttl > std::chrono::seconds(0) && oldest > snapshot) {
    return Error(ErrorCode::kUnavailable, "tikv: the snapshot is too old");
  }
  return {};
}

TikvKv::~TikvKv() {
  parts_->cleanup.Close(std::chrono::seconds(1));
  // From here on every wait and every call ends at once, and the threads of the parts with them.
  parts_->stop.Stop();
  parts_->transport->Shutdown();
  if (parts_->collecting.joinable()) parts_->collecting.join();
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

std::optional<Timestamp> TikvKv::Ahead(Timestamp timestamp, std::chrono::milliseconds time) const {
  constexpr int kLogicalBits = 18;
  return timestamp + (static_cast<Timestamp>(time.count()) << kLogicalBits);
}

Status TikvKv::SettleUpTo(Timestamp limit) {
  Backoff backoff = parts_->environment.NewBackoff();
  return tikv::SettleUpTo(parts_->sender, parts_->resolver, parts_->oracle, parts_->keyspace, limit,
                          backoff);
}

Result<SpaceUsage> TikvKv::Space() {
  Backoff backoff = parts_->environment.NewBackoff();
  return parts_->pd.Space(backoff);
}

void TikvKv::DrainCleanup() { parts_->cleanup.Drain(); }

}  // namespace tifs::kv::tikv
