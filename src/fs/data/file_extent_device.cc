#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sync.h"
#include "fs/data/extent_device.h"
#include "fs/data/write_behind.h"

namespace tifs::fs {
namespace {

// Pieces from this size on go past the page cache: they would be copied once more, and push out
// what is of more use there (the kernel caches the files of the mount anyway).
constexpr uint64_t kDirectBytes = 64 << 10;
constexpr uint64_t kAlignment = WriteBehind::kAlignment;
// Space of the file system below is allocated ahead by so much, so that a lack of it is known when
// data is taken, not when it is written out.
constexpr uint64_t kAllocateBytes = 16 << 20;

bool IsAligned(const void* memory) { return reinterpret_cast<uintptr_t>(memory) % kAlignment == 0; }

// A file that is used in two ways: large aligned pieces by O_DIRECT, written behind, and the rest
// through the page cache. The kernel keeps the two coherent.
class FileExtentDevice : public ExtentDevice {
 public:
  // `direct_fd`: -1 where the file system below has no O_DIRECT.
  FileExtentDevice(int fd, int direct_fd) : fd_(fd), direct_fd_(direct_fd) {
    if (direct_fd_ < 0) return;
    write_behind_ = std::make_unique<WriteBehind>(
        [direct_fd](uint64_t at, std::string_view data) { return WriteTo(direct_fd, at, data); });
  }
  ~FileExtentDevice() override {
    write_behind_.reset();
    // Gives back what was allocated ahead.
    if (const auto size = Size(); size && allocated_end_ > *size) (void)Truncate(*size);
    close(fd_);
    if (direct_fd_ >= 0) close(direct_fd_);
  }

  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    Await(offset_bytes, out.size());
    const bool direct = direct_fd_ >= 0 && out.size() >= kDirectBytes && IsAligned(out.data()) &&
                        offset_bytes % kAlignment == 0;
    if (direct) {
      const size_t size = out.size() / kAlignment * kAlignment;
      TRY(ReadFrom(direct_fd_, offset_bytes, out.first(size)));
      offset_bytes += size;
      out = out.subspan(size);
    }
    return ReadFrom(fd_, offset_bytes, out);
  }

  Status Write(uint64_t offset_bytes, std::string_view data) override {
    Await(offset_bytes, data.size());
    if (write_behind_ && data.size() >= kDirectBytes && offset_bytes % kAlignment == 0) {
      const uint64_t size = data.size() / kAlignment * kAlignment;
      TRY(Reserve(offset_bytes, size));
      write_behind_->Submit(offset_bytes, data.substr(0, size));
      offset_bytes += size;
      data.remove_prefix(size);
    }
    return WriteTo(fd_, offset_bytes, data);
  }

  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    Await(offset_bytes, length_bytes);
    if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset_bytes),
                  static_cast<off_t>(length_bytes)) == 0) {
      return {};
    }
    if (errno != EOPNOTSUPP) return ErrorFromErrno(errno, "discard in a data file");
    return WriteZeros(offset_bytes, length_bytes);
  }

  Status Truncate(uint64_t size_bytes) override {
    if (write_behind_) TRY(write_behind_->Drain());
    MutexLock lock(allocate_mutex_);
    allocated_end_ = 0;
    if (ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0) return {};
    return ErrorFromErrno(errno, "truncation of a data file");
  }

  Status Sync() override {
    if (write_behind_) TRY(write_behind_->Drain());
    if (fdatasync(fd_) == 0) return {};
    return ErrorFromErrno(errno, "sync of a data file");
  }

  Result<uint64_t> NextData(uint64_t offset_bytes) override {
    const off_t found = lseek(fd_, static_cast<off_t>(offset_bytes), SEEK_DATA);
    if (found >= 0) return static_cast<uint64_t>(found);
    if (errno == ENXIO) return std::max(offset_bytes, TRY(Size()));
    if (errno == EINVAL || errno == EOPNOTSUPP) return offset_bytes;  // it cannot tell
    return ErrorFromErrno(errno, "search in a data file");
  }

  Result<uint64_t> Size() override {
    struct stat status;
    if (fstat(fd_, &status) != 0) return ErrorFromErrno(errno, "size of a data file");
    return static_cast<uint64_t>(status.st_size);
  }

 private:
  // The file system below cannot punch holes: at least the old bytes go.
  Status WriteZeros(uint64_t offset_bytes, uint64_t length_bytes) {
    const std::string zeros(std::min<uint64_t>(length_bytes, 1 << 20), '\0');
    while (length_bytes > 0) {
      const uint64_t size = std::min<uint64_t>(length_bytes, zeros.size());
      TRY(WriteTo(fd_, offset_bytes, std::string_view(zeros).substr(0, size)));
      offset_bytes += size;
      length_bytes -= size;
    }
    return {};
  }

  void Await(uint64_t offset_bytes, uint64_t length_bytes) {
    if (write_behind_) write_behind_->Await(offset_bytes, length_bytes);
  }

  static Status ReadFrom(int fd, uint64_t offset_bytes, std::span<char> out) {
    while (!out.empty()) {
      const ssize_t size = pread(fd, out.data(), out.size(), static_cast<off_t>(offset_bytes));
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return ErrorFromErrno(errno, "read of a data file");
      if (size == 0) {
        std::memset(out.data(), 0, out.size());
        return {};
      }
      offset_bytes += static_cast<uint64_t>(size);
      out = out.subspan(static_cast<size_t>(size));
    }
    return {};
  }

  static Status WriteTo(int fd, uint64_t offset_bytes, std::string_view data) {
    while (!data.empty()) {
      const ssize_t size = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset_bytes));
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return ErrorFromErrno(errno, "write to a data file");
      offset_bytes += static_cast<uint64_t>(size);
      data.remove_prefix(static_cast<size_t>(size));
    }
    return {};
  }

  // Has the file system below allocate a range that is going to be written behind. kNoSpace.
  Status Reserve(uint64_t offset_bytes, uint64_t length_bytes) {
    MutexLock lock(allocate_mutex_);
    const uint64_t end = offset_bytes + length_bytes;
    if (allocated_begin_ <= offset_bytes && end <= allocated_end_) return {};
    const uint64_t size = TRY(Size());
    const bool growing = end > size;
    // Ahead of the end of the file only: below it lie holes that are to stay.
    const uint64_t wanted = growing ? length_bytes + kAllocateBytes : length_bytes;
    const uint64_t allocated = TRY(AllocateOrFail(offset_bytes, wanted, length_bytes));
    if (growing) {
      allocated_begin_ = offset_bytes;
      allocated_end_ = offset_bytes + allocated;
    }
    return {};
  }

  // How much: what was wanted or, near the end of the space, what is needed.
  Result<uint64_t> AllocateOrFail(uint64_t offset_bytes, uint64_t wanted_bytes,
                                  uint64_t needed_bytes) {
    for (const uint64_t length : {wanted_bytes, needed_bytes}) {
      if (fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset_bytes),
                    static_cast<off_t>(length)) == 0) {
        return length;
      }
      if (errno == EOPNOTSUPP) return length;  // then a lack of space is known at the next sync
      if (errno != ENOSPC) break;
    }
    return ErrorFromErrno(errno, "space of a data file");
  }

  const int fd_;
  const int direct_fd_;
  std::unique_ptr<WriteBehind> write_behind_;
  Mutex allocate_mutex_;
  // A range at the file's end that is allocated below.
  uint64_t allocated_begin_ GUARDED_BY(allocate_mutex_) = 0;
  uint64_t allocated_end_ GUARDED_BY(allocate_mutex_) = 0;
};

}  // namespace

Result<std::unique_ptr<ExtentDevice>> OpenFileExtentDevice(const std::string& path,
                                                           bool read_only) {
  const int fd = open(path.c_str(), O_CLOEXEC | (read_only ? O_RDONLY : O_RDWR));
  if (fd < 0) return ErrorFromErrno(errno, "data file", path);
  const int direct_fd = open(path.c_str(), O_CLOEXEC | O_DIRECT | (read_only ? O_RDONLY : O_RDWR));
  return std::unique_ptr<ExtentDevice>(std::make_unique<FileExtentDevice>(fd, direct_fd));
}

Status CreateFileExtentDevice(const std::string& path) {
  const int fd = open(path.c_str(), O_CLOEXEC | O_RDWR | O_CREAT, 0600);
  if (fd < 0) return ErrorFromErrno(errno, "data file", path);
  const int synced = fsync(fd);
  close(fd);
  if (synced != 0) return ErrorFromErrno(errno, "data file", path);
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const int directory_fd = open(directory.c_str(), O_CLOEXEC | O_RDONLY | O_DIRECTORY);
  if (directory_fd < 0) return ErrorFromErrno(errno, "data file's directory", directory);
  const int directory_synced = fsync(directory_fd);
  close(directory_fd);
  if (directory_synced != 0) return ErrorFromErrno(errno, "data file's directory", directory);
  return {};
}

}  // namespace tifs::fs
