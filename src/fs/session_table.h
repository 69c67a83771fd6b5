#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "fs/schema.h"
#include "fs/session_records.h"
#include "fs/types.h"
#include "kv/kv.h"

// The session, hold and settled-usage records, through one transaction each call. A malformed value
// answers kCorrupt.
namespace tifs::fs {

// All sessions, by ascending id.
Result<std::vector<SessionRecord>> LoadSessions(kv::Transaction& txn, const Schema& schema);
Result<std::optional<SessionRecord>> LoadSession(kv::Transaction& txn, const Schema& schema,
                                                 SessionId id);
// Who has an unlinked inode open.
Result<std::vector<SessionId>> LoadHolders(kv::Transaction& txn, const Schema& schema,
                                           InodeNumber inode);
Result<SettledRecord> LoadSettled(kv::Transaction& txn, const Schema& schema);

// Registers a session: gives it an id. Writes a key that every other such transaction writes, too.
// Errors: kNotFound (no file system, or no longer), kBusy (somebody works on it alone; or, of a
// session that is to be kExclusive, another session is there).
Result<SessionId> AddSession(kv::Transaction& txn, const Schema& schema, SessionRecord record);
// Takes the file system away from those who would join: its Meta record goes. kBusy: a session is
// there; kNotFound: it has gone already.
Status CloseForGood(kv::Transaction& txn, const Schema& schema);

}  // namespace tifs::fs
