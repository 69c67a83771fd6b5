#pragma once

#include <rocksdb/file_system.h>
#include <rocksdb/version.h>

#include <functional>

// All that differs between the releases of RocksDB that rocksfs compiles against. Built and tested
// here with Debian's 7.8.
namespace tifs::rocksfs {

#define TIFS_ROCKSDB_AT_LEAST(major, minor) \
  (ROCKSDB_MAJOR > (major) || (ROCKSDB_MAJOR == (major) && ROCKSDB_MINOR >= (minor)))

static_assert(TIFS_ROCKSDB_AT_LEAST(7, 8), "rocksfs needs RocksDB 7.8 or newer");

// How the answer of an asynchronous read is delivered.
#if TIFS_ROCKSDB_AT_LEAST(9, 0)
using ReadCallback = std::function<void(rocksdb::FSReadRequest&, void*)>;
#else
using ReadCallback = std::function<void(const rocksdb::FSReadRequest&, void*)>;
#endif

}  // namespace tifs::rocksfs
