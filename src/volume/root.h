#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "volume/file.h"
#include "volume/sparse_file.h"

namespace tifs::volume {

class VolumeCore;

struct DirectoryEntry {
  std::string name;
  FileStat stat;
};

// Excludes others in this process from the same file while it exists.
class FileLock {
 public:
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  friend class Root;
  FileLock(std::shared_ptr<VolumeCore> core, uint64_t inode);

  const std::shared_ptr<VolumeCore> core_;
  const uint64_t inode_;
};

// A tree of directories and files of its own, one of several on a volume: nothing that is done
// through a Root can reach another. Made by Volume::OpenRoot. All calls are safe from any thread.
//
// Paths are below the root: components of 1 to 255 bytes, parted by '/'; slashes at either end or
// repeated mean nothing, as does ".". ".." is kInvalid. The empty path is the root itself. At most
// 4,096 bytes (kNameTooLong).
//
// Operations on names are atomic, one journal record each, and take effect in one order on the
// whole volume. They wait in memory until any Sync or SyncDirectory of the volume, which makes them
// durable in that order; after a crash a prefix of them has happened.
//
// Errors of all: kNotFound, kNotDirectory, kIsDirectory (a file was meant), kReadOnly, kNoSpace (no
// room for metadata; never of a removal), kIo.
class Root {
 public:
  ~Root();
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;

  const std::string& name() const { return name_; }

  // kExists with `exclusive`, kIsDirectory.
  Result<std::unique_ptr<File>> Open(std::string_view path, OpenMode mode);
  // A file with holes (volume/sparse_file.h); a file of one kind is never opened as the other
  // (kNotSupported). kBusy: it is open, for one has it at a time.
  Result<std::unique_ptr<SparseFile>> OpenSparse(std::string_view path, SparseMode mode);
  Result<FileStat> Stat(std::string_view path) const;
  // By name. `stat` of all entries is of one instant.
  Result<std::vector<DirectoryEntry>> List(std::string_view path) const;

  // kExists.
  Status MakeDirectory(std::string_view path);
  // With all directories above it; well also if it is there.
  Status MakeDirectories(std::string_view path);
  // kNotEmpty; kInvalid for the root itself.
  Status RemoveDirectory(std::string_view path);

  // Replaces a file at `to` (an empty directory, if `from` is one), atomically: at any instant, and
  // after any crash, `to` is the old or the new. Open handles go on with the file they opened.
  // kInvalid for a directory into itself, kNotEmpty.
  Status Rename(std::string_view from, std::string_view to);
  // Another name for a file. kExists, kIsDirectory, kTooManyLinks.
  Status Link(std::string_view from, std::string_view to);
  // Open handles go on; the space is free when the last one is closed, or after a crash.
  Status Unlink(std::string_view path);
  // Of a file that nobody needs to have open. As File::Truncate.
  Status Truncate(std::string_view path, uint64_t size_bytes);

  // Every operation on names done before, in the whole volume, is durable. The path must be a
  // directory.
  Status SyncDirectory(std::string_view path);

  // The file is made if there is none. kBusy if it is locked, by whomever in this process.
  Result<std::unique_ptr<FileLock>> Lock(std::string_view path);

 private:
  friend class Volume;
  Root(std::shared_ptr<VolumeCore> core, std::string name, uint64_t inode);

  const std::shared_ptr<VolumeCore> core_;
  const std::string name_;
  const uint64_t inode_;
};

}  // namespace tifs::volume
