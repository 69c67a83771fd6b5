#pragma once

#include <rocksdb/file_system.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tifs::rocksfs {

// What a program brings that has one database on several volumes (db_paths): each path goes to the
// file system that it belongs to; what begins with `prefix` to the second one.
class TwoVolumesFs : public rocksdb::FileSystemWrapper {
 public:
  TwoVolumesFs(std::shared_ptr<rocksdb::FileSystem> first,
               std::shared_ptr<rocksdb::FileSystem> second, std::string prefix)
      : FileSystemWrapper(std::move(first)),
        second_(std::move(second)),
        prefix_(std::move(prefix)) {}
  const char* Name() const override { return "two volumes"; }

  using Status = rocksdb::IOStatus;
  using Options = rocksdb::IOOptions;
  using FileOptions = rocksdb::FileOptions;
  using Debug = rocksdb::IODebugContext;

  Status NewSequentialFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSSequentialFile>* result,
                           Debug* debug) override {
    return Of(path).NewSequentialFile(path, options, result, debug);
  }
  Status NewRandomAccessFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                             Debug* debug) override {
    return Of(path).NewRandomAccessFile(path, options, result, debug);
  }
  Status NewWritableFile(const std::string& path, const FileOptions& options,
                         std::unique_ptr<rocksdb::FSWritableFile>* result, Debug* debug) override {
    return Of(path).NewWritableFile(path, options, result, debug);
  }
  Status NewDirectory(const std::string& path, const Options& options,
                      std::unique_ptr<rocksdb::FSDirectory>* result, Debug* debug) override {
    return Of(path).NewDirectory(path, options, result, debug);
  }
  Status FileExists(const std::string& path, const Options& options, Debug* debug) override {
    return Of(path).FileExists(path, options, debug);
  }
  Status GetChildren(const std::string& path, const Options& options,
                     std::vector<std::string>* result, Debug* debug) override {
    return Of(path).GetChildren(path, options, result, debug);
  }
  Status DeleteFile(const std::string& path, const Options& options, Debug* debug) override {
    return Of(path).DeleteFile(path, options, debug);
  }
  Status CreateDir(const std::string& path, const Options& options, Debug* debug) override {
    return Of(path).CreateDir(path, options, debug);
  }
  Status CreateDirIfMissing(const std::string& path, const Options& options,
                            Debug* debug) override {
    return Of(path).CreateDirIfMissing(path, options, debug);
  }
  Status DeleteDir(const std::string& path, const Options& options, Debug* debug) override {
    return Of(path).DeleteDir(path, options, debug);
  }
  Status GetFileSize(const std::string& path, const Options& options, uint64_t* size,
                     Debug* debug) override {
    return Of(path).GetFileSize(path, options, size, debug);
  }
  Status GetFileModificationTime(const std::string& path, const Options& options, uint64_t* seconds,
                                 Debug* debug) override {
    return Of(path).GetFileModificationTime(path, options, seconds, debug);
  }
  Status GetFreeSpace(const std::string& path, const Options& options, uint64_t* free_bytes,
                      Debug* debug) override {
    return Of(path).GetFreeSpace(path, options, free_bytes, debug);
  }
  Status IsDirectory(const std::string& path, const Options& options, bool* is_directory,
                     Debug* debug) override {
    return Of(path).IsDirectory(path, options, is_directory, debug);
  }
  rocksdb::Status RegisterDbPaths(const std::vector<std::string>&) override {
    return rocksdb::Status::OK();
  }
  rocksdb::Status UnregisterDbPaths(const std::vector<std::string>&) override {
    return rocksdb::Status::OK();
  }

 private:
  rocksdb::FileSystem& Of(const std::string& path) {
    return path.starts_with(prefix_) ? *second_ : *target();
  }

  const std::shared_ptr<rocksdb::FileSystem> second_;
  const std::string prefix_;
};

}  // namespace tifs::rocksfs
