// Files that are written, and directories.
#include <utility>

#include "base/coding.h"
#include "base/crc32c.h"
#include "rocksfs/io_purpose.h"
#include "rocksfs/io_status.h"
#include "rocksfs/placement.h"
#include "rocksfs/rocks_files.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::Env;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

std::string_view View(const Slice& bytes) { return {bytes.data(), bytes.size()}; }

class WritableFile : public rocksdb::FSWritableFile {
 public:
  WritableFile(VolumeFile file, const rocksdb::FileOptions& options)
      : FSWritableFile(options),
        file_(std::move(file)),
        is_table_(IsTable(file_.path)),
        may_preallocate_(options.allow_fallocate),
        has_crc32c_handoff_(options.handoff_checksum_type == rocksdb::ChecksumType::kCRC32c) {}

  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    const block::IoScope scope = Scope();
    PaceCompaction(file_);
    return Answer(file_.file->Append(View(data)));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo& expected,
                  IODebugContext* debug) override {
    IOStatus status = Verify(data, expected);
    return status.ok() ? Append(data, options, debug) : status;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&,
                            IODebugContext*) override {
    const block::IoScope scope = Scope();
    return Answer(file_.file->WriteAt(offset, View(data)));
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const DataVerificationInfo& expected, IODebugContext* debug) override {
    IOStatus status = Verify(data, expected);
    return status.ok() ? PositionedAppend(data, offset, options, debug) : status;
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return Answer(file_.file->Truncate(size));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    const block::IoScope scope = Scope();
    return Answer(file_.file->Close());
  }
  // Every reader of this process sees the bytes already.
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    const block::IoScope scope = Scope();
    return Answer(file_.file->Sync());
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  bool IsSyncThreadSafe() const override { return true; }
  bool use_direct_io() const override { return false; }
  size_t GetRequiredBufferAlignment() const override { return file_.file->io_alignment_bytes(); }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return file_.file->size_bytes();
  }
  size_t GetUniqueId(char*, size_t) const override { return 0; }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    const block::IoScope scope = Scope();
    return Answer(strict_bytes_per_sync_ ? file_.file->Sync() : file_.file->WriteBack());
  }
  IOStatus Allocate(uint64_t offset, uint64_t size, const IOOptions&, IODebugContext*) override {
    if (!may_preallocate_) return IOStatus::OK();
    return Answer(file_.file->Allocate(offset + size));
  }

 private:
  IOStatus Answer(const Status& status) const { return ToIOStatus(status, file_.path); }
  // The priority is given to a file after it was made.
  block::IoScope Scope() {
    return block::IoScope(ClassOfWrite(CurrentThreadKind(), GetIOPriority(), is_table_),
                          file_.counter.get());
  }

  // RocksDB's checksum of what it hands over, where it makes one that we know.
  IOStatus Verify(const Slice& data, const DataVerificationInfo& expected) const {
    if (!has_crc32c_handoff_ || expected.checksum.size() != sizeof(uint32_t)) return IOStatus::OK();
    // RocksDB stores it with the low byte first.
    uint32_t crc = 0;
    for (size_t i = 0; i < sizeof crc; ++i) {
      crc |= uint32_t{static_cast<uint8_t>(expected.checksum[i])} << (8 * i);
    }
    if (crc == Crc32c(View(data))) return IOStatus::OK();
    return IOStatus::Corruption(EscapeForLog(file_.path), "handed over with another checksum");
  }

  const VolumeFile file_;
  const bool is_table_;
  const bool may_preallocate_;
  const bool has_crc32c_handoff_;
};

class RandomRwFile : public rocksdb::FSRandomRWFile {
 public:
  explicit RandomRwFile(VolumeFile file) : file_(std::move(file)) {}

  bool use_direct_io() const override { return false; }
  size_t GetRequiredBufferAlignment() const override { return file_.file->io_alignment_bytes(); }
  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return Answer(file_.file->WriteAt(offset, View(data)));
  }
  IOStatus Read(uint64_t offset, size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    const Result<size_t> count = file_.file->ReadAt(offset, {scratch, size});
    *result = Slice(scratch, count ? *count : 0);
    return ToIOStatus(count, file_.path);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return Answer(file_.file->Sync()); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return Answer(file_.file->Sync()); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return Answer(file_.file->Close()); }
  rocksdb::Temperature GetTemperature() const override { return rocksdb::Temperature::kUnknown; }

 private:
  IOStatus Answer(const Status& status) const { return ToIOStatus(status, file_.path); }

  const VolumeFile file_;
};

class Directory : public rocksdb::FSDirectory {
 public:
  Directory(std::shared_ptr<VolumeRoot> root, std::unique_ptr<rocksdb::FSDirectory> base,
            std::string path)
      : root_(std::move(root)), base_(std::move(base)), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = SyncVolume();
    return status.ok() && base_ ? base_->Fsync(options, debug) : status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& reason) override {
    IOStatus status = SyncVolume();
    return status.ok() && base_ ? base_->FsyncWithDirOptions(options, debug, reason) : status;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return base_ ? base_->Close(options, debug) : IOStatus::OK();
  }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    return base_ ? base_->GetUniqueId(id, max_size) : 0;
  }

 private:
  // All names of the volume: also those that were moved from here to elsewhere, and without a look
  // at whether the volume has this directory by now.
  IOStatus SyncVolume() const {
    const Result<volume::Root*> root = root_->Find();
    if (!root) return ToIOStatus(root, path_);
    return *root != nullptr ? ToIOStatus((*root)->SyncDirectory(""), path_) : IOStatus::OK();
  }

  const std::shared_ptr<VolumeRoot> root_;
  const std::unique_ptr<rocksdb::FSDirectory> base_;
  const std::string path_;
};

}  // namespace

std::unique_ptr<rocksdb::FSWritableFile> NewWritableFile(VolumeFile file,
                                                         const rocksdb::FileOptions& options) {
  return std::make_unique<WritableFile>(std::move(file), options);
}

std::unique_ptr<rocksdb::FSRandomRWFile> NewRandomRwFile(VolumeFile file) {
  return std::make_unique<RandomRwFile>(std::move(file));
}

std::unique_ptr<rocksdb::FSDirectory> NewDirectory(std::shared_ptr<VolumeRoot> root,
                                                   std::unique_ptr<rocksdb::FSDirectory> base,
                                                   std::string path) {
  return std::make_unique<Directory>(std::move(root), std::move(base), std::move(path));
}

}  // namespace tifs::rocksfs
