#include "block/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fstream>
#include <optional>
#include <string_view>

namespace tifs::block {
namespace {

constexpr uint32_t kLeastBlockBytes = 512;
constexpr uint32_t kPageBytes = 4096;
// Bounds what the kernel pins for one of our requests, and is well beyond where larger transfers
// are any faster.
constexpr uint32_t kMaxTransferBytes = 8 << 20;

Error Refused(ErrorCode code, const DeviceName& name, std::string_view why) {
  return Error(code, "device", fmt::format("{}: {}", name.text, why));
}

Error SystemSaid(int error_number, const DeviceName& name) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return Refused(ErrorCode::kNotFound, name, "does not exist");
    case EBUSY:
      return Refused(ErrorCode::kBusy, name, "in use: mounted, or opened by another process");
    default: return ErrorFromErrno(error_number, "device", name.text);
  }
}

Status CheckType(const DeviceName& name, mode_t mode) {
  if (S_ISDIR(mode)) return Refused(ErrorCode::kIsDirectory, name, "is a directory");
  if (name.kind == DeviceKind::kBlock && S_ISREG(mode)) {
    return Refused(ErrorCode::kInvalid, name,
                   fmt::format("is a regular file; write file:{}", name.path));
  }
  if (name.kind == DeviceKind::kFile && S_ISBLK(mode)) {
    return Refused(ErrorCode::kInvalid, name,
                   "is a block device; write its path below /dev without file:");
  }
  if (!S_ISREG(mode) && !S_ISBLK(mode)) {
    return Refused(ErrorCode::kInvalid, name, "is neither a block device nor a regular file");
  }
  return {};
}

Status OpenFd(const DeviceName& name, bool exclusive, DiskFile& file) {
  struct stat status = {};
  if (stat(name.path.c_str(), &status) != 0) return SystemSaid(errno, name);
  TRY(CheckType(name, status.st_mode));
  file.is_block_device = S_ISBLK(status.st_mode);
  int flags = O_CLOEXEC | (file.read_only ? O_RDONLY : O_RDWR);
  if (file.is_block_device && exclusive) flags |= O_EXCL;
  file.fd = UniqueFd(open(name.path.c_str(), flags | O_DIRECT));
  file.is_direct = true;
  if (!file.fd && errno == EINVAL) {
    file.fd = UniqueFd(open(name.path.c_str(), flags));
    file.is_direct = false;
  }
  if (!file.fd) return SystemSaid(errno, name);
  if (fstat(file.fd.get(), &status) != 0) return SystemSaid(errno, name);
  return CheckType(name, status.st_mode);
}

Status LockFile(const DeviceName& name, const DiskFile& file) {
  struct flock lock = {};
  lock.l_type = file.read_only ? F_RDLCK : F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(file.fd.get(), F_OFD_SETLK, &lock) == 0) return {};
  if (errno == EAGAIN || errno == EACCES) {
    return Refused(ErrorCode::kBusy, name, "in use by another process, or by this one already");
  }
  return SystemSaid(errno, name);
}

// What direct I/O wants, as far as the kernel tells (6.1 and later; block devices later still).
struct DirectAlignment {
  uint32_t memory_bytes = 0;
  uint32_t offset_bytes = 0;  // 0: no direct I/O on this file
};

std::optional<DirectAlignment> ToldAlignment(int fd) {
  struct statx status = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return std::nullopt;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return std::nullopt;
  return DirectAlignment{status.stx_dio_mem_align, status.stx_dio_offset_align};
}

// Where the kernel does not tell: the least that a read gets away with.
DirectAlignment TriedAlignment(int fd) {
  alignas(2 * kPageBytes) char page[2 * kPageBytes];
  char* const odd = page + kLeastBlockBytes;
  const ssize_t size = pread(fd, odd, kLeastBlockBytes, kLeastBlockBytes);
  const uint32_t bytes = size < 0 && errno == EINVAL ? kPageBytes : kLeastBlockBytes;
  return {bytes, bytes};
}

std::string QueueAttribute(dev_t device, std::string_view attribute) {
  // A partition has no queue of its own; its disk is one level up.
  for (const char* place : {"queue", "../queue"}) {
    std::ifstream file(
        fmt::format("/sys/dev/block/{}:{}/{}/{}", major(device), minor(device), place, attribute));
    std::string text;
    if (std::getline(file, text)) return text;
  }
  return "";
}

Status ProbeBlockDevice(const DeviceName& name, DiskFile& file) {
  const int fd = file.fd.get();
  int logical_bytes = 0;
  if (ioctl(fd, BLKSSZGET, &logical_bytes) != 0) return SystemSaid(errno, name);
  file.geometry.block_bytes = static_cast<uint32_t>(logical_bytes);
  const std::optional<DirectAlignment> told = ToldAlignment(fd);
  file.geometry.buffer_alignment_bytes =
      told && told->memory_bytes != 0 ? told->memory_bytes : file.geometry.block_bytes;
  struct stat status = {};
  if (fstat(fd, &status) != 0) return SystemSaid(errno, name);
  const std::string discard_bytes = QueueAttribute(status.st_rdev, "discard_max_bytes");
  file.geometry.has_fua = QueueAttribute(status.st_rdev, "fua") == "1";
  file.geometry.has_discard = !discard_bytes.empty() && discard_bytes != "0";
  // Linux promises nothing about what a discarded block of a device reads as.
  file.geometry.discard_reads_zeros = false;
  return {};
}

void ProbeFile(DiskFile& file) {
  const int fd = file.fd.get();
  if (file.is_direct) {
    const std::optional<DirectAlignment> told = ToldAlignment(fd);
    const DirectAlignment alignment = told ? *told : TriedAlignment(fd);
    file.is_direct = alignment.offset_bytes != 0 && std::has_single_bit(alignment.offset_bytes) &&
                     std::has_single_bit(alignment.memory_bytes);
    if (file.is_direct) {
      file.geometry.block_bytes = std::max(alignment.offset_bytes, kLeastBlockBytes);
      file.geometry.buffer_alignment_bytes = alignment.memory_bytes;
    } else {
      (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT);
    }
  }
  struct stat status = {};
  // A hole beyond the end changes nothing but whether the file system says that it can.
  file.geometry.has_discard =
      !file.read_only && fstat(fd, &status) == 0 &&
      fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, status.st_size, kPageBytes) == 0;
  file.geometry.discard_reads_zeros = file.geometry.has_discard;
}

bool StartsWithoutWaiting(const DiskFile& file) {
  alignas(kPageBytes) char page[kPageBytes];
  const iovec piece = {page, file.geometry.block_bytes};
  return file.geometry.block_bytes <= kPageBytes &&
         (preadv2(file.fd.get(), &piece, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP);
}

}  // namespace

Result<uint64_t> SizeOf(const DiskFile& file) {
  uint64_t size_bytes = 0;
  if (file.is_block_device) {
    if (ioctl(file.fd.get(), BLKGETSIZE64, &size_bytes) != 0) {
      return ErrorFromErrno(errno, "device", file.identity);
    }
  } else {
    struct stat status = {};
    if (fstat(file.fd.get(), &status) != 0) return ErrorFromErrno(errno, "device", file.identity);
    size_bytes = static_cast<uint64_t>(status.st_size);
  }
  const uint32_t block_bytes = file.geometry.block_bytes;
  if (size_bytes == 0) {
    return Error(ErrorCode::kInvalid, "device", fmt::format("{}: is empty", file.identity));
  }
  if (size_bytes % block_bytes != 0) {
    return Error(ErrorCode::kInvalid, "device",
                 fmt::format("{}: {} bytes are not a whole number of blocks of {}", file.identity,
                             size_bytes, block_bytes));
  }
  return size_bytes;
}

Result<DiskFile> OpenDiskFile(const DeviceName& name, bool read_only, bool exclusive) {
  DiskFile file{.read_only = read_only, .identity = name.text};
  TRY(OpenFd(name, exclusive, file));
  if (!file.is_block_device && exclusive) TRY(LockFile(name, file));
  if (file.is_block_device) {
    TRY(ProbeBlockDevice(name, file));
  } else {
    ProbeFile(file);
  }
  file.geometry.atomic_write_bytes = file.geometry.block_bytes;
  file.geometry.max_transfer_bytes = kMaxTransferBytes;
  file.geometry.has_flush = true;
  file.size_bytes = TRY(SizeOf(file));
  file.starts_without_waiting = StartsWithoutWaiting(file);
  return file;
}

}  // namespace tifs::block
