#include "cli/bench_works.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/random.h"
#include "cli/bench_folder.h"

namespace tifs::cli {
namespace {

using std::chrono::steady_clock;

constexpr size_t kLargeIoBytes = 1 << 20;
constexpr size_t kSmallIoBytes = 4096;
constexpr uint64_t kRandomSeed = 42;

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  // Also what only shows at close, such as a full disk under write-back.
  Status Close() {
    if (::close(std::exchange(fd_, -1)) != 0) return ErrorFromErrno(errno, "close");
    return {};
  }

 private:
  int fd_;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Status CheckInterrupted() {
  if (BenchFolder::Interrupted()) return Error(ErrorCode::kInterrupted, "bench");
  return {};
}

// What an operation number i does; `false` from it ends the work early.
using Step = std::function<Result<bool>(uint64_t i)>;

class Works {
 public:
  Works(std::string folder, const BenchSizes& sizes,
        const std::function<void(std::string_view)>& on_start)
      : folder_(std::move(folder)), sizes_(sizes), on_start_(on_start) {
    Random random(kRandomSeed);
    buffer_.resize(kLargeIoBytes);
    for (char& c : buffer_) c = static_cast<char>(random.Next());
  }

  Result<std::vector<BenchResult>> Run() {
    TRY(SmallFiles());
    TRY(LargeFile());
    TRY(RandomIo());
    return std::move(results_);
  }

 private:
  Status Measure(std::string name, std::string title, uint64_t limit, size_t bytes_each,
                 const Step& step) {
    on_start_(title);
    BenchResult result{.name = std::move(name), .title = std::move(title)};
    const auto start = steady_clock::now();
    while (result.operations < limit) {
      TRY(CheckInterrupted());
      if (!TRY(step(result.operations))) break;
      ++result.operations;
    }
    result.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
    result.bytes = bytes_each * result.operations;
    results_.push_back(std::move(result));
    return {};
  }

  std::string NameOf(uint64_t i) const { return fmt::format("{}/f{}", folder_, i); }
  std::string NewNameOf(uint64_t i) const { return fmt::format("{}/g{}", folder_, i); }

  Status SmallFiles() {
    const uint64_t files = sizes_.files;
    const size_t bytes = std::min<size_t>(sizes_.file_bytes, buffer_.size());
    TRY(Measure("create", "create, write 4 KiB, close", files, 0, [&](uint64_t i) -> Result<bool> {
      File file(NameOf(i), O_WRONLY | O_CREAT | O_EXCL);
      if (file.fd() < 0) return ErrorFromErrno(errno, "create");
      if (::write(file.fd(), buffer_.data(), bytes) != static_cast<ssize_t>(bytes)) {
        return ErrorFromErrno(errno, "write");
      }
      TRY(file.Close());
      return true;
    }));
    TRY(Measure("stat", "stat", files, 0, [&](uint64_t i) -> Result<bool> {
      struct stat status;
      if (::stat(NameOf(i).c_str(), &status) != 0) return ErrorFromErrno(errno, "stat");
      return true;
    }));
    TRY(ListAndStat());
    TRY(Measure("open_read", "open, read 4 KiB, close", files, 0, [&](uint64_t i) -> Result<bool> {
      File file(NameOf(i), O_RDONLY);
      if (file.fd() < 0) return ErrorFromErrno(errno, "open");
      if (::read(file.fd(), buffer_.data(), bytes) < 0) return ErrorFromErrno(errno, "read");
      return true;
    }));
    TRY(Measure("rename", "rename", files, 0, [&](uint64_t i) -> Result<bool> {
      if (::rename(NameOf(i).c_str(), NewNameOf(i).c_str()) != 0) {
        return ErrorFromErrno(errno, "rename");
      }
      return true;
    }));
    return Measure("unlink", "unlink", files, 0, [&](uint64_t i) -> Result<bool> {
      if (::unlink(NewNameOf(i).c_str()) != 0) return ErrorFromErrno(errno, "unlink");
      return true;
    });
  }

  Status ListAndStat() {
    const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(folder_.c_str()));
    if (!directory) return ErrorFromErrno(errno, "open directory");
    return Measure("list_stat", "list and stat", UINT64_MAX, 0, [&](uint64_t) -> Result<bool> {
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) return false;
      struct stat status;
      if (::fstatat(::dirfd(directory.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrorFromErrno(errno, "stat");
      }
      return true;
    });
  }

  Status LargeFile() {
    const uint64_t requests = std::max<uint64_t>(1, sizes_.large_bytes / kLargeIoBytes);
    File file(folder_ + "/large", O_RDWR | O_CREAT);
    if (file.fd() < 0) return ErrorFromErrno(errno, "create");
    const auto offset_of = [](uint64_t i) { return static_cast<off_t>(i * kLargeIoBytes); };
    TRY(Measure("sequential_write", "sequential write, fsync", requests, kLargeIoBytes,
                [&](uint64_t i) -> Result<bool> {
                  if (::pwrite(file.fd(), buffer_.data(), kLargeIoBytes, offset_of(i)) !=
                      static_cast<ssize_t>(kLargeIoBytes)) {
                    return ErrorFromErrno(errno, "write");
                  }
                  if (i + 1 == requests && ::fsync(file.fd()) != 0) {
                    return ErrorFromErrno(errno, "fsync");
                  }
                  return true;
                }));
    const Step read = [&](uint64_t i) -> Result<bool> {
      if (::pread(file.fd(), buffer_.data(), kLargeIoBytes, offset_of(i)) < 0) {
        return ErrorFromErrno(errno, "read");
      }
      return true;
    };
    (void)::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
    TRY(Measure("sequential_read", "sequential read", requests, kLargeIoBytes, read));
    return Measure("sequential_read_again", "sequential read again", requests, kLargeIoBytes, read);
  }

  Status RandomIo() {
    File file(folder_ + "/large", O_RDWR);
    if (file.fd() < 0) return ErrorFromErrno(errno, "open");
    const uint64_t blocks = std::max<uint64_t>(1, sizes_.large_bytes / kSmallIoBytes);
    Random random(kRandomSeed);
    const auto offset = [&] { return static_cast<off_t>(random.Below(blocks) * kSmallIoBytes); };
    (void)::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
    auto end = steady_clock::now() + sizes_.random_time;
    TRY(Measure("random_read", "random read of 4 KiB", UINT64_MAX, 0,
                [&](uint64_t) -> Result<bool> {
                  if (::pread(file.fd(), buffer_.data(), kSmallIoBytes, offset()) < 0) {
                    return ErrorFromErrno(errno, "read");
                  }
                  return steady_clock::now() < end;
                }));
    end = steady_clock::now() + sizes_.random_time;
    return Measure("random_write_fsync", "random write of 4 KiB, fsync each", UINT64_MAX, 0,
                   [&](uint64_t) -> Result<bool> {
                     if (::pwrite(file.fd(), buffer_.data(), kSmallIoBytes, offset()) !=
                             static_cast<ssize_t>(kSmallIoBytes) ||
                         ::fdatasync(file.fd()) != 0) {
                       return ErrorFromErrno(errno, "write");
                     }
                     return steady_clock::now() < end;
                   });
  }

  const std::string folder_;
  const BenchSizes sizes_;
  const std::function<void(std::string_view)>& on_start_;
  std::string buffer_;
  std::vector<BenchResult> results_;
};

}  // namespace

Result<std::vector<BenchResult>> RunBenchWorks(
    const std::string& folder, const BenchSizes& sizes,
    const std::function<void(std::string_view)>& on_start) {
  return Works(folder, sizes, on_start).Run();
}

}  // namespace tifs::cli
