#pragma once

#include <rocksdb/file_system.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "rocksfs/rocks_file_system.h"

namespace tifs::rocksfs {

// One tree of which parts lie on volumes of their own: for a database with db_paths or cf_paths, or
// blob files, on several disks. Each path goes to the file system of the longest part that it is in
// or below, or to the first one. All have one base and map paths by the same base directory, so
// that what lies on the base is one tree to each of them.
//
// Between parts nothing is renamed or linked (NotSupported; RocksDB then copies), nor is a
// directory that has a part in or below it. A directory is deleted on the volume that it belongs
// to.
class SeveralVolumes : public rocksdb::FileSystemWrapper {
 public:
  struct Part {
    std::string path;
    std::shared_ptr<RocksFileSystem> file_system;
  };

  // `uri` as RocksFileSystemOptions::uri. kInvalid: a path that is none, or two that are the same
  // directory, or that of the first one itself.
  static Result<std::unique_ptr<SeveralVolumes>> Make(std::shared_ptr<RocksFileSystem> first,
                                                      std::vector<Part> parts, std::string uri);

  const char* Name() const override { return RocksFileSystem::kName; }
  std::string GetId() const override { return uri_; }

  // Those of RocksFileSystem are of the first volume; with "@PATH" after the name, of the volume
  // that PATH is on.
  rocksdb::Status GetOption(const rocksdb::ConfigOptions& config, const std::string& name,
                            std::string* value) const override;

  using IOStatus = rocksdb::IOStatus;
  using IOOptions = rocksdb::IOOptions;
  using FileOptions = rocksdb::FileOptions;
  using Debug = rocksdb::IODebugContext;

  rocksdb::Status RegisterDbPaths(const std::vector<std::string>& paths) override;
  rocksdb::Status UnregisterDbPaths(const std::vector<std::string>& paths) override;

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             Debug* debug) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               Debug* debug) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, Debug* debug) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              Debug* debug) override;
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                             Debug* debug) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* result, Debug* debug) override;
  IOStatus NewMemoryMappedFileBuffer(
      const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result, Debug* debug) override;

  IOStatus FileExists(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus GetChildren(const std::string& path, const IOOptions& options,
                       std::vector<std::string>* result, Debug* debug) override;
  IOStatus GetChildrenFileAttributes(const std::string& path, const IOOptions& options,
                                     std::vector<rocksdb::FileAttributes>* result,
                                     Debug* debug) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      Debug* debug) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    Debug* debug) override;
  IOStatus CreateDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              Debug* debug) override;
  IOStatus DeleteDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                    Debug* debug) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, Debug* debug) override;

  IOStatus Truncate(const std::string& path, size_t size, const IOOptions& options,
                    Debug* debug) override;
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size,
                       Debug* debug) override;
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions& options,
                                   uint64_t* seconds, Debug* debug) override;
  IOStatus NumFileLinks(const std::string& path, const IOOptions& options, uint64_t* count,
                        Debug* debug) override;
  IOStatus AreFilesSame(const std::string& first, const std::string& second,
                        const IOOptions& options, bool* same, Debug* debug) override;
  IOStatus IsDirectory(const std::string& path, const IOOptions& options, bool* is_directory,
                       Debug* debug) override;
  IOStatus GetFreeSpace(const std::string& path, const IOOptions& options, uint64_t* free_bytes,
                        Debug* debug) override;

 protected:
  rocksdb::Status ConfigureOptions(const rocksdb::ConfigOptions& config,
                                   const std::unordered_map<std::string, std::string>& settings,
                                   std::unordered_map<std::string, std::string>* unused) override;

 private:
  SeveralVolumes(std::shared_ptr<RocksFileSystem> first, std::vector<Part> parts, std::string uri);

  // The path on the base by which parts are told apart; a path that is none belongs to the first
  // one, which refuses it.
  std::string BasePathOf(const std::string& path) const;
  RocksFileSystem& Of(const std::string& path) const;
  // Whether a part is at that path or below it.
  bool HoldsParts(const std::string& path) const;

  const std::shared_ptr<RocksFileSystem> first_;
  const std::vector<Part> parts_;  // by their paths on the base, the longest first
  const std::string uri_;
};

}  // namespace tifs::rocksfs
