#pragma once

#include <rocksdb/env.h>

#include <memory>

namespace tifs::kv {

// What RocksDB says of itself, as lines of our log: warnings and errors always, what it does step
// by step where our log takes debug lines (decided now). In place of its file LOG, which lies on
// the medium of the store: one that fails or is full must not break what reports it. RocksDB goes
// on writing to a LOG that a write has failed on, and Debian's, which has assertions on, ends the
// process there.
std::shared_ptr<rocksdb::Logger> NewRocksLog();

}  // namespace tifs::kv
