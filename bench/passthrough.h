// The parts that all requests of the pass-through file system share: the table of inodes that the
// kernel knows, and how a request reaches its own. Everything here may be called from any thread.

#pragma once

#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace tifs::bench {

constexpr double kValiditySeconds = 1.0;

class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

struct FileIdentity {
  dev_t device;
  ino_t number;
  bool operator==(const FileIdentity&) const = default;
};

struct FileIdentityHash {
  size_t operator()(const FileIdentity& id) const {
    return std::hash<uint64_t>()(id.number * 0x9e3779b97f4a7c15u ^ id.device);
  }
};

// What the kernel knows by its node id, which is this object's address. The O_PATH descriptor pins
// the inode below, so its identity cannot be reused while we know it.
struct Inode {
  UniqueFd path_fd;
  FileIdentity identity{};
  uint64_t lookups = 0;  // guarded by InodeTable::mutex_
};

class InodeTable {
 public:
  // Counts one look-up. `path_fd` is dropped if the inode is known already.
  Inode* Acquire(UniqueFd path_fd, const struct stat& attr) {
    const FileIdentity identity{attr.st_dev, attr.st_ino};
    std::lock_guard lock(mutex_);
    std::unique_ptr<Inode>& slot = inodes_[identity];
    if (!slot) slot = std::make_unique<Inode>(std::move(path_fd), identity);
    ++slot->lookups;
    return slot.get();
  }

  void Forget(Inode* inode, uint64_t count) {
    std::unique_ptr<Inode> gone;  // closed outside the lock
    std::lock_guard lock(mutex_);
    inode->lookups -= std::min(count, inode->lookups);
    if (inode->lookups != 0) return;
    auto found = inodes_.find(inode->identity);
    gone = std::move(found->second);
    inodes_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<FileIdentity, std::unique_ptr<Inode>, FileIdentityHash> inodes_;
};

struct PassThrough {
  Inode root;  // never forgotten, so not in the table
  InodeTable inodes;
};

inline PassThrough& FileSystem(fuse_req_t req) {
  return *static_cast<PassThrough*>(fuse_req_userdata(req));
}

inline Inode* InodeOf(fuse_req_t req, fuse_ino_t ino) {
  if (ino == FUSE_ROOT_ID) return &FileSystem(req).root;
  return reinterpret_cast<Inode*>(ino);
}

inline int FdOf(fuse_req_t req, fuse_ino_t ino) { return InodeOf(req, ino)->path_fd.get(); }

// The calls that take no O_PATH descriptor reach its inode under this name.
class ProcPath {
 public:
  explicit ProcPath(int fd) { std::snprintf(name_.data(), name_.size(), "/proc/self/fd/%d", fd); }
  const char* c_str() const { return name_.data(); }

 private:
  std::array<char, 32> name_;
};

// Looks `name` up in the directory below `parent_fd`, fills *entry and counts one look-up, which
// the caller gives back with ForgetOne if the kernel never learns of it. Returns an errno, 0 if
// found.
int LookUpEntry(fuse_req_t req, int parent_fd, const char* name, fuse_entry_param* entry);

inline void ForgetOne(PassThrough& file_system, fuse_ino_t ino, uint64_t count) {
  if (ino != FUSE_ROOT_ID) file_system.inodes.Forget(reinterpret_cast<Inode*>(ino), count);
}

// Sets the operations on directories' streams: opendir, readdir, readdirplus, fsyncdir, releasedir.
void SetDirectoryOperations(fuse_lowlevel_ops* operations);

}  // namespace tifs::bench
