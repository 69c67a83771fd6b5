#include "sim/power_cut_fs.h"

#include <rocksdb/env.h>

#include <algorithm>
#include <utility>

namespace tifs::sim {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr uint64_t kFreeBytes = uint64_t{1} << 40;

template <typename T>
IOStatus ToIOStatus(const Result<T>& result) {
  if (result) return IOStatus::OK();
  const Error& error = result.error();
  switch (error.code()) {
    case ErrorCode::kNotFound: return IOStatus::PathNotFound(error.ToString());
    case ErrorCode::kBusy: return IOStatus::Busy(error.ToString());
    default: return IOStatus::IOError(error.ToString());
  }
}

IOStatus ReadAt(const PowerCutDisk::File& file, uint64_t offset, size_t size, Slice* result,
                char* scratch) {
  const Result<size_t> count = file.Read(offset, {scratch, size});
  *result = Slice(scratch, count ? *count : 0);
  return ToIOStatus(count);
}

class SequentialFile : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<PowerCutDisk::File> file) : file_(std::move(file)) {}

  IOStatus Read(size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = ReadAt(*file_, offset_, size, result, scratch);
    offset_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t size) override {
    offset_ += size;
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<PowerCutDisk::File> file_;
  uint64_t offset_ = 0;
};

class RandomAccessFile : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<PowerCutDisk::File> file) : file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return ReadAt(*file_, offset, size, result, scratch);
  }

 private:
  const std::unique_ptr<PowerCutDisk::File> file_;
};

// Goes on where it left off, as a descriptor does, whatever others have written behind that.
class WritableFile : public rocksdb::FSWritableFile {
 public:
  explicit WritableFile(std::unique_ptr<PowerCutDisk::File> file) : file_(std::move(file)) {
    const Result<uint64_t> size = file_->Size();
    offset_ = size ? *size : 0;
  }

  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    const Status written = file_->Write(offset_, {data.data(), data.size()});
    if (written) offset_ += data.size();
    return ToIOStatus(written);
  }
  using rocksdb::FSWritableFile::PositionedAppend;
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&,
                            IODebugContext*) override {
    return ToIOStatus(file_->Write(offset, {data.data(), data.size()}));
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return ToIOStatus(file_->Truncate(size));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return ToIOStatus(file_->Sync()); }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    const Result<uint64_t> size = file_->Size();
    return size ? *size : 0;
  }

 private:
  const std::unique_ptr<PowerCutDisk::File> file_;
  uint64_t offset_ = 0;
};

class RandomRwFile : public rocksdb::FSRandomRWFile {
 public:
  explicit RandomRwFile(std::unique_ptr<PowerCutDisk::File> file) : file_(std::move(file)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return ToIOStatus(file_->Write(offset, {data.data(), data.size()}));
  }
  IOStatus Read(uint64_t offset, size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return ReadAt(*file_, offset, size, result, scratch);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return ToIOStatus(file_->Sync()); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  const std::unique_ptr<PowerCutDisk::File> file_;
};

class Directory : public rocksdb::FSDirectory {
 public:
  Directory(PowerCutDisk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return ToIOStatus(disk_.SyncDirectory(path_));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  PowerCutDisk& disk_;
  const std::string path_;
};

class NamedLock : public rocksdb::FileLock {
 public:
  explicit NamedLock(std::string path) : path(std::move(path)) {}
  const std::string path;
};

// RocksDB's own log says nothing that a test reads.
class SilentLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
  size_t GetLogFileSize() const override { return 0; }
};

template <typename File, typename Face>
IOStatus OpenAs(PowerCutDisk& disk, const std::string& path, PowerCutDisk::OpenMode mode,
                std::unique_ptr<Face>* result) {
  Result<std::unique_ptr<PowerCutDisk::File>> file = disk.Open(path, mode);
  if (!file) return ToIOStatus(file);
  *result = std::make_unique<File>(*std::move(file));
  return IOStatus::OK();
}

}  // namespace

IOStatus PowerCutFs::NewSequentialFile(const std::string& path, const FileOptions&,
                                       std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                       IODebugContext*) {
  return OpenAs<SequentialFile>(disk_, path, {}, result);
}

IOStatus PowerCutFs::NewRandomAccessFile(const std::string& path, const FileOptions&,
                                         std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                         IODebugContext*) {
  return OpenAs<RandomAccessFile>(disk_, path, {}, result);
}

IOStatus PowerCutFs::NewWritableFile(const std::string& path, const FileOptions&,
                                     std::unique_ptr<rocksdb::FSWritableFile>* result,
                                     IODebugContext*) {
  // RocksDB reads a MANIFEST with a hole before its unsynced end as corrupt, so it relies on this.
  const bool is_manifest = path.find("/MANIFEST-") != path.npos;
  return OpenAs<WritableFile>(disk_, path,
                              {.create = true, .truncate = true, .in_order = is_manifest}, result);
}

IOStatus PowerCutFs::ReopenWritableFile(const std::string& path, const FileOptions&,
                                        std::unique_ptr<rocksdb::FSWritableFile>* result,
                                        IODebugContext*) {
  return OpenAs<WritableFile>(disk_, path, {.create = true}, result);
}

IOStatus PowerCutFs::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                       const FileOptions&,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       IODebugContext*) {
  const Status renamed = disk_.Rename(old_path, path);
  if (!renamed) return ToIOStatus(renamed);
  return OpenAs<WritableFile>(disk_, path, {.create = true, .truncate = true}, result);
}

IOStatus PowerCutFs::NewRandomRWFile(const std::string& path, const FileOptions&,
                                     std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                     IODebugContext*) {
  return OpenAs<RandomRwFile>(disk_, path, {.create = true}, result);
}

IOStatus PowerCutFs::NewDirectory(const std::string& path, const IOOptions&,
                                  std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext*) {
  const auto names = disk_.List(path);
  if (!names) return ToIOStatus(names);
  *result = std::make_unique<Directory>(disk_, path);
  return IOStatus::OK();
}

IOStatus PowerCutFs::FileExists(const std::string& path, const IOOptions&, IODebugContext*) {
  const auto size = disk_.FileSize(path);
  if (!size && size.error().code() == ErrorCode::kNotFound) return IOStatus::NotFound();
  return ToIOStatus(size);
}

IOStatus PowerCutFs::GetChildren(const std::string& path, const IOOptions&,
                                 std::vector<std::string>* result, IODebugContext*) {
  auto names = disk_.List(path);
  result->clear();
  if (names) *result = *std::move(names);
  return ToIOStatus(names);
}

IOStatus PowerCutFs::DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) {
  return ToIOStatus(disk_.Remove(path));
}

IOStatus PowerCutFs::Truncate(const std::string& path, size_t size, const IOOptions&,
                              IODebugContext*) {
  const auto file = disk_.Open(path, {});
  return file ? ToIOStatus((*file)->Truncate(size)) : ToIOStatus(file);
}

IOStatus PowerCutFs::CreateDir(const std::string& path, const IOOptions&, IODebugContext*) {
  return ToIOStatus(disk_.MakeDirectory(path));
}

IOStatus PowerCutFs::CreateDirIfMissing(const std::string& path, const IOOptions&,
                                        IODebugContext*) {
  const Status made = disk_.MakeDirectory(path);
  if (!made && made.error().code() == ErrorCode::kExists) return IOStatus::OK();
  return ToIOStatus(made);
}

IOStatus PowerCutFs::DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) {
  return ToIOStatus(disk_.RemoveDirectory(path));
}

IOStatus PowerCutFs::GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                                 IODebugContext*) {
  const auto found = disk_.FileSize(path);
  *size = found ? found->value_or(0) : 0;
  return ToIOStatus(found);
}

IOStatus PowerCutFs::GetFileModificationTime(const std::string& path, const IOOptions&,
                                             uint64_t* seconds, IODebugContext*) {
  *seconds = 0;
  return ToIOStatus(disk_.FileSize(path));
}

IOStatus PowerCutFs::RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                                IODebugContext*) {
  return ToIOStatus(disk_.Rename(from, to));
}

IOStatus PowerCutFs::LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                              IODebugContext*) {
  return ToIOStatus(disk_.Link(from, to));
}

IOStatus PowerCutFs::LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock,
                              IODebugContext*) {
  *lock = nullptr;
  // As with a real lock file, the name stays.
  const auto file = disk_.Open(path, {.create = true});
  if (!file) return ToIOStatus(file);
  const Status locked = disk_.Lock(path);
  if (!locked) return ToIOStatus(locked);
  *lock = new NamedLock(path);
  return IOStatus::OK();
}

IOStatus PowerCutFs::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) {
  disk_.Unlock(static_cast<NamedLock*>(lock)->path);
  delete lock;
  return IOStatus::OK();
}

IOStatus PowerCutFs::GetTestDirectory(const IOOptions&, std::string* path, IODebugContext*) {
  *path = "/test";
  return IOStatus::OK();
}

IOStatus PowerCutFs::GetAbsolutePath(const std::string& path, const IOOptions&,
                                     std::string* absolute, IODebugContext*) {
  *absolute = path;
  return IOStatus::OK();
}

IOStatus PowerCutFs::GetFreeSpace(const std::string&, const IOOptions&, uint64_t* free_bytes,
                                  IODebugContext*) {
  *free_bytes = kFreeBytes;
  return IOStatus::OK();
}

IOStatus PowerCutFs::IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                                 IODebugContext*) {
  const auto size = disk_.FileSize(path);
  *is_directory = size && !size->has_value();
  return ToIOStatus(size);
}

IOStatus PowerCutFs::NewLogger(const std::string&, const IOOptions&,
                               std::shared_ptr<rocksdb::Logger>* result, IODebugContext*) {
  *result = std::make_shared<SilentLogger>();
  return IOStatus::OK();
}

}  // namespace tifs::sim
