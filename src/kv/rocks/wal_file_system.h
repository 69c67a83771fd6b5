#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <string>

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
// With `private_files` each file is readable and writable by its owner alone (for the operating
// system's own file system).
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

  // A log as the next one sees it.
  struct Log {
    Mutex mutex;  // before that of `previous`
    // Null once RocksDB has closed it: it is durable then, or what it holds is in tables.
    LogWriter* writer GUARDED_BY(mutex) = nullptr;
    // Null once it and all before it are durable.
    std::shared_ptr<Log> previous GUARDED_BY(mutex);
  };

  rocksdb::IOStatus Restrict(rocksdb::IOStatus created, const std::string& path) const;
  rocksdb::IOStatus SyncDirectory(const std::string& path);
  // Makes all logs before `log` durable, and their names.
  rocksdb::IOStatus SyncLogsBefore(Log& log, const std::string& directory);

  const Features features_;
  Mutex mutex_;
  std::shared_ptr<Log> newest_log_ GUARDED_BY(mutex_);
};

}  // namespace tifs::kv
