#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "fs/data/extent_device.h"

namespace tifs::fs {
namespace {

// How much may be written before the kernel is asked to start writing it out, so that a later sync has
// little left to do.
constexpr uint64_t kWriteOutBytes = 8 << 20;

class FileExtentDevice : public ExtentDevice {
 public:
  explicit FileExtentDevice(int fd) : fd_(fd) {}
  ~FileExtentDevice() override { close(fd_); }

  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    while (!out.empty()) {
      const ssize_t size = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset_bytes));
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

  Status Write(uint64_t offset_bytes, std::string_view data) override {
    const uint64_t begin = offset_bytes;
    const uint64_t total = data.size();
    while (!data.empty()) {
      const ssize_t size = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset_bytes));
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return ErrorFromErrno(errno, "write to a data file");
      offset_bytes += static_cast<uint64_t>(size);
      data.remove_prefix(static_cast<size_t>(size));
    }
    StartWriteOut(begin, total);
    return {};
  }

  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(offset_bytes), static_cast<off_t>(length_bytes)) == 0) {
      return {};
    }
    if (errno != EOPNOTSUPP) return ErrorFromErrno(errno, "discard in a data file");
    return WriteZeros(offset_bytes, length_bytes);
  }

  Status Truncate(uint64_t size_bytes) override {
    if (ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0) return {};
    return ErrorFromErrno(errno, "truncation of a data file");
  }

  Status Sync() override {
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
      TRY(Write(offset_bytes, std::string_view(zeros).substr(0, size)));
      offset_bytes += size;
      length_bytes -= size;
    }
    return {};
  }

  // A long run of large writes: has the kernel write out the part before this one.
  void StartWriteOut(uint64_t begin, uint64_t size) {
    constexpr uint64_t kLargeBytes = 256 << 10;
    if (size < kLargeBytes) return;
    if ((begin ^ (begin + size)) / kWriteOutBytes == 0) return;
    const uint64_t boundary = (begin + size) / kWriteOutBytes * kWriteOutBytes;
    if (boundary < kWriteOutBytes) return;
    sync_file_range(fd_, static_cast<off_t>(boundary - kWriteOutBytes),
                    static_cast<off_t>(kWriteOutBytes), SYNC_FILE_RANGE_WRITE);
  }

  const int fd_;
};

}  // namespace

Result<std::unique_ptr<ExtentDevice>> OpenFileExtentDevice(const std::string& path,
                                                           bool read_only) {
  const int fd = open(path.c_str(), O_CLOEXEC | (read_only ? O_RDONLY : O_RDWR));
  if (fd < 0) return ErrorFromErrno(errno, "data file", path);
  return std::unique_ptr<ExtentDevice>(std::make_unique<FileExtentDevice>(fd));
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
