#pragma once

#include <rocksdb/io_status.h>

#include <string_view>

#include "base/result.h"

namespace tifs::rocksfs {

// What RocksDB is told about an error on the volume. Code and subcode are those by which RocksDB
// decides what to do:
//   kNotFound      IOError, PathNotFound, as its own file systems say
//   kNoSpace       IOError, NoSpace: it stops writing, polls GetFreeSpace, and resumes by itself
//   kNoMemory      IOError, retryable: nothing was done, and it may work later
//   kCorrupt       Corruption
//   kNotSupported  NotSupported: for links, RocksDB then copies
//   kInvalid       InvalidArgument
//   all else       IOError. A device that failed a write has latched the volume, so it is never
//                  retryable.
// Never "data loss": that would have RocksDB give up where a restart recovers. The message has
// `path` with its control characters escaped.
rocksdb::IOStatus ToIOStatus(const Error& error, std::string_view path);

template <typename T>
rocksdb::IOStatus ToIOStatus(const Result<T>& result, std::string_view path) {
  return result ? rocksdb::IOStatus::OK() : ToIOStatus(result.error(), path);
}

// Whether a file system says that a name is not there, in either of the ways they have.
bool IsMissing(const rocksdb::IOStatus& status);

}  // namespace tifs::rocksfs
