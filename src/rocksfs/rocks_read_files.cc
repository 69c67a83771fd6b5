// Files that are read: sequentially and at random.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "block/dma_buffer.h"
#include "rocksfs/io_purpose.h"
#include "rocksfs/io_status.h"
#include "rocksfs/rocks_files.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FSReadRequest;
using rocksdb::IODebugContext;
using rocksdb::IOHandleDeleter;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Read ahead of small sequential reads (a MANIFEST's are 32 KiB).
constexpr size_t kReadaheadBytes = 256 << 10;
// So many reads of one MultiRead go without an allocation of ours.
constexpr size_t kReadsOnStack = 32;

block::IoScope ScopeOf(const VolumeFile& file, const IOOptions& options) {
  return block::IoScope(ClassOfRead(CurrentThreadKind(), options.rate_limiter_priority),
                        file.counter.get());
}

class SequentialFile : public rocksdb::FSSequentialFile {
 public:
  SequentialFile(VolumeFile file, bool is_direct) : file_(std::move(file)), is_direct_(is_direct) {}

  IOStatus Read(size_t size, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext*) override {
    const block::IoScope scope = ScopeOf(file_, options);
    *result = Slice(scratch, 0);
    size_t read = 0;
    while (read < size) {
      Result<size_t> count = ReadSome({scratch + read, size - read});
      if (!count) return ToIOStatus(count, file_.path);
      if (*count == 0) break;
      read += *count;
    }
    *result = Slice(scratch, read);
    return IOStatus::OK();
  }
  IOStatus Skip(uint64_t size) override {
    offset_ = std::max(offset_, std::min(file_.file->size_bytes(), offset_ + size));
    return IOStatus::OK();
  }
  bool use_direct_io() const override { return is_direct_; }
  size_t GetRequiredBufferAlignment() const override { return file_.file->io_alignment_bytes(); }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  IOStatus PositionedRead(uint64_t offset, size_t size, const IOOptions& options, Slice* result,
                          char* scratch, IODebugContext*) override {
    const block::IoScope scope = ScopeOf(file_, options);
    const Result<size_t> count = file_.file->ReadAt(offset, {scratch, size});
    *result = Slice(scratch, count ? *count : 0);
    return ToIOStatus(count, file_.path);
  }
  rocksdb::Temperature GetTemperature() const override { return rocksdb::Temperature::kUnknown; }

 private:
  // What the buffer has at the offset, or what the file has, which may have grown meanwhile.
  Result<size_t> ReadSome(std::span<char> out) {
    if (offset_ >= buffered_end_ || offset_ < buffer_start_) {
      if (out.size() >= kReadaheadBytes) {
        const size_t count = TRY(file_.file->ReadOnward(offset_, out));
        offset_ += count;
        return count;
      }
      TRY(FillBuffer());
      if (offset_ >= buffered_end_) return size_t{0};
    }
    const size_t count = std::min<uint64_t>(out.size(), buffered_end_ - offset_);
    std::memcpy(out.data(), buffer_.data() + (offset_ - buffer_start_), count);
    offset_ += count;
    return count;
  }
  Status FillBuffer() {
    const uint32_t alignment = file_.file->io_alignment_bytes();
    if (buffer_.empty()) buffer_ = TRY(block::DmaBuffer::Allocate(kReadaheadBytes, alignment));
    buffered_end_ = buffer_start_ = offset_ / alignment * alignment;
    buffered_end_ += TRY(file_.file->ReadOnward(buffer_start_, buffer_.bytes()));
    return {};
  }

  const VolumeFile file_;
  const bool is_direct_;
  uint64_t offset_ = 0;
  block::DmaBuffer buffer_;
  uint64_t buffer_start_ = 0;
  uint64_t buffered_end_ = 0;
};

class RandomAccessFile : public rocksdb::FSRandomAccessFile {
 public:
  RandomAccessFile(VolumeFile file, std::shared_ptr<AsyncReads> reads, bool is_direct)
      : file_(std::move(file)), reads_(std::move(reads)), is_direct_(is_direct) {}

  // A compaction reads its inputs from one end to the other, in large pieces, and merges what it
  // has between them.
  IOStatus Read(uint64_t offset, size_t size, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext*) const override {
    const block::IoScope scope = ScopeOf(file_, options);
    const Result<size_t> count = PaceCompaction(file_)
                                     ? file_.file->ReadOnward(offset, {scratch, size})
                                     : file_.file->ReadAt(offset, {scratch, size});
    *result = Slice(scratch, count ? *count : 0);
    return ToIOStatus(count, file_.path);
  }
  // RocksDB then reads ahead into buffers of its own, which is what serves here: below us is no
  // cache that could be filled.
  IOStatus Prefetch(uint64_t, size_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("Prefetch");
  }
  IOStatus MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext*) override;
  IOStatus ReadAsync(FSReadRequest& request, const IOOptions&, ReadCallback callback,
                     void* callback_arg, void** handle, IOHandleDeleter* deleter,
                     IODebugContext*) override;
  size_t GetUniqueId(char* id, size_t max_size) const override;
  void Hint(AccessPattern) override {}
  bool use_direct_io() const override { return is_direct_; }
  size_t GetRequiredBufferAlignment() const override { return file_.file->io_alignment_bytes(); }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  rocksdb::Temperature GetTemperature() const override { return rocksdb::Temperature::kUnknown; }

 private:
  const VolumeFile file_;
  const std::shared_ptr<AsyncReads> reads_;
  const bool is_direct_;
};

IOStatus RandomAccessFile::MultiRead(FSReadRequest* requests, size_t count,
                                     const IOOptions& options, IODebugContext*) {
  const block::IoScope scope = ScopeOf(file_, options);
  volume::ReadRequest on_stack[kReadsOnStack];
  std::vector<volume::ReadRequest> on_heap;
  std::span<volume::ReadRequest> reads(on_stack);
  if (count > kReadsOnStack) {
    on_heap.resize(count);
    reads = on_heap;
  }
  reads = reads.first(count);
  for (size_t i = 0; i < count; ++i) {
    reads[i].offset_bytes = requests[i].offset;
    reads[i].out = {requests[i].scratch, requests[i].len};
  }
  // Each read has its own outcome, so the whole has none.
  (void)file_.file->MultiRead(reads);
  for (size_t i = 0; i < count; ++i) {
    const Result<size_t>& done = reads[i].done;
    requests[i].result = Slice(requests[i].scratch, done ? *done : 0);
    requests[i].status = ToIOStatus(done, file_.path);
  }
  return IOStatus::OK();
}

IOStatus RandomAccessFile::ReadAsync(FSReadRequest& request, const IOOptions&,
                                     ReadCallback callback, void* callback_arg, void** handle,
                                     IOHandleDeleter* deleter, IODebugContext*) {
  Result<ReadHandle*> started =
      reads_->Start(file_.file, request, std::move(callback), callback_arg);
  if (!started) return ToIOStatus(started, file_.path);
  *handle = *started;
  *deleter = [](void* done) { AsyncReads::Destroy(static_cast<ReadHandle*>(done)); };
  return IOStatus::OK();
}

// The volume's UUID and the inode's number, which is never given twice: of fixed length, so none is
// the prefix of another.
size_t RandomAccessFile::GetUniqueId(char* id, size_t max_size) const {
  const volume::Uuid uuid = file_.volume->volume().Identity().uuid;
  const uint64_t inode = file_.file->Stat().inode;
  if (max_size < uuid.size() + sizeof inode) return 0;
  std::memcpy(id, uuid.data(), uuid.size());
  std::memcpy(id + uuid.size(), &inode, sizeof inode);
  return uuid.size() + sizeof inode;
}

class BaseFile : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  using FSRandomAccessFileOwnerWrapper::FSRandomAccessFileOwnerWrapper;

  IOStatus ReadAsync(FSReadRequest& request, const IOOptions& options, ReadCallback callback,
                     void* callback_arg, void**, IOHandleDeleter*, IODebugContext* debug) override {
    request.status =
        Read(request.offset, request.len, options, &request.result, request.scratch, debug);
    callback(request, callback_arg);
    return IOStatus::OK();
  }
};

}  // namespace

bool PaceCompaction(const VolumeFile& file) {
  if (block::IoScope::CurrentClass() != block::IoClass::kCompaction) return false;
  if (block::IoScheduler* scheduler = file.volume->scheduler()) {
    scheduler->Pace(block::IoClass::kCompaction);
  }
  return true;
}

std::unique_ptr<rocksdb::FSSequentialFile> NewSequentialFile(VolumeFile file,
                                                             const rocksdb::FileOptions& options) {
  return std::make_unique<SequentialFile>(std::move(file), options.use_direct_reads);
}

std::unique_ptr<rocksdb::FSRandomAccessFile> NewRandomAccessFile(
    VolumeFile file, std::shared_ptr<AsyncReads> reads, const rocksdb::FileOptions& options) {
  return std::make_unique<RandomAccessFile>(std::move(file), std::move(reads),
                                            options.use_direct_reads);
}

std::unique_ptr<rocksdb::FSRandomAccessFile> WrapBaseFile(
    std::unique_ptr<rocksdb::FSRandomAccessFile> file) {
  return std::make_unique<BaseFile>(std::move(file));
}

}  // namespace tifs::rocksfs
