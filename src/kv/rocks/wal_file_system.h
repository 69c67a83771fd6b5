#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/sync.h"

namespace tifs::kv {

// The file system that RocksDB sees: the one below, and what RocksDB 7.8 leaves to be wished for.
// For its write-ahead logs (NUMBER.log):
//   Order    No byte of a log reaches the file system below before all of the log before it, and
//   its
//            name, is durable. So what survives a power cut is a prefix of the commits also where
//            RocksDB had switched logs without syncing.
//   Zeros    Each sync extends the log by zeros if fewer than kZerosAhead follow its end, so that
//            most syncs overwrite blocks that are there already, and no file system journal has to
//            commit a new length with them. Only where asked for: a writable file below must go on
//            where it left off, not at the end of the file.
//   End      A log that is read ends at the first header that is all zeros, be it those zeros or
//            blocks that a power cut lost. RocksDB alone would pass over them and take what
//            follows.
// RocksDB's own recycling of logs is not used: in 7.8 it is allowed only together with a recovery
// mode that skips over what is corrupt.
//
// CURRENT is replaced only when the names of all other files are durable: RocksDB relies on the
// sync of a new MANIFEST to make its name durable too, which file systems need not do.
//
// With `private_files` each file that the operating system's file system has is readable and
// writable by its owner alone.
class WalFileSystem : public rocksdb::FileSystemWrapper {
 public:
  static constexpr uint64_t kZerosAhead = uint64_t{256} << 10;
  static constexpr uint64_t kZerosStep = uint64_t{1} << 20;

  struct Features {
    bool zeros_ahead;
    bool private_files;
  };

  WalFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base, Features features)
      : FileSystemWrapper(base), features_(features) {}

  const char* Name() const override { return "TifsWalFileSystem"; }

  // Until this is called, a log that cannot be written or synced is told here only, not to RocksDB:
  // while it opens, 7.8 waits for ever for a mutex of its own when that fails. Whoever opens must
  // give up if this answers an error.
  rocksdb::IOStatus EndOpening();

  // Makes durable what RocksDB has written to its logs. Unlike RocksDB's own sync, one that fails
  // is the caller's affair alone: RocksDB would refuse all further writes for good, and abort on
  // one that comes at the wrong moment.
  rocksdb::IOStatus SyncLogs() { return Sync(LogsBefore(nullptr)); }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions& options,
                             rocksdb::FileLock** lock, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions& options,
                              std::shared_ptr<rocksdb::Logger>* result,
                              rocksdb::IODebugContext* debug) override;

 private:
  class LogWriter;
  class LogReader;

  // A log that is open for writing.
  struct Log {
    Mutex mutex;
    // Null once RocksDB has closed it: what it held is durable, or in tables.
    LogWriter* writer GUARDED_BY(mutex) = nullptr;
    bool name_is_durable GUARDED_BY(mutex) = false;
  };
  using Logs = std::vector<std::shared_ptr<Log>>;

  // What RocksDB is told of `status`.
  rocksdb::IOStatus Tell(rocksdb::IOStatus status);
  rocksdb::IOStatus Restrict(rocksdb::IOStatus created, const std::string& path) const;
  rocksdb::IOStatus SyncDirectory(const std::string& path);
  // The open logs that were made before `end`; all without one.
  Logs LogsBefore(const Log* end) EXCLUDES(mutex_);
  rocksdb::IOStatus Sync(const Logs& logs);
  void Forget(const Log& log) EXCLUDES(mutex_);

  const Features features_;
  Mutex mutex_;
  bool opening_ GUARDED_BY(mutex_) = true;
  rocksdb::IOStatus open_failure_ GUARDED_BY(mutex_);
  Logs open_logs_ GUARDED_BY(mutex_);  // in the order of their making
};

}  // namespace tifs::kv
