#include "block/file_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "block/sync_queue.h"
#include "block/transfer.h"

// On a block device, fdatasync writes back the page cache (there is nothing in it with direct I/O)
// and sends the disk a flush; on a file it does the same for the file's blocks, and commits the
// file system's record of those that were holes.

namespace tifs::block {
namespace {

int64_t WriteThrough(int fd, const Transfer& transfer) {
  const iovec piece = {transfer.buffer(), transfer.size_bytes()};
  const auto offset = static_cast<off_t>(transfer.offset_bytes());
  const int64_t written = pwritev2(fd, &piece, 1, offset, RWF_DSYNC);
  if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
  const int64_t plainly = pwrite(fd, piece.iov_base, piece.iov_len, offset);
  return plainly > 0 && fdatasync(fd) != 0 ? -1 : plainly;
}

int DiscardRange(int fd, bool is_block_device, const IoRequest& request) {
  if (!is_block_device) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(request.offset_bytes),
                     static_cast<off_t>(request.size_bytes));
  }
  uint64_t range[2] = {request.offset_bytes, request.size_bytes};
  return ioctl(fd, BLKDISCARD, range);
}

}  // namespace

FileDevice::FileDevice(DiskFile file)
    : BlockDevice(file.geometry, file.size_bytes, file.identity, file.read_only),
      file_(std::move(file)) {}

Result<std::unique_ptr<IoQueue>> FileDevice::OpenQueue(uint32_t depth) {
  TRY(CheckDepth(depth));
  return std::unique_ptr<IoQueue>(std::make_unique<SyncQueue>(*this, depth));
}

void FileDevice::Execute(IoRequest& request) const {
  Transfer transfer(*this, request);
  const int fd = this->fd();
  int64_t result = 0;
  do {
    switch (request.kind) {
      case IoKind::kRead:
        result = pread(fd, transfer.buffer(), transfer.size_bytes(),
                       static_cast<off_t>(transfer.offset_bytes()));
        break;
      case IoKind::kWrite:
        result = request.durability == Durability::kThrough
                     ? WriteThrough(fd, transfer)
                     : pwrite(fd, transfer.buffer(), transfer.size_bytes(),
                              static_cast<off_t>(transfer.offset_bytes()));
        break;
      case IoKind::kFlush: result = fdatasync(fd); break;
      case IoKind::kDiscard: result = DiscardRange(fd, file_.is_block_device, request); break;
    }
  } while (!transfer.Advance(result < 0 ? -errno : result));
}

Status FileDevice::DoRead(uint64_t offset_bytes, std::span<char> out) {
  IoRequest request = IoRequest::Read(offset_bytes, out);
  Execute(request);
  return std::move(request.status);
}

Status FileDevice::DoWrite(uint64_t offset_bytes, std::span<const char> data,
                           Durability durability) {
  IoRequest request = IoRequest::Write(offset_bytes, data, durability);
  Execute(request);
  return std::move(request.status);
}

Status FileDevice::DoFlush() {
  IoRequest request = IoRequest::Flush();
  Execute(request);
  return std::move(request.status);
}

Status FileDevice::DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) {
  IoRequest request = IoRequest::Discard(offset_bytes, size_bytes);
  Execute(request);
  return std::move(request.status);
}

}  // namespace tifs::block
