#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "volume/volume_format.h"

namespace tifs::volume {

class VolumeCore;
struct Inode;

struct SparseMode {
  bool write = false;   // else every call that changes the file answers kBadHandle
  bool create = false;  // make it if there is none; needs `write`
  // The file takes no more units while that would leave less than this free on the volume.
  uint64_t keep_free_bytes = 0;
};

// A file with holes that is written anywhere: what a disk is to those who manage its space
// themselves. Space is taken by extent units when something is written to them, and given back by
// Discard. Made by Root::OpenSparse; one handle at a time, whose calls are safe from any thread.
// Nothing waits in memory: a write is on the device when it returns, durable by Sync.
//
// What a crash leaves: what was there at the last Sync, and of later writes and discards any or
// none of each logical block, in any order. A part that was a hole at the last Sync is zeros or
// what was written there since: never bytes of another file, nor older ones of this.
//
// Errors as of File. Of Discard and Truncate no kNoSpace.
class SparseFile {
 public:
  // Syncs, without reporting an error, and gives back what was allocated and not written.
  ~SparseFile();
  SparseFile(const SparseFile&) = delete;
  SparseFile& operator=(const SparseFile&) = delete;

  // Fills `out`; holes, and all beyond the end, are zeros. With offset, length and memory in whole
  // blocks of the device nothing is copied.
  Status ReadAt(uint64_t offset_bytes, std::span<char> out);
  // Calls for the same units wait for each other. kNoSpace: nothing was changed.
  Status WriteAt(uint64_t offset_bytes, std::string_view data);
  // Takes the space of a range now, so that writes to it cannot fail for want of it. Until the
  // handle is gone, or a crash. kNoSpace: nothing was taken.
  Status Allocate(uint64_t offset_bytes, uint64_t length_bytes);
  // The range reads as zeros. Whole units are given back, when that is durable.
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes);
  // Discards what lies beyond; or makes the file longer by a hole.
  Status Truncate(uint64_t size_bytes);
  // All that was done before is durable, and every operation on names before it on this volume.
  Status Sync();

  // The first offset from `offset_bytes` on that is not in a hole; the size if there is none.
  uint64_t NextData(uint64_t offset_bytes) const;
  uint64_t size_bytes() const { return size_bytes_.load(std::memory_order_acquire); }

 private:
  friend class Root;
  friend class VolumeCore;
  class BusyUnits;
  struct UnitSpan {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  // By Root, under the tables' lock.
  SparseFile(std::shared_ptr<VolumeCore> core, Inode& inode, const SparseMode& mode);
  // Of a handle that may write, before anybody has it.
  Status ClearTail();
  // Runs that no record speaks of. Under the tables' lock.
  std::vector<Extent> UnloggedRuns() const EXCLUDES(map_);

  Status CheckChange(uint64_t offset_bytes, uint64_t length_bytes) const;
  UnitSpan SpanOf(uint64_t offset_bytes, uint64_t length_bytes) const;
  // Where the units lie, ascending; with those that are allocated and not written, or without.
  std::vector<Extent> RunsOf(UnitSpan units, bool with_reserved) const EXCLUDES(map_);
  bool IsReserved(uint64_t unit) const EXCLUDES(map_);
  Status TakeMissing(UnitSpan units) EXCLUDES(map_);
  void NoteWritten(UnitSpan units, uint64_t end_bytes) EXCLUDES(map_);
  Status WriteUnits(UnitSpan units, uint64_t offset_bytes, std::string_view data)
      REQUIRES_SHARED(io_);
  Status WriteThroughBounce(const std::vector<Extent>& runs, UnitSpan bytes, UnitSpan known,
                            uint64_t offset_bytes, std::string_view data) REQUIRES_SHARED(io_);
  Status TransferWrite(const std::vector<Extent>& runs, uint64_t offset_bytes,
                       std::span<const char> data) REQUIRES_SHARED(io_);
  Status ReadRun(const Extent& run, uint64_t offset_bytes, std::span<char> out)
      REQUIRES_SHARED(io_);
  // What of a range is not in a hole becomes zeros, in place.
  Status Zero(uint64_t begin_bytes, uint64_t end_bytes);
  Status ZeroUnit(uint64_t begin_bytes, uint64_t end_bytes);
  // Gives units back, and may cut the file. A step is at most kMaxExtentUnits long.
  Status Unmap(UnitSpan units, std::optional<uint64_t> cut_at_bytes) REQUIRES(change_);
  Status UnmapStep(UnitSpan units, std::optional<uint64_t> cut_at_bytes) REQUIRES(change_);
  Status LogWritten(const std::vector<Extent>& flushed, uint64_t size_bytes) REQUIRES(change_);

  const std::shared_ptr<VolumeCore> core_;
  Inode& inode_;
  const bool writable_;
  const uint64_t unit_bytes_;
  const uint64_t block_bytes_;  // of the device
  const uint64_t keep_free_units_;

  // In the order in which they are taken; the volume's locks come between `io_` and `map_`.
  Mutex change_;      // held by Sync, Discard and Truncate
  Mutex busy_mutex_;  // held for moments
  CondVar idle_;
  std::vector<UnitSpan> busy_ GUARDED_BY(busy_mutex_);  // being written
  SharedMutex io_;  // shared by transfers; whoever takes extents away has it alone
  // For the runs, those of the inode too; they are changed under the tables' lock as well.
  mutable SharedMutex map_;
  std::vector<Extent> written_ GUARDED_BY(map_);   // and not in the journal yet
  std::vector<Extent> reserved_ GUARDED_BY(map_);  // taken; what they hold is not the file's
  std::atomic<uint64_t> size_bytes_;
  // Something was written since the last sync began.
  std::atomic<bool> dirty_{false};
};

}  // namespace tifs::volume
