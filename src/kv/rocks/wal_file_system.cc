#include "kv/rocks/wal_file_system.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace tifs::kv {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

bool IsLog(std::string_view path) {
  path.remove_prefix(std::min(path.size(), path.rfind('/') + 1));
  if (!path.ends_with(".log")) return false;
  path.remove_suffix(4);
  return !path.empty() && std::ranges::all_of(path, [](unsigned char c) { return isdigit(c); });
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

// A log that is written. RocksDB appends from one thread at a time; syncs come from others.
class WalFileSystem::LogWriter : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LogWriter(std::unique_ptr<rocksdb::FSWritableFile> file, WalFileSystem& file_system,
            std::string path)
      : FSWritableFileOwnerWrapper(std::move(file)),
        file_system_(file_system),
        path_(std::move(path)),
        log_(std::make_shared<Log>()),
        extends_(file_system.features_.zeros_ahead) {
    MutexLock lock(log_->mutex);
    log_->writer = this;
  }
  ~LogWriter() override { Detach(); }

  std::shared_ptr<Log> log() const { return log_; }
  std::string directory() const { return DirectoryOf(path_); }

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return file_system_.Tell(Write(data, [&] { return target()->Append(data, options, debug); }));
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* debug) override {
    return file_system_.Tell(
        Write(data, [&] { return target()->Append(data, options, verification, debug); }));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return file_system_.Tell(Flush([&] { return target()->Sync(options, debug); }));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return file_system_.Tell(Flush([&] { return target()->Fsync(options, debug); }));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    Detach();
    return target()->Close(options, debug);
  }

  IOStatus SyncIfDirty() {
    {
      MutexLock lock(mutex_);
      if (synced_end_ == end_) return IOStatus::OK();
    }
    return Sync(IOOptions(), nullptr);
  }

 private:
  template <typename WriteFn>
  IOStatus Write(const Slice& data, const WriteFn& write);
  template <typename SyncFn>
  IOStatus Flush(const SyncFn& sync);
  void ExtendByZeros() REQUIRES(mutex_);
  void Detach();

  WalFileSystem& file_system_;
  const std::string path_;
  const std::shared_ptr<Log> log_;
  bool is_first_byte_ = true;  // used by the appending thread

  // Zeros never reach where a byte was appended: both go through this mutex.
  Mutex mutex_;
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  uint64_t synced_end_ GUARDED_BY(mutex_) = 0;
  uint64_t zeros_end_ GUARDED_BY(mutex_) = 0;
  bool extends_ GUARDED_BY(mutex_);
  std::unique_ptr<rocksdb::FSRandomRWFile> zeros_ GUARDED_BY(mutex_);
};

template <typename WriteFn>
IOStatus WalFileSystem::LogWriter::Write(const Slice& data, const WriteFn& write) {
  if (is_first_byte_) {
    IOStatus synced = file_system_.Sync(file_system_.LogsBefore(log_.get()));
    if (!synced.ok()) return synced;
    is_first_byte_ = false;
  }
  MutexLock lock(mutex_);
  IOStatus written = write();
  end_ += data.size();
  // A part of it may be there, and be written again: where the end is, is not known any more.
  if (!written.ok()) extends_ = false;
  return written;
}

template <typename SyncFn>
IOStatus WalFileSystem::LogWriter::Flush(const SyncFn& sync) {
  uint64_t covered;
  {
    MutexLock lock(mutex_);
    ExtendByZeros();
    covered = end_;
  }
  IOStatus synced = sync();
  MutexLock lock(mutex_);
  if (synced.ok()) synced_end_ = std::max(synced_end_, covered);
  return synced;
}

void WalFileSystem::LogWriter::Detach() {
  file_system_.Forget(*log_);
  {
    MutexLock lock(log_->mutex);
    log_->writer = nullptr;
  }
  MutexLock lock(mutex_);
  extends_ = false;
  zeros_.reset();
}

// Without them syncs are slower, nothing else: errors end the attempts.
void WalFileSystem::LogWriter::ExtendByZeros() {
  if (!extends_ || end_ + kZerosAhead <= zeros_end_) return;
  static constexpr char kZeros[64 << 10] = {};
  if (!zeros_) {
    extends_ = file_system_.target()->NewRandomRWFile(path_, FileOptions(), &zeros_, nullptr).ok();
  }
  zeros_end_ = std::max(zeros_end_, end_);
  for (uint64_t left = kZerosStep; extends_ && left > 0;) {
    const size_t size = std::min<uint64_t>(left, sizeof(kZeros) - zeros_end_ % sizeof(kZeros));
    extends_ = zeros_->Write(zeros_end_, Slice(kZeros, size), IOOptions(), nullptr).ok();
    zeros_end_ += size;
    left -= size;
  }
}

// A log that is read: follows the headers of its records, each after the one before it, and none in
// the last bytes of a 32 KiB block where it would not fit.
class WalFileSystem::LogReader : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  using FSSequentialFileOwnerWrapper::FSSequentialFileOwnerWrapper;

  IOStatus Read(size_t n, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) override {
    *result = Slice();
    if (ended_) return IOStatus::OK();
    IOStatus status = target()->Read(n, options, result, scratch, debug);
    if (status.ok()) *result = Slice(result->data(), LengthBeforeEnd(*result));
    return status;
  }
  IOStatus Skip(uint64_t) override { return IOStatus::NotSupported("log", "read from its start"); }

 private:
  static constexpr uint64_t kBlock = 32 << 10;
  static constexpr uint64_t kHeader = 7;  // checksum, length, type

  size_t LengthBeforeEnd(const Slice& bytes) {
    for (size_t at = 0; at < bytes.size(); ++at, ++position_) {
      if (skip_ == 0 && header_bytes_ == 0) {
        const uint64_t rest = kBlock - position_ % kBlock;
        if (rest < kHeader) skip_ = rest;
      }
      if (skip_ > 0) {
        const uint64_t step = std::min<uint64_t>(skip_, bytes.size() - at);
        skip_ -= step;
        position_ += step - 1;
        at += step - 1;
        continue;
      }
      header_[header_bytes_++] = bytes[at];
      if (header_bytes_ < kHeader) continue;
      header_bytes_ = 0;
      // As RocksDB sees it: neither length nor type. The checksum may have survived in the sector
      // before.
      ended_ = header_[4] == 0 && header_[5] == 0 && header_[6] == 0;
      if (ended_) return at + 1 - std::min<size_t>(at + 1, kHeader);
      skip_ = static_cast<unsigned char>(header_[4]) |
              uint64_t{static_cast<unsigned char>(header_[5])} << 8;
    }
    return bytes.size();
  }

  bool ended_ = false;
  uint64_t position_ = 0;
  uint64_t skip_ = 0;  // bytes of a record, or of a block's rest
  char header_[kHeader];
  size_t header_bytes_ = 0;
};

IOStatus WalFileSystem::Tell(IOStatus status) {
  if (status.ok()) return status;
  MutexLock lock(mutex_);
  if (!opening_) return status;
  if (open_failure_.ok()) open_failure_ = status;
  return IOStatus::OK();
}

IOStatus WalFileSystem::EndOpening() {
  MutexLock lock(mutex_);
  opening_ = false;
  return open_failure_;
}

IOStatus WalFileSystem::Restrict(IOStatus created, const std::string& path) const {
  if (!created.ok() || !features_.private_files || chmod(path.c_str(), 0600) == 0) return created;
  if (errno == ENOENT) return created;  // it lies elsewhere, and has no mode
  return IOStatus::IOError("chmod " + path, std::strerror(errno));
}

IOStatus WalFileSystem::SyncDirectory(const std::string& path) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  IOStatus status = target()->NewDirectory(path, IOOptions(), &directory, nullptr);
  return status.ok() ? directory->Fsync(IOOptions(), nullptr) : status;
}

WalFileSystem::Logs WalFileSystem::LogsBefore(const Log* end) {
  MutexLock lock(mutex_);
  const auto is_end = [end](const std::shared_ptr<Log>& log) { return log.get() == end; };
  return {open_logs_.begin(), std::ranges::find_if(open_logs_, is_end)};
}

void WalFileSystem::Forget(const Log& log) {
  MutexLock lock(mutex_);
  std::erase_if(open_logs_, [&](const std::shared_ptr<Log>& open) { return open.get() == &log; });
}

IOStatus WalFileSystem::Sync(const Logs& logs) {
  for (const std::shared_ptr<Log>& log : logs) {
    MutexLock lock(log->mutex);
    if (!log->writer) continue;
    IOStatus status = log->writer->SyncIfDirty();
    if (status.ok() && !log->name_is_durable) {
      status = SyncDirectory(log->writer->directory());
      log->name_is_durable = status.ok();
    }
    if (!status.ok()) return status;
  }
  return IOStatus::OK();
}

IOStatus WalFileSystem::NewWritableFile(const std::string& path, const FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* result,
                                        IODebugContext* debug) {
  IOStatus status = Restrict(target()->NewWritableFile(path, options, result, debug), path);
  if (!status.ok() || !IsLog(path)) return status;
  auto writer = std::make_unique<LogWriter>(std::move(*result), *this, path);
  {
    MutexLock lock(mutex_);
    open_logs_.push_back(writer->log());
  }
  *result = std::move(writer);
  return status;
}

IOStatus WalFileSystem::NewSequentialFile(const std::string& path, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                          IODebugContext* debug) {
  IOStatus status = target()->NewSequentialFile(path, options, result, debug);
  if (status.ok() && IsLog(path)) *result = std::make_unique<LogReader>(std::move(*result));
  return status;
}

IOStatus WalFileSystem::RenameFile(const std::string& from, const std::string& to,
                                   const IOOptions& options, IODebugContext* debug) {
  if (to.ends_with("/CURRENT")) {
    IOStatus status = SyncDirectory(DirectoryOf(to));
    if (!status.ok()) return status;
  }
  return target()->RenameFile(from, to, options, debug);
}

IOStatus WalFileSystem::LockFile(const std::string& path, const IOOptions& options,
                                 rocksdb::FileLock** lock, IODebugContext* debug) {
  return Restrict(target()->LockFile(path, options, lock, debug), path);
}

IOStatus WalFileSystem::NewLogger(const std::string& path, const IOOptions& options,
                                  std::shared_ptr<rocksdb::Logger>* result, IODebugContext* debug) {
  return Restrict(target()->NewLogger(path, options, result, debug), path);
}

}  // namespace tifs::kv
