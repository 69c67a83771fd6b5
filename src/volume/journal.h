#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/result.h"
#include "base/sync.h"
#include "volume/guarded_device.h"
#include "volume/journal_record.h"
#include "volume/superblock.h"

namespace tifs::volume {

// The ring of metadata records, written to two copies (docs/volume_format.md, "Journal"). Records
// wait in memory; a thread that commits writes all that wait, and flushes once for all threads that
// wait with it. Invariants: at most one commit writes at a time; a block says of which sequence
// numbers it knows that they are durable; blocks from `keep` on are never overwritten; what waits
// and what is reserved always fits into the ring, so that a commit never waits for a checkpoint.
// Safe for use by several threads.
class Journal {
 public:
  struct Position {
    uint64_t next_sequence = 1;
    uint64_t keep = 1;        // blocks below are not needed
    uint64_t checkpoint = 1;  // the position of the last checkpoint
  };

  // `device` must live longer.
  Journal(GuardedDevice& device, const Superblock& superblock, Position position);

  // --- room: before an operation takes any lock ---

  // Room for one record. False: there is none until a checkpoint was written, or others are done.
  bool TryReserve() EXCLUDES(mutex_);
  bool HasRoom() const EXCLUDES(mutex_);
  // Of a reservation that is no longer needed, the record appended or not.
  void Unreserve() EXCLUDES(mutex_);
  // Waits until there may be room without a checkpoint. False at once if only a checkpoint makes
  // it.
  bool WaitForRoom() EXCLUDES(mutex_);

  // --- records ---

  // Adds a record and returns its number; it waits for a commit. The caller holds a reservation,
  // and the lock that makes this order the order of the operations.
  uint64_t Append(const Record& record) EXCLUDES(mutex_);
  // The number of the last record. What is not durable yet is above durable_number().
  uint64_t last_number() const EXCLUDES(mutex_);
  uint64_t durable_number() const EXCLUDES(mutex_);
  // All records up to `number` are durable when it returns well.
  Status Commit(uint64_t number) EXCLUDES(mutex_);
  // Whether so much waits that somebody should commit.
  bool WantsCommit() const EXCLUDES(mutex_);

  // --- checkpoints ---

  // What waits gets its sequence numbers, and the next one is returned: records from now on stand
  // there or later. Under the lock that orders operations.
  uint64_t Seal() EXCLUDES(mutex_);
  // A checkpoint begins at `position`: when the next one is due is counted from there.
  void CheckpointBegan(uint64_t position) EXCLUDES(mutex_);
  // Blocks below `keep` are not needed any more.
  void Release(uint64_t keep) EXCLUDES(mutex_);
  // A quarter of the ring was written since the last one.
  bool WantsCheckpoint() const EXCLUDES(mutex_);

  // Where the next record goes if nothing waits.
  uint64_t next_sequence() const EXCLUDES(mutex_);
  uint64_t records() const EXCLUDES(mutex_);
  uint64_t blocks() const EXCLUDES(mutex_);
  uint64_t commits() const EXCLUDES(mutex_);

 private:
  struct Batch {
    uint64_t sequence = 0;  // of its first block
    uint64_t last_number = 0;
    std::string payload;
  };

  // Of blocks, what a reservation takes.
  static constexpr uint64_t kReservedBlocks = (kMaxRecordBytes + kPayloadBytes - 1) / kPayloadBytes;

  static uint64_t BlocksFor(uint64_t bytes) { return UnitsFor(bytes, kPayloadBytes); }
  uint64_t FreeBlocks() const REQUIRES(mutex_);
  void SealWaiting() REQUIRES(mutex_);
  Status CommitWaiting() REQUIRES(mutex_);
  Status WriteBatches(const std::deque<Batch>& batches, uint64_t durable_below);
  Status WriteBlocks(std::span<const std::string_view> payloads, const BlockHeader& first,
                     uint32_t last_flags);

  GuardedDevice& device_;
  const Superblock superblock_;

  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t next_sequence_ GUARDED_BY(mutex_);  // of what is not sealed yet
  uint64_t keep_ GUARDED_BY(mutex_);
  uint64_t checkpoint_position_ GUARDED_BY(mutex_);
  uint64_t durable_below_ GUARDED_BY(mutex_);  // sequence numbers
  uint64_t reserved_ GUARDED_BY(mutex_) = 0;   // reservations
  std::string waiting_ GUARDED_BY(mutex_);
  std::deque<Batch> sealed_ GUARDED_BY(mutex_);
  uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  uint64_t durable_number_ GUARDED_BY(mutex_) = 0;
  bool committing_ GUARDED_BY(mutex_) = false;
  uint64_t blocks_ GUARDED_BY(mutex_) = 0;
  uint64_t commits_ GUARDED_BY(mutex_) = 0;
  // Only by the thread that commits.
  block::DmaBuffer buffer_;
};

// A place for one record, from before an operation takes its locks.
class JournalRoom {
 public:
  explicit JournalRoom(Journal& journal) : journal_(&journal) {}
  JournalRoom(JournalRoom&& other) noexcept : journal_(std::exchange(other.journal_, nullptr)) {}
  JournalRoom& operator=(JournalRoom&&) = delete;
  ~JournalRoom() {
    if (journal_ != nullptr) journal_->Unreserve();
  }

 private:
  Journal* journal_;
};

}  // namespace tifs::volume
