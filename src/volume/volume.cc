#include "volume/volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "volume/checkpoint.h"
#include "volume/load_volume.h"
#include "volume/open_file.h"
#include "volume/table_scan.h"
#include "volume/volume_core.h"

namespace tifs::volume {
namespace {

constexpr uint32_t kMostWriteBufferBytes = 16 << 20;

Error Invalid(const char* what) { return Error(ErrorCode::kInvalid, "volume", what); }

bool HasControlCharacter(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<uint8_t>(c) < 0x20; });
}

Status CheckDevice(const block::BlockDevice& device) {
  const uint32_t block_bytes = device.geometry().block_bytes;
  if (block_bytes <= kBlockBytes) return {};
  return Error(ErrorCode::kNotSupported, "volume",
               fmt::format("the logical block of {} has {} bytes; at most {} will do",
                           device.identity(), block_bytes, kBlockBytes));
}

// So that nothing of an earlier volume is found if what follows is cut short.
Status WipeSuperblocks(GuardedDevice& device, uint64_t second_offset) {
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlockBytes));
  const std::span<char> zeros = buffer.bytes().first(kBlockBytes);
  std::ranges::fill(zeros, '\0');
  TRY(device.Write(0, zeros));
  TRY(device.Write(second_offset, zeros));
  return device.Flush(FlushKind::kSuperblock);
}

Status WriteFirstCheckpoint(GuardedDevice& device, const Superblock& superblock) {
  FileTable table(superblock.extent_unit_bytes);
  std::string bytes;
  EncodeCheckpointStart({.position = 1, .keep = 1, .next_inode = table.next_inode()}, bytes);
  TableScan scan(table);
  while (scan.NextSlice(1, bytes)) {
  }
  CheckpointWriter writer = TRY(CheckpointWriter::Begin(device, superblock, 1));
  TRY(writer.Add(bytes));
  TRY(writer.Finish());
  TRY(device.Flush(FlushKind::kCheckpoint));
  return writer.Verify();
}

VolumeIdentity IdentityOf(const Superblock& s) {
  return {.uuid = s.uuid,
          .name = s.name,
          .owner = s.owner,
          .was_closed = s.closed_at_sequence != 0,
          .generation = s.generation,
          .device_bytes = s.device_bytes,
          .extent_unit_bytes = s.extent_unit_bytes,
          .journal_bytes = s.journal_blocks * kBlockBytes,
          .checkpoint_bytes = s.checkpoint_blocks * kBlockBytes,
          .formatted_ns = s.formatted_ns};
}

}  // namespace

Status FormatOptions::Validate() const {
  if (name.size() > Superblock::kMaxVolumeNameBytes || HasControlCharacter(name)) {
    return Invalid("a volume's name has at most 64 bytes, and no control characters");
  }
  if (!std::has_single_bit(extent_unit_bytes) || extent_unit_bytes < (4 << 10) ||
      extent_unit_bytes > (16 << 20)) {
    return Invalid("the extent unit is a power of two between 4 KiB and 16 MiB");
  }
  if (journal_bytes != 0 && journal_bytes < Superblock::kMinJournalBlocks * kBlockBytes) {
    return Invalid("a journal has at least 128 KiB");
  }
  if (uuid == Uuid{}) return Invalid("a UUID is not all zeros");
  return {};
}

Status VolumeOptions::Validate() const {
  if (owner.size() > Superblock::kMaxOwnerBytes) return Invalid("the owner's name is too long");
  if (write_buffer_bytes == 0 || write_buffer_bytes % kBlockBytes != 0 ||
      write_buffer_bytes > kMostWriteBufferBytes) {
    return Invalid("a write buffer has whole blocks of 4 KiB, and at most 16 MiB");
  }
  return {};
}

Status Volume::Format(block::BlockDevice& device, const FormatOptions& options, Clock& clock) {
  TRY(options.Validate());
  TRY(CheckDevice(device));
  Superblock superblock{.uuid = options.uuid ? *options.uuid : RandomUuid(),
                        .extent_unit_bytes = options.extent_unit_bytes,
                        .name = options.name};
  const Timespec now = clock.RealTime();
  superblock.formatted_ns = now.seconds * 1'000'000'000 + now.nanoseconds;
  superblock.closed_at_sequence = 1;
  TRY(LayOut(superblock, device.size_bytes(), options.journal_bytes, options.checkpoint_bytes));
  GuardedDevice guarded(device, {});
  TRY(WipeSuperblocks(guarded, superblock.second_offset));
  TRY(WriteFirstCheckpoint(guarded, superblock));
  return WriteSuperblocks(guarded, superblock, 0);
}

Result<VolumeIdentity> Volume::ReadIdentity(block::BlockDevice& device) {
  return IdentityOf(TRY(ReadSuperblocks(device)).best);
}

Result<std::unique_ptr<Volume>> Volume::Open(std::unique_ptr<block::BlockDevice> device,
                                             const VolumeOptions& options) {
  TRY(options.Validate());
  TRY(CheckDevice(*device));
  const SuperblockCopies copies = TRY(ReadSuperblocks(*device));
  if (copies.best.read_only_compatible != 0) {
    return Error(ErrorCode::kNotSupported, "volume",
                 "it has features that this release can only read");
  }
  if (copies.foreign) {
    return Error(ErrorCode::kCorrupt, "superblock",
                 "another program has written over the first copy; if the disk is still the "
                 "volume's, check --repair restores it");
  }
  return OpenLoaded(std::move(device), options, copies, {});
}

Result<std::unique_ptr<Volume>> Volume::OpenLoaded(std::unique_ptr<block::BlockDevice> device,
                                                   const VolumeOptions& options,
                                                   const SuperblockCopies& copies,
                                                   const LoadOptions& load_options) {
  LoadedVolume loaded = TRY(LoadVolume(*device, copies, load_options));
  for (const Finding& finding : loaded.findings) {
    LogWarning("{}: {}", device->identity(), finding.text);
  }
  auto core = std::make_shared<VolumeCore>(std::move(device), options, std::move(loaded), false);
  TRY(core->BeginWriting());
  core->StartBackground();
  return std::unique_ptr<Volume>(new Volume(std::move(core)));
}

Result<std::unique_ptr<Volume>> Volume::OpenSnapshot(std::unique_ptr<block::BlockDevice> device) {
  TRY(CheckDevice(*device));
  VolumeOptions options;
  options.background = false;
  // The owner may write over what we are about to read: then it is new, and we begin again.
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    const SuperblockCopies copies = TRY(ReadSuperblocks(*device));
    // Extents that two files have are no hindrance to reading: they are among the Warnings then.
    auto loaded = LoadVolume(*device, copies, {.report_extents = attempt == kAttempts});
    if (loaded) {
      return std::unique_ptr<Volume>(new Volume(
          std::make_shared<VolumeCore>(std::move(device), options, std::move(*loaded), true)));
    }
    if (loaded.error().code() != ErrorCode::kCorrupt || attempt == kAttempts) {
      return std::move(loaded).error();
    }
  }
}

Volume::Volume(std::shared_ptr<VolumeCore> core) : core_(std::move(core)) {}

Volume::~Volume() { (void)Close(); }

Status Volume::Close() { return core_->Close(); }

// --- roots ---

Result<std::unique_ptr<Root>> Volume::OpenRoot(std::string_view name, bool create) {
  if (!IsValidRootName(name)) return Invalid("a root's name is [A-Za-z0-9._-]{1,64}");
  TRY(core_->CheckReadable());
  Root top(core_, "", FileTable::kTopInode);
  if (create) {
    Status made = top.MakeDirectory(name);
    if (!made && made.error().code() != ErrorCode::kExists &&
        (made.error().code() != ErrorCode::kReadOnly || !top.Stat(name))) {
      return std::move(made).error();
    }
  }
  auto stat = top.Stat(name);
  if (!stat && stat.error().code() == ErrorCode::kNotFound) {
    return Error(ErrorCode::kNotFound, "volume", fmt::format("there is no root {}", name));
  }
  const uint64_t inode = TRY(std::move(stat)).inode;
  return std::unique_ptr<Root>(new Root(core_, std::string(name), inode));
}

std::vector<DirectoryEntry> Volume::Roots() const {
  auto entries = Root(core_, "", FileTable::kTopInode).List("");
  return entries ? std::move(*entries) : std::vector<DirectoryEntry>();
}

Status Volume::RemoveRoot(std::string_view name) {
  if (!IsValidRootName(name)) return Invalid("a root's name is [A-Za-z0-9._-]{1,64}");
  return Root(core_, "", FileTable::kTopInode).RemoveDirectory(name);
}

// --- the whole volume ---

Status Volume::Sync() {
  TRY(core_->CheckWritable());
  TRY(core_->CommitUnsynced());
  TRY(core_->Commit(core_->LastNumber()));
  return core_->AfterChange();
}

Result<uint64_t> Volume::Grow() { return core_->GrowDevice(); }

Status Volume::Checkpoint() { return core_->WriteCheckpoint(); }

VolumeIdentity Volume::Identity() const {
  VolumeIdentity identity = IdentityOf(core_->superblock());
  identity.was_closed = core_->was_closed();
  return identity;
}

VolumeUsage Volume::Usage() const { return core_->Usage(); }

VolumeCounts Volume::Counts() const { return core_->Counts(); }

std::optional<Error> Volume::Latched() const { return core_->disk().Cause(); }

const std::vector<std::string>& Volume::Warnings() const { return core_->warnings(); }

Status Volume::Verify() const { return core_->Verify(); }

block::BlockDevice& Volume::device() { return core_->disk().device(); }

}  // namespace tifs::volume
