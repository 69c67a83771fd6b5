#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "fs/schema.h"
#include "fs/session_records.h"
#include "kv/kv.h"
#include "kv/run_transaction.h"

// How a session that died is ended: in steps that anybody may take, again and from wherever they
// are. docs/consistency.md, "Every operation happens while its session is alive", says why each
// comes when it does.
namespace tifs::fs {

// Marks a session dead, unless its heartbeat count is no longer `count` (nothing: whatever it is).
// From then on its bound stands still. False: it lives, or is gone.
Result<bool> MarkSessionDead(kv::TransactionRunner& runner, const Schema& schema, SessionId id,
                             std::optional<uint64_t> count);

// Deletes the holds of a session that puts no more.
Status RemoveHolds(kv::TransactionRunner& runner, const Schema& schema, SessionId id);

// Takes away what a session that is marked dead had: its holds, its reservation (what it had
// reserved counts as used) and, last, its record. Waits before that until nothing of it can commit
// any more. Errors: kUnavailable, to be tried again: also while the store's timestamps have not
// passed its bound.
Status EndDeadSession(kv::TransactionRunner& runner, const Schema& schema, SessionId id);

}  // namespace tifs::fs
