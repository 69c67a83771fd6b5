#include "cli/space_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"

namespace tifs::cli {
namespace {

// What opening a store takes at most, with its preallocated files.
constexpr uint64_t kNeededBytes = uint64_t{6} << 20;
// Only what is not missed is set aside.
constexpr uint64_t kPlentyBytes = 8 * kReserveBytes;

std::string PathOf(const std::string& directory) { return directory + "/tifs.reserve"; }

// UINT64_MAX where it is not known.
uint64_t FreeBytes(const std::string& directory) {
  struct statvfs space;
  if (::statvfs(directory.c_str(), &space) != 0) return UINT64_MAX;
  // Root has what a file system keeps back from others.
  return uint64_t{::geteuid() == 0 ? space.f_bfree : space.f_bavail} * space.f_frsize;
}

bool IsReadOnly(const std::string& directory) {
  struct statvfs space;
  return ::statvfs(directory.c_str(), &space) == 0 && (space.f_flag & ST_RDONLY) != 0;
}

bool Exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

// Makes it if that is cheap; nothing depends on it.
void MakeReserve(const std::string& directory) {
  const std::string path = PathOf(directory);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  const bool reserved = ::fallocate(fd, 0, 0, static_cast<off_t>(kReserveBytes)) == 0;
  ::close(fd);
  if (!reserved) ::unlink(path.c_str());
}

}  // namespace

Status PrepareSpace(const std::string& directory) {
  if (IsReadOnly(directory)) return Error(ErrorCode::kReadOnly, "open the store");
  const uint64_t free_bytes = FreeBytes(directory);
  const bool reserved = Exists(PathOf(directory));
  if (!reserved && free_bytes >= kPlentyBytes && free_bytes != UINT64_MAX) MakeReserve(directory);
  if (free_bytes >= kNeededBytes) return {};
  if (reserved) {
    LogWarning("the disk below the store is full; its reserve is given up");
    RemoveReserve(directory);
  }
  if (FreeBytes(directory) >= kNeededBytes) return {};
  return Error(ErrorCode::kNoSpace, "open the store");
}

void RemoveReserve(const std::string& directory) { ::unlink(PathOf(directory).c_str()); }

}  // namespace tifs::cli
