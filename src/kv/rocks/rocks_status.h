#pragma once

#include <rocksdb/status.h>

#include "base/result.h"

namespace tifs::kv {

// The one mapping of RocksDB's errors to ours. NoSpace is kNoSpace, Corruption kCorrupt, a lock
// that another process (or another store of this one) holds kBusy; what has no better name is kIo.
// `context` is a string literal; the detail is RocksDB's own text.
Error ErrorFromRocks(const rocksdb::Status& status, const char* context);

inline Status StatusFromRocks(const rocksdb::Status& status, const char* context) {
  if (status.ok()) [[likely]]
    return {};
  return ErrorFromRocks(status, context);
}

// Whether it says that the medium, or a limit on it, is full.
bool IsNoSpace(const rocksdb::Status& status);

}  // namespace tifs::kv
