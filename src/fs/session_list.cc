#include "fs/session_list.h"

#include <map>

#include "base/log.h"
#include "fs/schema.h"
#include "fs/session_fence.h"
#include "fs/session_table.h"
#include "kv/run_transaction.h"

namespace tifs::fs {
namespace {

constexpr auto kEndInterval = std::chrono::milliseconds(500);

}  // namespace

Result<std::vector<SessionStatus>> ListSessions(kv::Store& store, Clock& clock) {
  const Schema schema;
  kv::TransactionRunner runner(store, clock);
  return runner.Read([&](kv::Transaction& txn) -> Result<std::vector<SessionStatus>> {
    std::map<uint64_t, uint64_t> holds;
    const KeySpan all = schema.AllOf(Schema::Scope::kHold);
    TRY(txn.Scan(all.range(), 0, kv::Direction::kForward,
                 [&](std::string_view key, std::string_view) {
                   if (const auto hold = schema.ParseHold(key)) ++holds[hold->session];
                   return true;
                 }));
    std::vector<SessionStatus> listed;
    for (SessionRecord& record : TRY(LoadSessions(txn, schema))) {
      const uint64_t of_it = holds[record.id.value];
      listed.push_back({std::move(record), of_it});
    }
    return listed;
  });
}

Status EvictSession(kv::Store& store, Clock& clock, SessionId id) {
  const Schema schema;
  kv::TransactionRunner runner(store, clock);
  const auto record =
      TRY(runner.Read([&](kv::Transaction& txn) { return LoadSession(txn, schema, id); }));
  if (!record) return Error(ErrorCode::kNotFound, "session");
  if (record->state == SessionState::kExclusive) {
    return Error(ErrorCode::kNotSupported, "session", "it works on the file system alone");
  }
  TRY(MarkSessionDead(runner, schema, id, std::nullopt));
  // Its bound stands still now, and passes within its timeout.
  const auto give_up = clock.Monotonic() + 2 * std::chrono::milliseconds(record->timeout_ms);
  for (;;) {
    Status ended = EndDeadSession(runner, schema, id);
    if (ended || ended.error().retry_class() != RetryClass::kUnavailable ||
        clock.Monotonic() > give_up) {
      return ended;
    }
    clock.SleepFor(kEndInterval);
  }
}

Status CloseForGood(kv::Store& store, Clock& clock) {
  const Schema schema;
  kv::TransactionRunner runner(store, clock);
  return runner.Run([&](kv::Transaction& txn) { return CloseForGood(txn, schema); });
}

Result<std::unique_ptr<ExclusiveSession>> ExclusiveSession::Begin(kv::Store& store, Clock& clock,
                                                                  SessionRecord record) {
  const Schema schema;
  kv::TransactionRunner runner(store, clock);
  record.state = SessionState::kExclusive;
  const SessionId id =
      TRY(runner.Run([&](kv::Transaction& txn) { return AddSession(txn, schema, record); }));
  return std::unique_ptr<ExclusiveSession>(new ExclusiveSession(store, clock, id));
}

ExclusiveSession::~ExclusiveSession() {
  const Schema schema;
  kv::TransactionRunner runner(store_, clock_);
  Status ended =
      runner.Run([&](kv::Transaction& txn) { return txn.Delete(schema.Session(id_.value)); });
  if (!ended) LogError("session {}: {}", id_.value, ended.error().ToString());
}

}  // namespace tifs::fs
