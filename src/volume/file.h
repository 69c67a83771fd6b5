#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/volume_format.h"

namespace tifs::volume {

class OpenFile;
class ReadPlan;

struct FileStat {
  uint64_t inode = 0;  // never given to another file, ever
  InodeKind kind = InodeKind::kFile;
  uint32_t links = 0;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;  // of the disk, preallocation included
  int64_t modified_ns = 0;       // since 1970
};

// How a file is opened.
struct OpenMode {
  bool write = false;      // else every call that changes the file answers kBadHandle
  bool create = false;     // make it if there is none
  bool exclusive = false;  // with `create`: kExists if there is one
  bool truncate = false;   // to length 0 if there is one; needs `write`
};

// One piece of a vectored read. `out` may lie anywhere in memory.
struct ReadRequest {
  uint64_t offset_bytes = 0;
  std::span<char> out;
  // Set by the read: how many bytes there were, fewer than asked only at the end of the file.
  Result<size_t> done = size_t{0};
};

// A read under way on a queue of the caller's: submit `requests()` (all of them, in any order and
// number at a time), and when each is done call Finish. Destroying it before its requests are done
// is a use after free, as with any request. While one exists, the extents that it reads are not
// reused.
class AsyncRead {
 public:
  ~AsyncRead();
  AsyncRead(const AsyncRead&) = delete;
  AsyncRead& operator=(const AsyncRead&) = delete;

  // May be empty: then all was in memory, or beyond the end.
  std::span<block::IoRequest> requests();
  // Copies what is not in its place yet. Returns the bytes read; the error of a request that
  // failed.
  Result<size_t> Finish();

 private:
  friend class OpenFile;
  explicit AsyncRead(std::shared_ptr<OpenFile> file);

  const std::shared_ptr<OpenFile> file_;
  std::unique_ptr<ReadPlan> plan_;
  size_t size_bytes_ = 0;
};

// An open file. Handles of one file share everything but their mode. All calls are safe from any
// thread; calls that change a file wait for each other and for reads of the same file, those of
// different files do not. I/O is done on the calling thread, but for appended bytes and what
// ReadOnward reads ahead (VolumeOptions::transfer_threads).
//
// What a crash leaves: the bytes and the length of the last Sync, and of later changes any or none
// of each byte; never bytes of another file, never any beyond the end.
//
// Errors of every call that changes something: kReadOnly once the volume is latched (a write or
// flush failed) or was opened for reading only; kNoSpace: nothing was changed, and it may work once
// something was deleted; kFileTooBig beyond 2^60 bytes; kBadHandle on a handle that is closed, or
// not for writing. kIo: the device failed; after a failed write or flush the volume is latched.
class File {
 public:
  // Closes, without reporting an error.
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // --- reading ---

  // Up to out.size() bytes from `offset_bytes` on, whatever their alignment; fewer only at the end
  // of the file. Sees every byte written before, synced or not. With offset, length and memory in
  // whole blocks of the device (io_alignment_bytes), nothing is copied.
  Result<size_t> ReadAt(uint64_t offset_bytes, std::span<char> out);
  // The same for who goes on reading behind it in pieces of the same size: from 128 KiB on, the
  // next piece is read meanwhile, if there is room: 32 MiB are kept for all files of a volume.
  Result<size_t> ReadOnward(uint64_t offset_bytes, std::span<char> out);
  // All at once, in one submission; each has its own outcome. The answer is the first error.
  Status MultiRead(std::span<ReadRequest> requests);
  // The same for a caller with a queue of its own.
  Result<std::unique_ptr<AsyncRead>> PrepareRead(uint64_t offset_bytes, std::span<char> out);

  // --- writing ---

  // At the end. Whole or, with an error, not at all (but for a latched volume). Bytes wait in
  // memory until they fill a buffer (VolumeOptions::write_buffer_bytes) or something asks for them;
  // up to four buffers are on their way to the device behind the caller's back. What fails there
  // latches the volume and is answered by a later call, by Sync or Close at the latest.
  Status Append(std::string_view data);
  // Overwrites, and appends what goes beyond the end; a gap before it becomes zeros.
  Status WriteAt(uint64_t offset_bytes, std::string_view data);
  // Cuts, or appends zeros.
  Status Truncate(uint64_t size_bytes);
  // Reserves space up to `end_bytes`, so that writes below it cannot fail for want of space. Never
  // moves the end of the file; until the last handle that may write is closed, or a crash.
  Status Allocate(uint64_t end_bytes);
  // Starts what bytes wait in memory on their way to the device, without making them durable.
  Status WriteBack();
  // All bytes written before and the length are durable, and every operation on names before it on
  // this volume. Threads that sync at the same time share flushes.
  Status Sync();

  // --- both ---

  uint64_t size_bytes() const;
  FileStat Stat() const;
  // What offsets, lengths and memory must be multiples of to be transferred without a copy.
  uint32_t io_alignment_bytes() const;
  // Writes out what waits in memory; durable only by Sync. Gives preallocated space back. The
  // handle is closed whatever the answer is; more calls are kBadHandle. The space of a deleted file
  // is free when the handle is destroyed.
  Status Close();

 private:
  friend class Root;
  File(std::shared_ptr<OpenFile> file, bool writable);
  Status Readable() const;
  Status Writable() const;

  const std::shared_ptr<OpenFile> file_;
  const bool writable_;
  std::atomic<bool> closed_{false};
};

}  // namespace tifs::volume
