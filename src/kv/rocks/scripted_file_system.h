#pragma once

#include <rocksdb/file_system.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/sync.h"

namespace tifs::kv {

// For tests: the operating system's file system, on which a script decides what fails.
class ScriptedFileSystem : public rocksdb::FileSystemWrapper {
 public:
  enum class Call : uint8_t { kCreate, kAppend, kSync };
  // Success: goes on. Called by many threads, one at a time.
  using Script = std::function<rocksdb::IOStatus(Call call, std::string_view path)>;

  ScriptedFileSystem() : FileSystemWrapper(FileSystem::Default()) {}

  const char* Name() const override { return "ScriptedFileSystem"; }

  void SetScript(Script script) {
    MutexLock lock(mutex_);
    script_ = std::move(script);
  }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = Ask(Call::kCreate, path);
    if (status.ok()) status = target()->NewWritableFile(path, options, result, debug);
    if (status.ok()) *result = std::make_unique<File>(std::move(*result), *this, path);
    return status;
  }

 private:
  class File : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> file, ScriptedFileSystem& file_system,
         std::string path)
        : FSWritableFileOwnerWrapper(std::move(file)),
          file_system_(file_system),
          path_(std::move(path)) {}

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      rocksdb::IOStatus status = file_system_.Ask(Call::kAppend, path_);
      return status.ok() ? target()->Append(data, options, debug) : status;
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&,
                             rocksdb::IODebugContext* debug) override {
      return Append(data, options, debug);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
      rocksdb::IOStatus status = file_system_.Ask(Call::kSync, path_);
      return status.ok() ? target()->Sync(options, debug) : status;
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* debug) override {
      return Sync(options, debug);
    }

   private:
    ScriptedFileSystem& file_system_;
    const std::string path_;
  };

  rocksdb::IOStatus Ask(Call call, std::string_view path) {
    MutexLock lock(mutex_);
    return script_ ? script_(call, path) : rocksdb::IOStatus::OK();
  }

  Mutex mutex_;
  Script script_ GUARDED_BY(mutex_);
};

}  // namespace tifs::kv
