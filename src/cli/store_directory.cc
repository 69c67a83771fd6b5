#include "cli/store_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "cli/store_owner.h"

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

constexpr std::string_view kMarkerName = "tifs.store";
constexpr std::string_view kUnfinishedMarkerName = "tifs.store.new";
constexpr std::string_view kUnfinishedSuffix = ".new";
constexpr std::string_view kMarkerText = "TiFS embedded store, layout ";
constexpr unsigned kNewestLayout = kVolumeLayout;

Error FromCode(const std::error_code& code, const char* context) {
  return ErrorFromErrno(code.value(), context);
}

Status SyncDirectory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrorFromErrno(errno, "open directory");
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) return ErrorFromErrno(error, "sync directory");
  return {};
}

Result<bool> IsEmpty(const std::string& directory) {
  std::error_code error;
  stdfs::directory_iterator entry(directory, error);
  if (error) return FromCode(error, "list directory");
  for (const stdfs::directory_iterator end; entry != end; entry.increment(error)) {
    if (error) return FromCode(error, "list directory");
    const std::string name = entry->path().filename().string();
    // A format that was interrupted early leaves no more than these.
    if (name == kUnfinishedMarkerName || name == kOwnerFileName) continue;
    if (name == "lost+found" && stdfs::is_directory(entry->symlink_status()) &&
        stdfs::is_empty(entry->path(), error) && !error) {
      continue;
    }
    return false;
  }
  return true;
}

// What a marker of ours says; kForeign if it is none.
Result<StoreState> ReadMarker(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return ErrorFromErrno(errno, "open the store's marker");
  std::array<char, 128> buffer;
  const ssize_t length = ::read(fd, buffer.data(), buffer.size());
  const int read_error = errno;
  ::close(fd);
  if (length < 0) return ErrorFromErrno(read_error, "read the store's marker");
  std::string_view text(buffer.data(), static_cast<size_t>(length));
  if (!text.starts_with(kMarkerText)) return StoreState::kForeign;
  text.remove_prefix(kMarkerText.size());
  unsigned layout = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), layout);
  if (status != std::errc() || layout == 0) return StoreState::kForeign;
  return layout > kNewestLayout ? StoreState::kNewer : StoreState::kOurs;
}

}  // namespace

Result<StoreState> InspectStoreDirectory(const std::string& directory) {
  struct stat status;
  if (::stat(directory.c_str(), &status) != 0) {
    if (errno == ENOENT) return StoreState::kAbsent;
    return ErrorFromErrno(errno, "stat");
  }
  if (!S_ISDIR(status.st_mode)) return Error(ErrorCode::kNotDirectory, "store");
  const std::string marker = directory + "/" + std::string(kMarkerName);
  if (::lstat(marker.c_str(), &status) == 0) return ReadMarker(marker);
  if (errno != ENOENT) return ErrorFromErrno(errno, "stat");
  return TRY(IsEmpty(directory)) ? StoreState::kEmpty : StoreState::kForeign;
}

Status CreateStoreDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrorFromErrno(errno, "create directory");
  }
  (void)TRY(TightenStoreDirectory(directory));
  return SyncDirectory(stdfs::path(directory).parent_path().string());
}

Status MarkStoreDirectory(const std::string& directory, unsigned layout) {
  return ReplaceStoreFile(directory, kMarkerName,
                          std::string(kMarkerText) + std::to_string(layout) + "\n");
}

Status ReplaceStoreFile(const std::string& directory, std::string_view name,
                        std::string_view text) {
  const std::string path = directory + "/" + std::string(name);
  const std::string unfinished = path + std::string(kUnfinishedSuffix);
  const int fd =
      ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return ErrorFromErrno(errno, "create a file of the store");
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written || ::rename(unfinished.c_str(), path.c_str()) != 0) {
    const int reason = written ? errno : error;
    ::unlink(unfinished.c_str());
    return ErrorFromErrno(reason, "write a file of the store");
  }
  return SyncDirectory(directory);
}

Status RemoveStoreFile(const std::string& directory, std::string_view name) {
  const std::string path = directory + "/" + std::string(name);
  ::unlink((path + std::string(kUnfinishedSuffix)).c_str());
  if (::unlink(path.c_str()) != 0) {
    return errno == ENOENT ? OkStatus() : ErrorFromErrno(errno, "remove a file of the store");
  }
  return SyncDirectory(directory);
}

void UnmarkStoreDirectory(const std::string& directory) {
  ::unlink((directory + "/" + std::string(kMarkerName)).c_str());
}

Status EmptyStoreDirectory(const std::string& directory) {
  std::error_code error;
  stdfs::remove_all(KvDirectoryOf(directory), error);
  if (!error) stdfs::remove(BlocksFileOf(directory), error);
  if (error) return FromCode(error, "delete the old store");
  return SyncDirectory(directory);
}

Result<bool> TightenStoreDirectory(const std::string& directory) {
  struct stat status;
  if (::stat(directory.c_str(), &status) != 0) return ErrorFromErrno(errno, "stat");
  if ((status.st_mode & 07777) == 0700) return false;
  if (::chmod(directory.c_str(), 0700) != 0) return ErrorFromErrno(errno, "chmod");
  return true;
}

bool HasLostItsStore(const std::string& directory) {
  std::error_code error;
  if (stdfs::exists(stdfs::symlink_status(KvDirectoryOf(directory) + "/CURRENT", error))) {
    return false;
  }
  const uint64_t data_bytes = stdfs::file_size(BlocksFileOf(directory), error);
  if (!error && data_bytes > 0) return true;
  error.clear();
  stdfs::directory_iterator entry(KvDirectoryOf(directory), error);
  for (const stdfs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const stdfs::path& path = entry->path();
    const std::string extension = path.extension().string();
    if (extension == ".sst" || extension == ".blob" || extension == ".log") return true;
    // The first one is written before there is a CURRENT.
    const std::string name = path.filename().string();
    if (name.starts_with("MANIFEST-") && name != "MANIFEST-000001") return true;
  }
  return false;
}

bool HasKvStore(const std::string& directory) {
  std::error_code error;
  return stdfs::exists(stdfs::symlink_status(KvDirectoryOf(directory) + "/CURRENT", error));
}

std::string KvDirectoryOf(const std::string& directory) { return directory + "/kv"; }
std::string BlocksFileOf(const std::string& directory) { return directory + "/blocks"; }

}  // namespace tifs::cli
