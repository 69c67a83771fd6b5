#include <dirent.h>

#include <cerrno>
#include <string_view>
#include <vector>

#include "passthrough.h"

namespace tifs::bench {
namespace {

struct OpenDirectory {
  DIR* stream = nullptr;
  off_t offset = 0;
  const dirent* pending = nullptr;  // read from the stream, did not fit into the last answer
};

OpenDirectory* DirectoryOf(const fuse_file_info* fi) {
  return reinterpret_cast<OpenDirectory*>(fi->fh);
}

void OpenDir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  UniqueFd fd(openat(FdOf(req, ino), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = fd.valid() ? fdopendir(fd.get()) : nullptr;
  if (stream == nullptr) {
    fuse_reply_err(req, errno);
    return;
  }
  fd.release();
  auto directory = std::make_unique<OpenDirectory>(stream);
  fi->fh = reinterpret_cast<uint64_t>(directory.get());
  if (fuse_reply_open(req, fi) == 0) {
    directory.release();
  } else {
    closedir(stream);
  }
}

bool IsDotOrDotDot(std::string_view name) { return name == "." || name == ".."; }

// Returns the entry's size; one larger than `room` was not added, and no look-up was counted.
size_t AddEntry(fuse_req_t req, int directory_fd, const dirent& found, bool with_attr,
                char* position, size_t room) {
  fuse_entry_param entry = {};
  entry.attr.st_ino = found.d_ino;
  entry.attr.st_mode = DTTOIF(found.d_type);
  if (!with_attr) {
    return fuse_add_direntry(req, position, room, found.d_name, &entry.attr, found.d_off);
  }
  if (!IsDotOrDotDot(found.d_name) && LookUpEntry(req, directory_fd, found.d_name, &entry) != 0) {
    entry = {};  // gone meanwhile, or not ours to see: the bare name, without a node
    entry.attr.st_ino = found.d_ino;
    entry.attr.st_mode = DTTOIF(found.d_type);
  }
  const size_t size =
      fuse_add_direntry_plus(req, position, room, found.d_name, &entry, found.d_off);
  if (size > room && entry.ino != 0) ForgetOne(FileSystem(req), entry.ino, 1);
  return size;
}

void ReplyEntries(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* fi,
                  bool with_attr) {
  thread_local std::vector<char> buffer;
  if (buffer.size() < size) buffer.resize(size);
  OpenDirectory* directory = DirectoryOf(fi);
  if (offset != directory->offset) {
    seekdir(directory->stream, offset);
    directory->offset = offset;
    directory->pending = nullptr;
  }
  size_t used = 0;
  int error = 0;
  while (true) {
    if (directory->pending == nullptr) {
      errno = 0;
      directory->pending = readdir(directory->stream);
      if (directory->pending == nullptr) {
        error = errno;
        break;
      }
    }
    const size_t added = AddEntry(req, FdOf(req, ino), *directory->pending, with_attr,
                                  buffer.data() + used, size - used);
    if (added > size - used) break;
    used += added;
    directory->offset = directory->pending->d_off;
    directory->pending = nullptr;
  }
  if (used == 0 && error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fuse_reply_buf(req, buffer.data(), used);
}

void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* fi) {
  ReplyEntries(req, ino, size, offset, fi, false);
}

void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* fi) {
  ReplyEntries(req, ino, size, offset, fi, true);
}

void ReleaseDir(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  std::unique_ptr<OpenDirectory> directory(DirectoryOf(fi));
  closedir(directory->stream);
  fuse_reply_err(req, 0);
}

void FsyncDir(fuse_req_t req, fuse_ino_t, int data_only, fuse_file_info* fi) {
  const int fd = dirfd(DirectoryOf(fi)->stream);
  fuse_reply_err(req, (data_only != 0 ? fdatasync(fd) : fsync(fd)) == -1 ? errno : 0);
}

}  // namespace

void SetDirectoryOperations(fuse_lowlevel_ops* operations) {
  operations->opendir = OpenDir;
  operations->readdir = ReadDir;
  operations->readdirplus = ReadDirPlus;
  operations->fsyncdir = FsyncDir;
  operations->releasedir = ReleaseDir;
}

}  // namespace tifs::bench
