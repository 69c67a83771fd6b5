#pragma once

#include "kv/tikv/keyspace.h"
#include "kv/tikv/lock_resolver.h"
#include "kv/tikv/region_request.h"
#include "kv/tikv/timestamp_oracle.h"

namespace tifs::kv::tikv {

// kv::Store::SettleUpTo: ends, in a whole keyspace, every transaction that may commit at `limit` at
// the latest. docs/tikv_client.md, "Commits with a limit", says why nothing of them is left.
Status SettleUpTo(RegionSender& sender, LockResolver& resolver, TimestampOracle& oracle,
                  const Keyspace& keyspace, Timestamp limit, Backoff& backoff);

}  // namespace tifs::kv::tikv
