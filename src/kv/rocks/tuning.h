#pragma once

#include <rocksdb/options.h>

#include <cstddef>

namespace tifs::kv {

// RocksDB's settings for metadata: records of 100 to 300 bytes read by key and by prefix and
// deleted often, some values of 64 KiB; on a machine with other work to do. All of them can change
// from one opening to the next. The caller sets what belongs to one store: paths, environment,
// listeners.
rocksdb::Options TunedOptions(size_t memory_bytes);

}  // namespace tifs::kv
