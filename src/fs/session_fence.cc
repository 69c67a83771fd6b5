#include "fs/session_fence.h"

#include <string>
#include <vector>

#include "fs/session_table.h"

namespace tifs::fs {
namespace {

constexpr size_t kDeletedAtOnce = 256;

// Deletes some holds of the session; where to look on, nothing at the end.
Result<std::optional<std::string>> RemoveSomeHolds(kv::Transaction& txn, const Schema& schema,
                                                   SessionId id, const std::string& from) {
  const KeySpan all = schema.AllOf(Schema::Scope::kHold);
  std::vector<std::string> keys;
  std::optional<std::string> next;
  const kv::KeyRange range{from.empty() ? all.begin.view() : std::string_view(from), all.end};
  TRY(txn.Scan(range, 0, kv::Direction::kForward, [&](std::string_view key, std::string_view) {
    const auto parsed = schema.ParseHold(key);
    if (!parsed || parsed->session != id.value) return true;
    if (keys.size() == kDeletedAtOnce) {
      next = std::string(key);
      return false;
    }
    keys.emplace_back(key);
    return true;
  }));
  for (const std::string& key : keys) TRY(txn.Delete(key));
  return next;
}

Status RemoveRecord(kv::Transaction& txn, const Schema& schema, SessionId id) {
  const std::optional<SessionRecord> record = TRY(LoadSession(txn, schema, id));
  if (!record || record->state != SessionState::kDead) return {};
  if (const auto value = TRY(txn.Get(schema.Usage(id.value)))) {
    const ReservationRecord reserved = TRY(ReservationRecord::Decode(value->view()));
    SettledRecord settled = TRY(LoadSettled(txn, schema));
    settled.bytes += reserved.bytes;
    settled.inodes += reserved.inodes;
    settled.exact = false;
    TRY(txn.Put(schema.SettledUsage(), settled.Encode()));
    TRY(txn.Delete(schema.Usage(id.value)));
  }
  return txn.Delete(schema.Session(id.value));
}

}  // namespace

Result<bool> MarkSessionDead(kv::TransactionRunner& runner, const Schema& schema, SessionId id,
                             std::optional<uint64_t> count) {
  return runner.Run([&](kv::Transaction& txn) -> Result<bool> {
    std::optional<SessionRecord> record = TRY(LoadSession(txn, schema, id));
    if (!record || record->state == SessionState::kExclusive) return false;
    if (record->state == SessionState::kDead) return true;
    if (count && record->count != *count) return false;
    record->state = SessionState::kDead;
    TRY(txn.Put(schema.Session(id.value), record->Encode()));
    return true;
  });
}

Status RemoveHolds(kv::TransactionRunner& runner, const Schema& schema, SessionId id) {
  std::string from;
  for (;;) {
    const auto next = TRY(
        runner.Run([&](kv::Transaction& txn) { return RemoveSomeHolds(txn, schema, id, from); }));
    if (!next) return {};
    from = *next;
  }
}

Status EndDeadSession(kv::TransactionRunner& runner, const Schema& schema, SessionId id) {
  const auto record =
      TRY(runner.Read([&](kv::Transaction& txn) { return LoadSession(txn, schema, id); }));
  if (!record || record->state != SessionState::kDead) return {};
  TRY(runner.store().SettleUpTo(record->bound));
  TRY(RemoveHolds(runner, schema, id));
  return runner.Run([&](kv::Transaction& txn) { return RemoveRecord(txn, schema, id); });
}

}  // namespace tifs::fs
