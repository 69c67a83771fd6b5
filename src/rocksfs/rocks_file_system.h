#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "block/io_class.h"
#include "rocksfs/async_reads.h"
#include "rocksfs/placement.h"
#include "rocksfs/rocks_files.h"
#include "rocksfs/rocksdb_version.h"
#include "rocksfs/shared_volume.h"
#include "rocksfs/volume_root.h"

namespace tifs::rocksfs {

struct RocksFileSystemOptions {
  std::string root;                  // on the volume; made at the first write
  std::string base_directory = "/";  // what the root mirrors (rocksfs/placement.h)
  // Settings under this name are ours already when RocksDB hands them to us: it takes a URI with a
  // '=' for a setting, too.
  std::string uri;
};

// RocksDB's files on two sides: tables, blob files and MANIFESTs on a root of a volume, all else on
// a base file system, as if it were one (rocksfs/placement.h, docs/volume.md).
//
// A name is looked up on the volume first and, if that does not have it, on the base; only "not
// found" leads on to the base, never an error. What is on both is the volume's; what is on the base
// alone stays there until it is replaced. Directories are the base's; the volume has those that its
// files need.
//
// Orders, so that a crash between two steps leaves a state in which nobody is misled:
//   delete, rename away  the base's hidden copy first, durably: it must not show up again
//   rename over a name   the volume's record first, durably if the base has a copy, which it hides
//                        and which goes after it, durably
//   base over volume     a link on the base, hidden and durable; the volume's name goes, durably;
//                        then the old name. A crash may leave both names, never none
//   remove a directory   the volume's first
//   rename a directory   the base's first, durably: a database in between does not open, instead of
//                        being created anew around its tables
//   sync of a directory  the volume's names, then the base's, which refer to them
// No call takes part in another: who changes one name in two threads gets one of the outcomes, and
// in between perhaps neither.
class RocksFileSystem : public rocksdb::FileSystem {
 public:
  static constexpr const char* kName = "tifs-volume";

  // kInvalid: the name of the root, the directory (which must be one of `base`).
  static Result<std::unique_ptr<RocksFileSystem>> Open(std::shared_ptr<SharedVolume> volume,
                                                       std::shared_ptr<rocksdb::FileSystem> base,
                                                       RocksFileSystemOptions options);
  // Files and locks that came from here may outlive it; they keep the volume open.
  ~RocksFileSystem() override;

  const char* Name() const override { return kName; }
  std::string GetId() const override;

  // What was transferred through this file system, by class; not what the base did. Counted where
  // the volume has a scheduler (SharedVolume::scheduler).
  const block::IoCounter& counter() const { return *counter_; }
  SharedVolume& volume() const { return *volume_; }
  const PathMap& map() const { return map_; }

  // Settings and counts of the volume's I/O, besides RocksDB's own (rocksfs/io_options.h).
  rocksdb::Status GetOption(const rocksdb::ConfigOptions& config, const std::string& name,
                            std::string* value) const override;

  rocksdb::Status RegisterDbPaths(const std::vector<std::string>& paths) override;
  rocksdb::Status UnregisterDbPaths(const std::vector<std::string>& paths) override;

  // --- files ---
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* debug) override;
  // A file of that name is replaced; who has it open goes on with the old one.
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  // NotSupported for a file on the volume.
  rocksdb::IOStatus NewMemoryMappedFileBuffer(
      const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus Poll(std::vector<void*>& handles, size_t min_completions) override;
  rocksdb::IOStatus AbortIO(std::vector<void*>& handles) override;

  // --- names ---
  rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetChildren(const std::string& path, const rocksdb::IOOptions& options,
                                std::vector<std::string>* result,
                                rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetChildrenFileAttributes(const std::string& path,
                                              const rocksdb::IOOptions& options,
                                              std::vector<rocksdb::FileAttributes>* result,
                                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions& options,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  // The base's lock excludes other processes; besides, all of this process who have the same root
  // of the same volume, whatever their base is.
  rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions& options,
                             rocksdb::FileLock** lock, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // --- attributes ---
  rocksdb::IOStatus Truncate(const std::string& path, size_t size,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& options,
                                uint64_t* size, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFileModificationTime(const std::string& path,
                                            const rocksdb::IOOptions& options, uint64_t* seconds,
                                            rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NumFileLinks(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* count, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus AreFilesSame(const std::string& first, const std::string& second,
                                 const rocksdb::IOOptions& options, bool* same,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus IsDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                bool* is_directory, rocksdb::IODebugContext* debug) override;
  // Of the volume for directories and what is placed there, of the base for what is placed there.
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* free_bytes, rocksdb::IODebugContext* debug) override;

  // --- the rest ---
  // Below the base directory, not the base's own.
  rocksdb::IOStatus GetTestDirectory(const rocksdb::IOOptions& options, std::string* path,
                                     rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions& options,
                              std::shared_ptr<rocksdb::Logger>* result,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetAbsolutePath(const std::string& path, const rocksdb::IOOptions& options,
                                    std::string* absolute, rocksdb::IODebugContext* debug) override;
  void SanitizeFileOptions(rocksdb::FileOptions* options) const override;
  rocksdb::FileOptions OptimizeForLogRead(const rocksdb::FileOptions& options) const override;
  rocksdb::FileOptions OptimizeForManifestRead(const rocksdb::FileOptions& options) const override;
  rocksdb::FileOptions OptimizeForLogWrite(const rocksdb::FileOptions& options,
                                           const rocksdb::DBOptions& db_options) const override;
  rocksdb::FileOptions OptimizeForManifestWrite(const rocksdb::FileOptions& options) const override;
  rocksdb::FileOptions OptimizeForCompactionTableWrite(
      const rocksdb::FileOptions& options,
      const rocksdb::ImmutableDBOptions& db_options) const override;
  // With readahead, which a buffered base would get from the kernel.
  rocksdb::FileOptions OptimizeForCompactionTableRead(
      const rocksdb::FileOptions& options,
      const rocksdb::ImmutableDBOptions& db_options) const override;
  rocksdb::FileOptions OptimizeForBlobFileRead(
      const rocksdb::FileOptions& options,
      const rocksdb::ImmutableDBOptions& db_options) const override;

 protected:
  rocksdb::Status ConfigureOptions(const rocksdb::ConfigOptions& config,
                                   const std::unordered_map<std::string, std::string>& settings,
                                   std::unordered_map<std::string, std::string>* unused) override;

 private:
  // A name on both sides.
  struct Place {
    volume::Root* root = nullptr;  // null: there is none yet
    SidePaths paths;
  };
  using Found = std::optional<volume::FileStat>;

  RocksFileSystem(std::shared_ptr<SharedVolume> volume, std::shared_ptr<rocksdb::FileSystem> base,
                  PathMap map, RocksFileSystemOptions options);

  Result<Place> PlaceOf(const std::string& path) const;
  // What the volume has there; nothing if it has not.
  Result<Found> Look(const Place& place) const;
  // The same of a path. An error, or nothing, leaves `found` empty.
  rocksdb::IOStatus Locate(const std::string& path, Place* place, Found* found) const;

  // The base's paths for `paths`, appended to `on_base`.
  rocksdb::IOStatus MapToBase(const std::vector<std::string>& paths,
                              std::vector<std::string>* on_base) const;
  // Whether a file is changed where it is or made, at this name, on the base.
  bool OpensOnBase(const std::string& path, const Place& place, const Found& found,
                   rocksdb::IODebugContext* debug) const;

  // Does `act(root)`. If that finds a directory missing that the base has, makes it and tries
  // again.
  template <typename Act>
  auto WithParents(const SidePaths& paths, Act act) -> decltype(act(std::declval<volume::Root&>()));
  Result<std::unique_ptr<volume::File>> OpenOnVolume(const SidePaths& paths, volume::OpenMode mode);
  // A new file, in place of one that is there.
  Result<std::unique_ptr<volume::File>> CreateOnVolume(const SidePaths& paths);
  VolumeFile Wrap(std::unique_ptr<volume::File> file, const std::string& path) const;
  // For reading: `on_volume(file)`, or `on_base(base path)` if the volume does not have it.
  template <typename OnVolume, typename OnBase>
  rocksdb::IOStatus OpenToRead(const std::string& path, OnVolume on_volume, OnBase on_base);

  bool IsBaseDirectory(const std::string& base_path) const;
  rocksdb::IOStatus SyncBaseParent(const std::string& base_path);
  // A copy that the volume's hides goes, so that no crash brings it back. Well if there is none.
  rocksdb::IOStatus RemoveHiddenCopy(const std::string& base_path);
  // What was done on names of the volume is durable.
  Status CommitVolume();
  rocksdb::IOStatus RenameVolumeFile(const Place& from, const Place& to, const std::string& shown);
  rocksdb::IOStatus RenameBaseFile(const Place& from, const Place& to, const std::string& shown);
  rocksdb::IOStatus RenameDirectory(const Place& from, const Place& to, const std::string& shown);

  const std::shared_ptr<SharedVolume> volume_;
  const std::shared_ptr<rocksdb::FileSystem> base_;
  const PathMap map_;
  const std::string uri_;
  const std::shared_ptr<VolumeRoot> root_;
  const std::shared_ptr<block::IoCounter> counter_;
  const std::shared_ptr<AsyncReads> reads_;
};

template <typename Act>
auto RocksFileSystem::WithParents(const SidePaths& paths, Act act)
    -> decltype(act(std::declval<volume::Root&>())) {
  volume::Root& root = *TRY(root_->Make());
  auto done = act(root);
  if (done || done.error().code() != ErrorCode::kNotFound) return done;
  if (!IsBaseDirectory(std::string(ParentOf(paths.base)))) return done;
  TRY(root.MakeDirectories(ParentOf(paths.volume)));
  return act(root);
}

}  // namespace tifs::rocksfs
