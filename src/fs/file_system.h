#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "fs/op_context.h"
#include "fs/session.h"
#include "fs/types.h"
#include "kv/kv.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

class BlockStore;

// What a file system is given when it is made; constant afterwards but for the limits.
struct FormatOptions {
  std::string name;                      // shown by info; printable UTF-8, at most 64 bytes
  uint32_t block_size_bytes = 64 << 10;  // a power of two, 4 KiB to 1 MiB
  uint64_t capacity_bytes = 0;           // 0: as the medium below
  uint64_t max_inodes = 0;               // 0: no limit
  // Of a directory: how many of those who add or remove entries do not get in each other's way. 1
  // to 64.
  uint16_t directory_stripes = 1;
  bool extents = false;   // file blocks lie in a data file (ExtentBlocks), not the store
  uint32_t root_uid = 0;  // owner of the root directory
  uint32_t root_gid = 0;
  uint32_t root_mode = 0755;

  Status Validate() const;
};

// Who caches what. See docs/consistency.md.
enum class CacheMode : uint8_t {
  kStrict,     // nothing in the kernel, direct I/O, permissions checked here
  kExclusive,  // this mount alone: the kernel caches everything and checks permissions
};

enum class AtimeMode : uint8_t { kRelatime, kNoatime, kStrictatime };

struct FileSystemOptions {
  CacheMode cache_mode = CacheMode::kExclusive;
  AtimeMode atime_mode = AtimeMode::kRelatime;
  bool read_only = false;
  // Every operation that changes something is durable when it returns.
  bool sync = false;
  // Check permissions here; off where the kernel does (default_permissions).
  bool check_permissions = false;
  // The directory of the file system to present as its root: absolute; "/" for all.
  std::string subdirectory = "/";
  // The caller says with Forget which inodes it no longer knows: until then stat of a directory
  // that was removed here answers.
  bool caller_forgets = false;
  // Others may have the file system mounted at the same time: this mount becomes a session. For
  // stores that many share (kv::Store::Ahead) and for them always.
  bool shared = false;
  SessionOptions session;
  // Reclaim and clear in the background. Off: only through RunBackgroundStep, for tests.
  bool background_thread = true;
  kv::RetryOptions retry;

  Status Validate() const;
};

// What Open and Create need of open(2)'s flags.
struct OpenFlags {
  bool read = false;
  bool write = false;
  bool truncate = false;
  bool execute = false;  // the kernel opens it to run it
  bool sync = false;     // O_SYNC or O_DSYNC: each write is durable when it returns
  // Truncating: clear setuid, setgid and capabilities, which the opener has no right to keep.
  bool kill_privileges = false;
};

struct OpenedFile {
  HandleId handle;
  // The kernel may keep what it has cached of this inode.
  bool keep_cache = false;
  bool direct_io = false;
};

struct CreatedFile {
  Entry entry;
  OpenedFile file;
};

// What `info` shows.
struct FileSystemInfo {
  std::string uuid;
  std::string name;
  uint32_t format_version = 0;
  uint32_t block_size_bytes = 0;
  uint64_t capacity_bytes = 0;
  uint64_t max_inodes = 0;
  uint64_t used_bytes = 0;
  uint64_t used_inodes = 0;
  uint64_t orphans = 0;  // waiting to be reclaimed, as far as is known
  uint64_t open_handles = 0;
  std::string read_only_reason;
  uint64_t session = 0;  // this mount's; 0: there are none
};

// Operations that are counted and timed, in the order of FileSystem's methods.
enum class Op : uint8_t {
  kLookup,
  kGetAttributes,
  kSetAttributes,
  kReadlink,
  kMknod,
  kMkdir,
  kUnlink,
  kRmdir,
  kSymlink,
  kRename,
  kLink,
  kCreate,
  kOpen,
  kRead,
  kWrite,
  kFlush,
  kFsync,
  kRelease,
  kAllocate,
  kSeek,
  kCopyRange,
  kOpenDirectory,
  kReadDirectory,
  kReleaseDirectory,
  kGetXattr,
  kSetXattr,
  kListXattr,
  kRemoveXattr,
  kAccess,
  kStatfs,
  kCount
};
std::string_view OpName(Op op);

struct OpMetrics {
  LatencyHistogram latency;
  Counter errors;  // all but ENOENT of lookup and ENODATA of getxattr, which are answers
};

struct FileSystemMetrics {
  std::array<OpMetrics, static_cast<size_t>(Op::kCount)> ops;
  Counter read_bytes;
  Counter written_bytes;
  Counter reclaimed_inodes;
  Counter cleared_blocks;
  Counter corrupt_values;
};

// Formats an empty store: Meta and the root directory, in one transaction, durable on return.
// Errors: kExists if the store holds a file system already.
Status Format(kv::Store& store, Clock& clock, const FormatOptions& options);
// Whether the store holds a file system.
Result<bool> IsFormatted(kv::Store& store);
// Whether its file blocks lie in a data file, so that Open needs ExtentBlocks. kNotFound.
Result<bool> UsesExtents(kv::Store& store);

// POSIX operations on inodes, each one atomic transaction: the vocabulary of FUSE's low-level
// interface, without FUSE. Safe for use by several threads. An operation on an inode that is gone
// answers kStale; an absent name kNotFound. Durability: after Fsync, Sync, or, with `sync` on, each
// change; what is not durable may be lost by a crash, but whole operations only, the latest first.
// Every operation can answer kIo, kCorrupt (EIO) and, when nothing may be written, kReadOnly.
class FileSystem {
 public:
  // Opens a formatted store; `store` and `clock` outlive it. File blocks are values of the store,
  // or live where `blocks` puts them. Errors: kNotFound (not formatted), kNotSupported (newer
  // format), kReadOnly (of a newer release, and safe to be opened with `read_only` only), kInvalid.
  static Result<std::unique_ptr<FileSystem>> Open(kv::Store& store, Clock& clock,
                                                  FileSystemOptions options);
  static Result<std::unique_ptr<FileSystem>> Open(kv::Store& store, Clock& clock,
                                                  FileSystemOptions options,
                                                  std::unique_ptr<BlockStore> blocks);
  // Stops the background work and makes everything durable. Idempotent; the destructor calls it.
  Status Close();
  ~FileSystem();

  // --- names ---
  // `name` is one component: neither empty nor longer than 255 bytes; "." and ".." are looked up as
  // the directory itself and its parent.
  Result<Entry> Lookup(const OpContext& context, InodeNumber parent, std::string_view name);
  Result<CreatedFile> Create(const OpContext& context, InodeNumber parent, std::string_view name,
                             uint32_t mode, OpenFlags flags);
  // Regular files, fifos, sockets and devices; `mode` with its type bits.
  Result<Entry> Mknod(const OpContext& context, InodeNumber parent, std::string_view name,
                      uint32_t mode, uint32_t rdev);
  Result<Entry> Mkdir(const OpContext& context, InodeNumber parent, std::string_view name,
                      uint32_t mode);
  Result<Entry> Symlink(const OpContext& context, InodeNumber parent, std::string_view name,
                        std::string_view target);
  Result<Entry> Link(const OpContext& context, InodeNumber inode, InodeNumber new_parent,
                     std::string_view new_name);
  Status Unlink(const OpContext& context, InodeNumber parent, std::string_view name);
  Status Rmdir(const OpContext& context, InodeNumber parent, std::string_view name);
  // `flags`: bits of RenameFlag. kInvalid for unknown or contradictory ones.
  Status Rename(const OpContext& context, InodeNumber parent, std::string_view name,
                InodeNumber new_parent, std::string_view new_name, uint32_t flags);
  Result<std::string> Readlink(const OpContext& context, InodeNumber inode);

  // The caller knows an inode no longer (FORGET); see FileSystemOptions::caller_forgets.
  void Forget(InodeNumber inode);

  // --- attributes ---
  Result<Entry> GetAttributes(const OpContext& context, InodeNumber inode);
  // `handle`, if any, is the open file through which the change is made (ftruncate).
  Result<Entry> SetAttributes(const OpContext& context, InodeNumber inode,
                              const AttributeChanges& changes, HandleId handle = {});
  // As access(2): `mask` of R_OK, W_OK, X_OK.
  Status Access(const OpContext& context, InodeNumber inode, int mask);

  // --- files ---
  Result<OpenedFile> Open(const OpContext& context, InodeNumber inode, OpenFlags flags);
  // Fills `out` from `offset_bytes`; returns how much, less than asked only at the end of the file.
  // One snapshot; but bytes that a write is just overwriting in a data file may be old or new.
  Result<size_t> Read(const OpContext& context, InodeNumber inode, HandleId handle,
                      uint64_t offset_bytes, std::span<char> out);
  // Writes all of `data` in one transaction; returns its size. With `at_end` (O_APPEND) the offset
  // is the file's end as of that transaction. `kill_privileges`: the writer has no right to keep
  // setuid and setgid. Durable on return with `sync`, or if the handle was opened so.
  struct WriteOptions {
    bool at_end = false;
    bool sync = false;
    bool kill_privileges = false;
  };
  Result<size_t> Write(const OpContext& context, InodeNumber inode, HandleId handle,
                       uint64_t offset_bytes, std::string_view data, WriteOptions options);
  // Everything that this mount did before is durable on return (one sync, shared by all who wait).
  Status Fsync(const OpContext& context, InodeNumber inode, bool data_only);
  Status Release(InodeNumber inode, HandleId handle);
  Status Allocate(const OpContext& context, InodeNumber inode, HandleId handle, AllocateMode mode,
                  uint64_t offset_bytes, uint64_t length_bytes);
  // kNoSuchOffset beyond the end, or where no data follows.
  Result<uint64_t> Seek(const OpContext& context, InodeNumber inode, HandleId handle,
                        uint64_t offset_bytes, SeekWhence whence);
  // Copies at most `length_bytes`, fewer at the end of the source or in one step; returns how many.
  Result<size_t> CopyRange(const OpContext& context, InodeNumber source, HandleId source_handle,
                           uint64_t source_offset_bytes, InodeNumber target, HandleId target_handle,
                           uint64_t target_offset_bytes, uint64_t length_bytes);

  // --- directories ---
  Result<HandleId> OpenDirectory(const OpContext& context, InodeNumber inode);
  // Visits entries, "." and ".." first, from the position `cookie` (0: the start) until the visitor
  // declines or `limit` entries are visited. An entry that is there throughout a whole listing is
  // visited exactly once. `with_attributes`: each entry carries its attributes.
  Status ReadDirectory(const OpContext& context, InodeNumber inode, uint64_t cookie, size_t limit,
                       bool with_attributes, const DirectoryVisitor& visitor);
  Status ReleaseDirectory(InodeNumber inode, HandleId handle);

  // --- extended attributes ---
  Result<std::string> GetXattr(const OpContext& context, InodeNumber inode, std::string_view name);
  // An access ACL (system.posix_acl_access) sets the mode too.
  Status SetXattr(const OpContext& context, InodeNumber inode, std::string_view name,
                  std::string_view value, XattrFlag flag);
  // Names, each ended by a NUL, as listxattr(2).
  Result<std::string> ListXattrs(const OpContext& context, InodeNumber inode);
  Status RemoveXattr(const OpContext& context, InodeNumber inode, std::string_view name);

  // --- the whole ---
  Result<FileSystemUsage> Statfs();
  Status Sync();
  // The inode that is presented as the root (see FileSystemOptions::subdirectory).
  InodeNumber root() const;
  // Switches between read-only and read-write (remount).
  Status SetReadOnly(bool read_only);
  Result<FileSystemInfo> Info();
  const FileSystemMetrics& metrics() const;
  const kv::TransactionMetrics& transaction_metrics() const;

  // One bounded step of background work (clearing, reclaiming, counting). False: there is none
  // left, or what is left waits for other sessions.
  Result<bool> RunBackgroundStep();
  // One heartbeat, where there are sessions; for tests, and to have the others' news at once.
  // kStale: this one was declared dead; the next call joins anew.
  Status Beat();

 private:
  class Core;
  explicit FileSystem(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace tifs::fs
