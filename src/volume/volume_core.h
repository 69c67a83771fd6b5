#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "volume/bounce_pool.h"
#include "volume/checkpoint.h"
#include "volume/extent_allocator.h"
#include "volume/file_table.h"
#include "volume/guarded_device.h"
#include "volume/journal.h"
#include "volume/load_volume.h"
#include "volume/read_ahead.h"
#include "volume/transfer_threads.h"
#include "volume/volume.h"

namespace tifs::volume {

// What all handles of a volume share. Locks, in the order in which they are taken: `checkpoint_`,
// an open file's, `tables_`, then those inside Journal, GuardedDevice and BouncePool. Nobody who
// holds one of the first three waits for room in the journal: that is reserved before.
class VolumeCore : public std::enable_shared_from_this<VolumeCore> {
 public:
  // `loaded` for writing, or for looking only.
  VolumeCore(std::unique_ptr<block::BlockDevice> device, const VolumeOptions& options,
             LoadedVolume loaded, bool is_snapshot);
  ~VolumeCore();

  // --- opening and closing: one thread ---

  // The superblock of this opening; redo. Then the thread, if there is to be one.
  Status BeginWriting();
  void StartBackground();
  Status Close() EXCLUDES(tables_);

  // --- what operations on names and files need ---

  // kReadOnly: latched, a snapshot, or closed.
  Status CheckWritable() const;
  // kBadHandle: closed.
  Status CheckReadable() const;
  // A place in the journal, for one record. Before any lock; may write a checkpoint.
  Result<JournalRoom> Reserve() EXCLUDES(tables_);
  // After an operation, without locks: commits or writes a checkpoint if it is time.
  Status AfterChange() EXCLUDES(tables_);
  // All records up to `number` are durable; then what they freed may be used.
  Status Commit(uint64_t number) EXCLUDES(tables_);

  Mutex& tables() RETURN_CAPABILITY(tables_) { return tables_; }
  FileTable& table() REQUIRES(tables_) { return *table_; }
  // Whether so many bytes more of a checkpoint fit. kNoSpace.
  Status CheckMetadataRoom(uint64_t bytes) const REQUIRES(tables_);
  uint64_t Log(const Record& record) REQUIRES(tables_) { return journal_.Append(record); }
  // These extents are free once the record is durable. 0: no record ever spoke of them, so at once.
  void Free(const std::vector<UnitRange>& freed, uint64_t number) REQUIRES(tables_);
  // The volume's order of records: the last one made.
  uint64_t LastNumber() const { return journal_.last_number(); }

  // Makes the file `units` long, with more than that if `generous`. kNoSpace: nothing was changed.
  // The caller holds the open file exclusively.
  Status Grow(Inode& inode, uint64_t units, bool generous) EXCLUDES(tables_);
  // Adds a file record that says as much as one can of the first `size_bytes` of the file: all of
  // them (then it has `in_place_bytes` and `tail`), or, if there are very many extents, what those
  // of one record cover; then all that it covers is in place. Returns how many bytes it speaks of.
  uint64_t LogFile(Inode& inode, uint64_t size_bytes, uint64_t in_place_bytes, std::string tail)
      REQUIRES(tables_);

  // Takes units for a sparse file, near `next_to`, so that at least `keep_free` remain, and hands
  // them to `take` under the tables' lock, in order. kNoSpace: nothing was taken.
  Status TakeForSparse(uint64_t units, uint64_t next_to, uint64_t keep_free,
                       uint64_t metadata_bytes,
                       const std::function<void(const std::vector<UnitRange>&)>& take)
      EXCLUDES(tables_);
  // Says in the superblocks, before anything relies on it, that the volume has this incompatible
  // feature.
  Status RequireFeature(uint64_t feature) EXCLUDES(tables_);

  // --- open files ---

  // The file's shared state, made if nobody has it open.
  std::shared_ptr<OpenFile> Attach(Inode& inode) REQUIRES(tables_);
  void Detach(OpenFile& file, Inode& inode) EXCLUDES(tables_);
  void Attach(SparseFile& file, Inode& inode) REQUIRES(tables_);
  void Detach(SparseFile& file, Inode& inode) EXCLUDES(tables_);
  // Bytes of it may not be in the journal, nor flushed, and no writer is left to sync them.
  void LeaveUnsynced(Inode& inode) REQUIRES(tables_);
  // A writer takes that over. Whether there was anything.
  bool TakeUnsynced(Inode& inode) REQUIRES(tables_);
  // Gives closed, unsynced files their records. Flushes.
  Status CommitUnsynced() EXCLUDES(tables_);
  const Redo& redo() const { return redo_; }

  // --- whole volume ---

  Status WriteCheckpoint() EXCLUDES(tables_);
  Result<uint64_t> GrowDevice() EXCLUDES(tables_);
  bool TakeFileLock(uint64_t inode) EXCLUDES(tables_);
  void ReleaseFileLock(uint64_t inode) EXCLUDES(tables_);
  VolumeUsage Usage() EXCLUDES(tables_);
  VolumeCounts Counts() const;
  Status Verify() EXCLUDES(tables_);
  Superblock superblock() EXCLUDES(tables_);

  GuardedDevice& disk() { return disk_; }
  BouncePool& bounce() { return bounce_; }
  TransferThreads& transfers() { return transfers_; }
  ReadAhead& read_ahead() { return read_ahead_; }
  int64_t NowNs() const;
  uint64_t unit_bytes() const { return unit_bytes_; }
  size_t write_buffer_bytes() const { return options_.write_buffer_bytes; }
  bool is_snapshot() const { return is_snapshot_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool was_closed() const { return was_closed_; }

 private:
  // The state that a checkpoint has.
  struct CheckpointInstant {
    uint64_t position = 0;
    uint64_t last_number = 0;
    std::vector<std::shared_ptr<OpenFile>> files;  // those that may have bytes in the journal only
  };

  static Superblock NextSuperblock(const LoadedVolume& loaded, const std::string& owner,
                                   bool is_snapshot);
  Status WriteCheckpointIfDue() EXCLUDES(tables_);
  Status WriteCheckpointForRoom() EXCLUDES(tables_);
  Status WriteCheckpointLocked() REQUIRES(checkpoint_) EXCLUDES(tables_);
  Status TryCheckpoint() REQUIRES(checkpoint_) EXCLUDES(tables_);
  Result<CheckpointWriter> WriteTables(uint64_t number, CheckpointInstant& instant)
      REQUIRES(checkpoint_) EXCLUDES(tables_);
  void ReleaseLocked() REQUIRES(tables_);
  void ReleaseFreed() EXCLUDES(tables_);
  Status DoRedo();
  Status DoRedo(const Inode& inode, const Redo::Tail& tail) REQUIRES(tables_);
  std::optional<std::vector<UnitRange>> TakeUnits(uint64_t needed, uint64_t wanted,
                                                  uint64_t next_to) REQUIRES(tables_);
  void RunBackground();
  void StopBackground();
  void WakeBackground() EXCLUDES(wake_);

  const std::unique_ptr<block::BlockDevice> device_;
  const VolumeOptions options_;
  const bool is_snapshot_;
  const bool was_closed_;
  const uint64_t unit_bytes_;
  GuardedDevice disk_;
  BouncePool bounce_;
  std::vector<std::string> warnings_;
  Redo redo_;  // a snapshot's; constant
  std::atomic<bool> closed_{false};
  const std::vector<SingleBlock> single_blocks_;
  const bool needs_checkpoint_;   // before anything else is written to the journal
  const size_t superblock_copy_;  // the one that was good when it was opened
  // Of all blocks that this opening writes; the superblock's may rise above it.
  const uint64_t generation_;

  Mutex checkpoint_;
  uint64_t next_checkpoint_ GUARDED_BY(checkpoint_);
  uint64_t checkpoint_position_ GUARDED_BY(checkpoint_);

  mutable Mutex tables_;
  Superblock superblock_ GUARDED_BY(tables_);
  const std::unique_ptr<FileTable> table_;  // guarded by tables_
  ExtentAllocator free_space_ GUARDED_BY(tables_);
  // By the number of the record that frees them.
  std::multimap<uint64_t, UnitRange> freed_ GUARDED_BY(tables_);
  uint64_t freed_units_ GUARDED_BY(tables_) = 0;  // those, and those being discarded
  std::unordered_set<OpenFile*> open_files_ GUARDED_BY(tables_);
  std::unordered_set<SparseFile*> open_sparse_files_ GUARDED_BY(tables_);
  // Closed files, and a stamp of when.
  std::unordered_map<uint64_t, uint64_t> unsynced_ GUARDED_BY(tables_);
  uint64_t next_stamp_ GUARDED_BY(tables_) = 1;
  std::unordered_set<uint64_t> file_locks_ GUARDED_BY(tables_);
  Journal journal_;

  Mutex releasing_;  // one thread discards; before tables_
  std::atomic<uint64_t> checkpoints_{0};
  std::atomic<uint64_t> discarded_bytes_{0};
  std::atomic<bool> discards_;
  std::atomic<bool> has_freed_{false};  // a hint: whether `freed_` has any

  Mutex wake_;  // last of all
  CondVar woken_;
  bool stopping_ GUARDED_BY(wake_) = false;
  bool has_work_ GUARDED_BY(wake_) = false;
  std::thread background_;

  ReadAhead read_ahead_;
  TransferThreads transfers_;  // last: what they do uses all the rest
};

}  // namespace tifs::volume
