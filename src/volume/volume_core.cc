#include "volume/volume_core.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "volume/open_file.h"
#include "volume/sparse_file.h"

namespace tifs::volume {
namespace {

// Files grow by as much as they have, up to this, so that large ones have few extents.
constexpr uint64_t kMaxGrowthBytes = 16 << 20;
// What a checkpoint has besides inodes.
constexpr uint64_t kCheckpointFrameBytes = 64;

std::vector<std::string> WarningsOf(const LoadedVolume& loaded) {
  std::vector<std::string> texts;
  for (const Finding& finding : loaded.findings) texts.push_back(finding.text);
  return texts;
}

}  // namespace

VolumeCore::VolumeCore(std::unique_ptr<block::BlockDevice> device, const VolumeOptions& options,
                       LoadedVolume loaded, bool is_snapshot)
    : device_(std::move(device)),
      options_(options),
      is_snapshot_(is_snapshot),
      was_closed_(loaded.superblock.closed_at_sequence != 0),
      unit_bytes_(loaded.superblock.extent_unit_bytes),
      disk_(*device_, options.skip_flush),
      bounce_(disk_),
      warnings_(WarningsOf(loaded)),
      redo_(std::move(loaded.redo)),
      single_blocks_(loaded.single_blocks),
      needs_checkpoint_(loaded.needs_checkpoint),
      superblock_copy_(loaded.superblock_copy),
      generation_(loaded.superblock.generation + (is_snapshot ? 0 : 1)),
      next_checkpoint_(loaded.last_checkpoint + 1),
      checkpoint_position_(loaded.journal.checkpoint),
      superblock_(NextSuperblock(loaded, options.owner, is_snapshot)),
      table_(std::move(loaded.table)),
      free_space_(std::move(loaded.free_space)),
      journal_(disk_, superblock_, loaded.journal),
      discards_(options.discard && device_->geometry().has_discard),
      read_ahead_(transfers_, disk_),
      transfers_(is_snapshot ? 0 : options.transfer_threads) {}

VolumeCore::~VolumeCore() { StopBackground(); }

Superblock VolumeCore::NextSuperblock(const LoadedVolume& loaded, const std::string& owner,
                                      bool is_snapshot) {
  Superblock superblock = loaded.superblock;
  if (is_snapshot) return superblock;
  ++superblock.generation;
  superblock.closed_at_sequence = 0;
  superblock.journal_from_sequence = loaded.journal.next_sequence;
  superblock.journal_generation = superblock.generation;
  superblock.owner = owner;
  return superblock;
}

int64_t VolumeCore::NowNs() const {
  const Timespec now = options_.clock->RealTime();
  return now.seconds * 1'000'000'000 + now.nanoseconds;
}

// --- opening and closing ---

Status VolumeCore::BeginWriting() {
  // The superblock will say that all of the journal that was read was there.
  TRY(MendJournal(disk_, superblock(), single_blocks_));
  // The flushes in this also cover what was read a moment ago: if a process died and not the power,
  // it may be in the device's cache only, and the blocks of the journal to come say that it is
  // durable.
  TRY(WriteSuperblocks(disk_, superblock(), 1 - superblock_copy_));
  TRY(DoRedo());
  redo_ = {};
  return needs_checkpoint_ ? WriteCheckpoint() : Status{};
}

// Needs no flush: until the next checkpoint, which has one, the journal has these bytes.
Status VolumeCore::DoRedo() {
  for (const auto& [number, tail] : redo_.tails()) {
    MutexLock lock(tables_);
    const Inode* inode = table_->Find(number);
    if (inode != nullptr) TRY(DoRedo(*inode, tail));
  }
  return {};
}

Status VolumeCore::DoRedo(const Inode& inode, const Redo::Tail& tail) {
  const uint64_t block = disk_.geometry().block_bytes;
  const uint64_t begin = RoundDown(tail.offset_bytes, block);
  const uint64_t skipped = tail.offset_bytes - begin;
  block::DmaBuffer buffer = TRY(disk_.AllocateBuffer(RoundUp(skipped + tail.bytes.size(), block)));
  const std::span<char> bytes = buffer.bytes().first(RoundUp(skipped + tail.bytes.size(), block));
  std::memset(bytes.data(), 0, bytes.size());
  if (skipped != 0) {
    const Placement place = FindPlacement(inode.extents, unit_bytes_, begin, block);
    TRY(disk_.Read(place.device_offset_bytes, bytes.first(block)));
  }
  std::memcpy(bytes.data() + skipped, tail.bytes.data(), tail.bytes.size());
  for (size_t done = 0; done < bytes.size();) {
    const Placement place =
        FindPlacement(inode.extents, unit_bytes_, begin + done, bytes.size() - done);
    TRY(disk_.Write(place.device_offset_bytes, bytes.subspan(done, place.size_bytes)));
    done += place.size_bytes;
  }
  return {};
}

Status VolumeCore::Close() {
  StopBackground();
  transfers_.Stop();
  if (is_snapshot_ || closed_) {
    closed_ = true;
    return {};
  }
  const auto close = [this]() -> Status {
    TRY(CommitUnsynced());
    TRY(WriteCheckpoint());
    TRY(Commit(LastNumber()));
    Superblock superblock = this->superblock();
    ++superblock.generation;
    superblock.closed_at_sequence = journal_.next_sequence();
    closed_ = true;
    return WriteSuperblocks(disk_, superblock, 0);
  };
  Status closed = close();
  closed_ = true;
  return closed;
}

// --- what operations need ---

Status VolumeCore::CheckWritable() const {
  if (is_snapshot_) return Error(ErrorCode::kReadOnly, "volume", "opened for reading only");
  if (closed_) return Error(ErrorCode::kReadOnly, "volume", "closed");
  return disk_.Check();
}

Status VolumeCore::CheckReadable() const {
  if (closed_) return Error(ErrorCode::kBadHandle, "volume", "closed");
  return {};
}

Result<JournalRoom> VolumeCore::Reserve() {
  while (!journal_.TryReserve()) {
    TRY(CheckWritable());
    if (!journal_.WaitForRoom()) TRY(WriteCheckpointForRoom());
  }
  return JournalRoom(journal_);
}

Status VolumeCore::AfterChange() {
  if (journal_.WantsCommit()) TRY(Commit(LastNumber()));
  if (!journal_.WantsCheckpoint()) return {};
  if (options_.background) {
    WakeBackground();
    return {};
  }
  // Another thread may be at it.
  return WriteCheckpointIfDue();
}

Status VolumeCore::Commit(uint64_t number) {
  TRY(journal_.Commit(number));
  if (!has_freed_) return {};
  if (options_.background && discards_) {
    WakeBackground();
  } else {
    ReleaseFreed();
  }
  return {};
}

Status VolumeCore::CheckMetadataRoom(uint64_t bytes) const {
  if (table_->encoded_bytes() + bytes + kCheckpointFrameBytes <=
      superblock_.checkpoint_capacity_bytes()) {
    return {};
  }
  return Error(ErrorCode::kNoSpace, "volume", "no room for more names or extents");
}

// --- space ---

void VolumeCore::Free(const std::vector<UnitRange>& freed, uint64_t number) {
  for (const UnitRange& range : freed) {
    // What no record ever spoke of is free at once, and hardly worth a discard.
    if (number == 0) {
      free_space_.Add(range);
      continue;
    }
    freed_.emplace(number, range);
    freed_units_ += range.count;
  }
  has_freed_ = !freed_.empty();
}

void VolumeCore::ReleaseLocked() {
  const auto end = freed_.upper_bound(journal_.durable_number());
  for (auto at = freed_.begin(); at != end; ++at) {
    free_space_.Add(at->second);
    freed_units_ -= at->second.count;
  }
  freed_.erase(freed_.begin(), end);
  has_freed_ = !freed_.empty();
}

void VolumeCore::ReleaseFreed() {
  MutexLock releasing(releasing_);
  std::vector<UnitRange> ranges;
  {
    MutexLock lock(tables_);
    if (!discards_) return ReleaseLocked();
    const auto end = freed_.upper_bound(journal_.durable_number());
    for (auto at = freed_.begin(); at != end; ++at) ranges.push_back(at->second);
    freed_.erase(freed_.begin(), end);
    has_freed_ = !freed_.empty();
  }
  for (const UnitRange& range : ranges) {
    Status discarded = disk_.Discard(range.start * unit_bytes_, range.count * unit_bytes_);
    if (discarded) discarded_bytes_ += range.count * unit_bytes_;
    if (!discarded) discards_ = false;
  }
  MutexLock lock(tables_);
  for (const UnitRange& range : ranges) {
    free_space_.Add(range);
    freed_units_ -= range.count;
  }
}

std::optional<std::vector<UnitRange>> VolumeCore::TakeUnits(uint64_t needed, uint64_t wanted,
                                                            uint64_t next_to) {
  if (free_space_.free_units() < needed) return std::nullopt;
  std::vector<UnitRange> taken;
  uint64_t total = 0;
  while (total < needed) {
    const UnitRange range = free_space_.Allocate(std::max(wanted, needed) - total, next_to);
    taken.push_back(range);
    total += range.count;
    wanted = needed;
    next_to = range.end();
  }
  return taken;
}

Status VolumeCore::Grow(Inode& inode, uint64_t units, bool generous) {
  for (int attempt = 0;; ++attempt) {
    {
      MutexLock lock(tables_);
      const uint64_t has = inode.units();
      const uint64_t needed = units - has;
      const uint64_t wanted =
          generous
              ? std::clamp<uint64_t>(has, needed, std::max(needed, kMaxGrowthBytes / unit_bytes_))
              : needed;
      const uint64_t next_to = inode.extents.empty() ? 0 : inode.extents.back().units.end();
      const auto taken = TakeUnits(needed, wanted, next_to);
      if (taken) {
        const Status fits = CheckMetadataRoom(taken->size() * kEncodedExtentBytes);
        for (const UnitRange& range : *taken) {
          if (fits) {
            table_->AppendExtent(inode, range);
          } else {
            free_space_.Add(range);
          }
        }
        return fits.ok() ? Status{} : fits.error().Clone();
      }
      if (attempt != 0 || freed_units_ == 0) {
        return Error(ErrorCode::kNoSpace, "volume", "the volume is full");
      }
    }
    // Perhaps enough was freed by operations that are not durable yet.
    TRY(journal_.Commit(LastNumber()));
    ReleaseFreed();
  }
}

Status VolumeCore::TakeForSparse(uint64_t units, uint64_t next_to, uint64_t keep_free,
                                 uint64_t metadata_bytes,
                                 const std::function<void(const std::vector<UnitRange>&)>& take) {
  for (int attempt = 0;; ++attempt) {
    {
      MutexLock lock(tables_);
      if (free_space_.free_units() >= units + keep_free) {
        const auto taken = TakeUnits(units, units, next_to);
        CHECK(taken.has_value());
        Status fits = CheckMetadataRoom(metadata_bytes + taken->size() * kEncodedRunBytes);
        if (!fits) {
          for (const UnitRange& range : *taken) free_space_.Add(range);
          return fits;
        }
        take(*taken);
        return {};
      }
      if (attempt != 0 || freed_units_ == 0) {
        return Error(ErrorCode::kNoSpace, "volume", "the volume is full");
      }
    }
    TRY(journal_.Commit(LastNumber()));
    ReleaseFreed();
  }
}

uint64_t VolumeCore::LogFile(Inode& inode, uint64_t size_bytes, uint64_t in_place_bytes,
                             std::string tail) {
  if (inode.names() == 0) {
    inode.committed_bytes = size_bytes;  // nobody will look
    return size_bytes;
  }
  FileRecord record{.inode = inode.number,
                    .size_bytes = size_bytes,
                    .modified_ns = inode.modified_ns,
                    .in_place_bytes = in_place_bytes,
                    .from_unit = UnitsFor(std::min(inode.committed_bytes, size_bytes), unit_bytes_),
                    .tail = std::move(tail)};
  const uint64_t units = UnitsFor(size_bytes, unit_bytes_);
  uint64_t covered = record.from_unit;
  for (const Extent& extent : inode.extents) {
    if (extent.file_end() <= covered) continue;
    if (covered == units || record.extents.size() == kMaxRecordExtents) break;
    const uint64_t skipped = covered - extent.file_unit;
    const uint64_t count = std::min(extent.file_end(), units) - covered;
    record.extents.push_back({extent.units.start + skipped, count});
    covered += count;
  }
  if (covered < units) {
    record.size_bytes = covered * unit_bytes_;
    record.in_place_bytes = record.size_bytes;
    record.tail.clear();
  }
  Log(record);
  table_->SetCommitted(inode, record.size_bytes);
  return record.size_bytes;
}

// --- open files ---

std::shared_ptr<OpenFile> VolumeCore::Attach(Inode& inode) {
  if (inode.open != nullptr) {
    if (auto file = inode.open->weak_from_this().lock()) return file;
    open_files_.erase(inode.open);  // on its way out, and waiting for our lock
  }
  auto file = std::make_shared<OpenFile>(shared_from_this(), inode);
  inode.open = file.get();
  open_files_.insert(file.get());
  return file;
}

void VolumeCore::Detach(OpenFile& file, Inode& inode) {
  MutexLock lock(tables_);
  // If another was attached in its place, the inode may be gone.
  if (open_files_.erase(&file) == 0) return;
  inode.open = nullptr;
  if (inode.names() != 0) return;
  std::vector<UnitRange> freed;
  table_->EraseOrphan(inode, freed);
  Free(freed, LastNumber());
}

void VolumeCore::Attach(SparseFile& file, Inode& inode) {
  inode.open_sparse = &file;
  open_sparse_files_.insert(&file);
}

void VolumeCore::Detach(SparseFile& file, Inode& inode) {
  MutexLock lock(tables_);
  open_sparse_files_.erase(&file);
  inode.open_sparse = nullptr;
  if (inode.names() != 0) return;
  std::vector<UnitRange> freed;
  table_->EraseOrphan(inode, freed);
  Free(freed, LastNumber());
}

void VolumeCore::LeaveUnsynced(Inode& inode) {
  inode.unsynced = true;
  unsynced_[inode.number] = next_stamp_++;
}

bool VolumeCore::TakeUnsynced(Inode& inode) {
  if (!inode.unsynced) return false;
  inode.unsynced = false;
  unsynced_.erase(inode.number);
  return true;
}

Status VolumeCore::CommitUnsynced() {
  std::unordered_map<uint64_t, uint64_t> closed;
  {
    MutexLock lock(tables_);
    closed = unsynced_;
  }
  if (closed.empty()) return {};
  TRY(disk_.Flush(FlushKind::kData));
  for (const auto& [number, stamp] : closed) {
    for (bool done = false; !done;) {
      JournalRoom room = TRY(Reserve());
      MutexLock lock(tables_);
      // No writer has come since, so its bytes are those that were flushed.
      const auto at = unsynced_.find(number);
      if (at == unsynced_.end() || at->second != stamp) break;
      Inode* inode = table_->Find(number);
      done = inode == nullptr ||
             LogFile(*inode, inode->size_bytes, inode->size_bytes, {}) == inode->size_bytes;
      if (!done) continue;
      if (inode != nullptr) inode->unsynced = false;
      unsynced_.erase(at);
    }
  }
  return {};
}

// --- locks, figures ---

bool VolumeCore::TakeFileLock(uint64_t inode) {
  MutexLock lock(tables_);
  return file_locks_.insert(inode).second;
}

void VolumeCore::ReleaseFileLock(uint64_t inode) {
  MutexLock lock(tables_);
  file_locks_.erase(inode);
}

Superblock VolumeCore::superblock() {
  MutexLock lock(tables_);
  return superblock_;
}

VolumeUsage VolumeCore::Usage() {
  MutexLock lock(tables_);
  uint64_t units = 0;
  for (const UnitRange& region : superblock_.DataRegions()) units += region.count;
  return {.total_bytes = units * unit_bytes_,
          .free_bytes = free_space_.free_units() * unit_bytes_,
          .reclaimable_bytes = freed_units_ * unit_bytes_,
          .files = table_->files(),
          .directories = table_->directories(),
          .metadata_bytes = table_->encoded_bytes() + kCheckpointFrameBytes,
          .metadata_limit_bytes = superblock_.checkpoint_capacity_bytes()};
}

VolumeCounts VolumeCore::Counts() const {
  return {.journal_records = journal_.records(),
          .journal_blocks = journal_.blocks(),
          .commits = journal_.commits(),
          .flushes = disk_.flushes(),
          .checkpoints = checkpoints_,
          .discarded_bytes = discarded_bytes_};
}

Status VolumeCore::Verify() {
  MutexLock releasing(releasing_);  // nothing is on its way to a discard
  MutexLock lock(tables_);
  ExtentAllocator left;
  for (const UnitRange& region : superblock_.DataRegions()) left.Add(region);
  const auto take = [&left](UnitRange range, const char* whose) -> Status {
    if (left.TakeExactly(range)) return {};
    return Error(ErrorCode::kCorrupt, "volume", whose);
  };
  uint64_t encoded_bytes = 0;
  for (const auto& [number, inode] : table_->inodes()) {
    for (const Extent& extent : inode.extents) TRY(take(extent.units, "an extent of two files"));
    if (&inode == &table_->top()) continue;
    const bool is_sparse = inode.kind == InodeKind::kSparseFile;
    encoded_bytes += kEncodedInodeBytes +
                     inode.extents.size() * (is_sparse ? kEncodedRunBytes : kEncodedExtentBytes);
    if (inode.first_name.parent != nullptr) {
      encoded_bytes += EncodedNameBytes(*inode.first_name.name);
    }
    if (inode.more_names) {
      for (const Name& name : *inode.more_names) encoded_bytes += EncodedNameBytes(*name.name);
    }
  }
  if (encoded_bytes != table_->encoded_bytes()) {
    return Error(ErrorCode::kCorrupt, "volume", "the size of a checkpoint is miscounted");
  }
  for (const SparseFile* file : open_sparse_files_) {
    for (const Extent& run : file->UnloggedRuns()) {
      TRY(take(run.units, "an extent of two files"));
    }
  }
  uint64_t freed = 0;
  for (const auto& [number, range] : freed_) {
    TRY(take(range, "a freed extent that a file has"));
    freed += range.count;
  }
  // Of files that were cut while they were read; they are waited for in the open files.
  if (left.free_units() < free_space_.free_units() || freed != freed_units_) {
    return Error(ErrorCode::kCorrupt, "volume", "free and used extents are not all there are");
  }
  return table_->CheckTree();
}

// --- the thread ---

void VolumeCore::StartBackground() {
  if (options_.background && !is_snapshot_) {
    background_ = std::thread([this] { RunBackground(); });
  }
}

void VolumeCore::StopBackground() {
  {
    MutexLock lock(wake_);
    stopping_ = true;
    woken_.NotifyAll();
  }
  if (background_.joinable()) background_.join();
}

void VolumeCore::WakeBackground() {
  MutexLock lock(wake_);
  has_work_ = true;
  woken_.NotifyAll();
}

void VolumeCore::RunBackground() {
  const std::chrono::milliseconds interval(options_.commit_interval_ms);
  while (true) {
    bool is_time = false;
    {
      MutexLock lock(wake_);
      while (!stopping_ && !has_work_ && !is_time) {
        if (options_.commit_interval_ms == 0) {
          woken_.Wait(wake_);
        } else {
          is_time = !options_.clock->WaitFor(woken_, wake_, interval);
        }
      }
      if (stopping_) return;
      has_work_ = false;
    }
    // What fails has latched the volume, and whoever calls next is told.
    if (is_time && CommitUnsynced()) (void)journal_.Commit(LastNumber());
    ReleaseFreed();
    (void)WriteCheckpointIfDue();
  }
}

}  // namespace tifs::volume
