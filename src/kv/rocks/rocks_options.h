#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "kv/kv.h"
#include "kv/rocks/wal_syncer.h"

namespace rocksdb {
class FileSystem;
}  // namespace rocksdb

namespace tifs::kv {

struct RocksOptions {
  // An absolute path; made (0700) if `create` says so, its parent must exist.
  std::string path;
  // Makes a store where there is none. Otherwise that is kNotFound.
  bool create = false;
  // Changes nothing below, not even to finish what a crash left: Begin and reads work, Commit of a
  // write answers kReadOnly.
  bool read_only = false;
  // Block cache and memtables together. The process needs some 60 MB besides.
  size_t memory_bytes = size_t{256} << 20;
  Limits limits{
      .max_key_bytes = 4096, .max_value_bytes = 4 << 20, .max_transaction_bytes = 32 << 20};
  WalSyncOptions wal;
  // What the store's files lie on; the operating system's if null.
  std::shared_ptr<rocksdb::FileSystem> file_system;
  // Of `file_system`: files opened for writing go on where they left off, as a descriptor does, and
  // can be written elsewhere meanwhile; of the log at least. Then the log is extended ahead of its
  // end (see WalFileSystem), and what has a name on the operating system's file system is made
  // readable for its owner only.
  bool file_system_is_posix = false;
  // What Space answers, if `file_system` cannot tell all; may be called from any thread.
  std::function<Result<SpaceUsage>()> space;
  Clock* clock = &SystemClock();

  Status Validate() const;
};

}  // namespace tifs::kv
