// The part of VolumeCore that writes checkpoints and changes the size: docs/volume_format.md,
// "Checkpoint", has the numbered steps.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "block/io_class.h"
#include "volume/checkpoint.h"
#include "volume/open_file.h"
#include "volume/table_scan.h"
#include "volume/volume_core.h"

namespace tifs::volume {
namespace {

// Inodes that are encoded under the lock of the tables at a time: some tens of microseconds.
constexpr size_t kSliceInodes = 256;

}  // namespace

Status VolumeCore::WriteCheckpoint() {
  MutexLock lock(checkpoint_);
  return WriteCheckpointLocked();
}

Status VolumeCore::WriteCheckpointIfDue() {
  MutexLock lock(checkpoint_);
  if (!journal_.WantsCheckpoint()) return {};
  return WriteCheckpointLocked();
}

Status VolumeCore::WriteCheckpointForRoom() {
  MutexLock lock(checkpoint_);
  // Another thread may have made room meanwhile.
  if (journal_.HasRoom()) return {};
  return WriteCheckpointLocked();
}

Status VolumeCore::WriteCheckpointLocked() {
  TRY(CheckWritable());
  // Others may wait for it, whoever writes it.
  const block::IoScope foreground(block::IoClass::kForeground);
  Status verified = TryCheckpoint();
  if (!verified && disk_.Check()) {
    // A place that does not keep what is written to it. The next slot is another one.
    LogWarning("{}: {}: trying the next slot", device_->identity(), verified.error().ToString());
    verified = TryCheckpoint();
    if (!verified) disk_.Latch(verified.error());
  }
  return verified;
}

Status VolumeCore::TryCheckpoint() {
  const uint64_t number = next_checkpoint_++;
  CheckpointInstant instant;
  // 1 and 2
  auto writer = WriteTables(number, instant);
  if (!writer) {
    // Without checkpoints the journal runs full some time; better to stop now, all being in order.
    disk_.Latch(writer.error());
    return std::move(writer).error();
  }
  // 3: with its last blocks the checkpoint counts, so all that it relies on is durable first.
  TRY(journal_.Commit(instant.last_number));
  for (const std::shared_ptr<OpenFile>& file : instant.files) TRY(file->WriteLogged());
  instant.files.clear();
  TRY(disk_.Flush(FlushKind::kData));
  TRY(writer->Finish());
  TRY(disk_.Flush(FlushKind::kCheckpoint));
  TRY(writer->Verify());                   // 4
  journal_.Release(checkpoint_position_);  // 5
  checkpoint_position_ = instant.position;
  ++checkpoints_;
  if (journal_.TryReserve()) {
    JournalRoom room(journal_);
    MutexLock lock(tables_);
    Log(CheckpointRecord{.number = number});
  }
  return {};
}

Result<CheckpointWriter> VolumeCore::WriteTables(uint64_t number, CheckpointInstant& instant) {
  Superblock superblock = this->superblock();
  superblock.generation = generation_;
  CheckpointWriter writer = TRY(CheckpointWriter::Begin(disk_, superblock, number));
  std::optional<TableScan> scan;
  std::string bytes;
  {
    MutexLock lock(tables_);
    instant.position = journal_.Seal();
    instant.last_number = journal_.last_number();
    journal_.CheckpointBegan(instant.position);
    EncodeCheckpointStart({.position = instant.position,
                           .keep = checkpoint_position_,
                           .next_inode = table_->next_inode()},
                          bytes);
    scan.emplace(*table_);
    for (OpenFile* file : open_files_) {
      // One that is on its way out has no writer any more, so all of it is in its extents.
      if (auto owned = file->weak_from_this().lock()) instant.files.push_back(std::move(owned));
    }
    // So that a run is repeated by its seed.
    std::ranges::sort(instant.files, {}, &OpenFile::inode_number);
  }
  Status written;
  for (bool more = true; more && written.ok();) {
    {
      MutexLock lock(tables_);
      more = scan->NextSlice(kSliceInodes, bytes);
    }
    written = writer.Add(bytes);
    bytes.clear();
  }
  {
    MutexLock lock(tables_);
    scan.reset();
  }
  if (!written) return std::move(written).error();
  return writer;
}

Status VolumeCore::RequireFeature(uint64_t feature) {
  MutexLock checkpoint(checkpoint_);
  TRY(CheckWritable());
  Superblock with = superblock();
  if ((with.incompatible & feature) == feature) return {};
  with.incompatible |= feature;
  ++with.generation;
  TRY(WriteSuperblocks(disk_, with, 0));
  MutexLock lock(tables_);
  superblock_ = with;
  return {};
}

Result<uint64_t> VolumeCore::GrowDevice() {
  TRY(CheckWritable());
  MutexLock checkpoint(checkpoint_);
  const uint64_t bytes = TRY(device_->RefreshSize());
  const Superblock before = superblock();
  Superblock grown = before;
  grown.device_bytes = RoundDown(bytes, kBlockBytes);
  grown.second_offset = SecondSuperblockOffset(bytes);
  ++grown.generation;
  if (grown.device_bytes < before.device_bytes) {
    return Error(ErrorCode::kInvalid, "volume",
                 fmt::format("the device has shrunk to {} bytes", bytes));
  }
  if (grown.device_bytes == before.device_bytes || bytes > kMaxDeviceBytes) {
    return before.device_bytes;
  }
  // Less than the grain of its place: copy 1 stays where it is.
  TRY(WriteSuperblock(disk_, grown, grown.second_offset));
  TRY(WriteSuperblock(disk_, grown, 0));
  MutexLock lock(tables_);
  superblock_ = grown;
  ExtentAllocator all;
  for (const UnitRange& region : grown.DataRegions()) all.Add(region);
  for (const UnitRange& region : before.DataRegions()) CHECK(all.TakeExactly(region));
  for (const UnitRange& range : all.FreeRuns()) free_space_.Add(range);
  return grown.device_bytes;
}

}  // namespace tifs::volume
