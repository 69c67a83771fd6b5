#include "fs/session_table.h"

#include <utility>

namespace tifs::fs {

Result<std::vector<SessionRecord>> LoadSessions(kv::Transaction& txn, const Schema& schema) {
  std::vector<SessionRecord> sessions;
  Status bad;
  const KeySpan all = schema.AllOf(Schema::Scope::kSession);
  TRY(txn.Scan(all.range(), 0, kv::Direction::kForward,
               [&](std::string_view key, std::string_view value) {
                 const auto id = schema.ParseSession(key);
                 if (!id) {
                   bad = Error(ErrorCode::kCorrupt, "session key");
                   return false;
                 }
                 auto record = SessionRecord::Decode({*id}, value);
                 if (record) {
                   sessions.push_back(*std::move(record));
                 } else {
                   bad = std::move(record).error();
                 }
                 return bad.ok();
               }));
  TRY(std::move(bad));
  return sessions;
}

Result<std::optional<SessionRecord>> LoadSession(kv::Transaction& txn, const Schema& schema,
                                                 SessionId id) {
  const std::optional<kv::Value> value = TRY(txn.Get(schema.Session(id.value)));
  if (!value) return std::optional<SessionRecord>();
  return std::optional(TRY(SessionRecord::Decode(id, value->view())));
}

Result<std::vector<SessionId>> LoadHolders(kv::Transaction& txn, const Schema& schema,
                                           InodeNumber inode) {
  std::vector<SessionId> holders;
  const KeySpan holds = schema.Holds(inode);
  TRY(txn.Scan(holds.range(), 0, kv::Direction::kForward,
               [&](std::string_view key, std::string_view) {
                 if (const auto parsed = schema.ParseHold(key)) {
                   holders.push_back({parsed->session});
                 }
                 return true;
               }));
  return holders;
}

Result<SettledRecord> LoadSettled(kv::Transaction& txn, const Schema& schema) {
  const std::optional<kv::Value> value = TRY(txn.Get(schema.SettledUsage()));
  if (!value) return SettledRecord();
  return SettledRecord::Decode(value->view());
}

Result<SessionId> AddSession(kv::Transaction& txn, const Schema& schema, SessionRecord record) {
  if (!TRY(txn.Get(schema.Meta()))) return Error(ErrorCode::kNotFound, "file system");
  uint64_t next = 1;
  if (const auto value = TRY(txn.Get(schema.NextSession()))) {
    next = TRY(DecodeNextSession(value->view()));
  }
  if (next >= Schema::kMaxSession) return Error(ErrorCode::kNoSpace, "session numbers");
  for (const SessionRecord& other : TRY(LoadSessions(txn, schema))) {
    if (other.state == SessionState::kExclusive) {
      return Error(ErrorCode::kBusy, "session", "somebody works on it alone: " + other.host);
    }
    if (record.state == SessionState::kExclusive) {
      return Error(ErrorCode::kBusy, "session", "it is mounted: " + other.host);
    }
  }
  record.id = {next};
  TRY(txn.Put(schema.NextSession(), EncodeNextSession(next + 1)));
  TRY(txn.Put(schema.Session(next), record.Encode()));
  return record.id;
}

Status CloseForGood(kv::Transaction& txn, const Schema& schema) {
  if (!TRY(txn.Get(schema.Meta()))) return Error(ErrorCode::kNotFound, "file system");
  const std::vector<SessionRecord> sessions = TRY(LoadSessions(txn, schema));
  if (!sessions.empty()) {
    return Error(ErrorCode::kBusy, "session", "it is mounted: " + sessions.front().host);
  }
  uint64_t next = 1;
  if (const auto value = TRY(txn.Get(schema.NextSession()))) {
    next = TRY(DecodeNextSession(value->view()));
  }
  TRY(txn.Put(schema.NextSession(), EncodeNextSession(next + 1)));
  return txn.Delete(schema.Meta());
}

}  // namespace tifs::fs
