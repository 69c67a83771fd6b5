#include "kv/rocks/rocks_options.h"

namespace tifs::kv {

Status RocksOptions::Validate() const {
  if (path.empty() || path.front() != '/') {
    return Error(ErrorCode::kInvalid, "store path", "must be absolute");
  }
  if (create && read_only) return Error(ErrorCode::kInvalid, "create", "contradicts read_only");
  if (memory_bytes < size_t{16} << 20) {
    return Error(ErrorCode::kInvalid, "memory", "must be at least 16 MiB");
  }
  if (limits.max_key_bytes == 0 || limits.max_value_bytes == 0 ||
      limits.max_transaction_bytes < limits.max_key_bytes + limits.max_value_bytes) {
    return Error(ErrorCode::kInvalid, "limits");
  }
  if (wal.flush_interval.count() <= 0 || wal.sync_interval.count() <= 0) {
    return Error(ErrorCode::kInvalid, "WAL intervals", "must be positive");
  }
  if (clock == nullptr) return Error(ErrorCode::kInvalid, "clock");
  return {};
}

}  // namespace tifs::kv
