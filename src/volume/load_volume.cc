#include "volume/load_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/coding.h"
#include "volume/checkpoint.h"
#include "volume/table_scan.h"

namespace tifs::volume {
namespace {

void Warn(LoadedVolume& loaded, std::string text) {
  loaded.findings.push_back({Finding::Severity::kWarning, std::move(text)});
}

void ReportSuperblocks(const SuperblockCopies& copies, LoadedVolume& loaded) {
  for (size_t i = 0; i < copies.faults.size(); ++i) {
    if (copies.faults[i].empty()) continue;
    Warn(loaded, fmt::format("superblock copy {}: {}", i, copies.faults[i]));
  }
}

// The slot of the next checkpoint may be as a crash left it while that was written; if it was
// complete, the journal says so.
void ReportSlots(std::span<const SlotState> slots, LoadedVolume& loaded) {
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].fault.empty() || i == (loaded.checkpoint_number + 1) % slots.size()) continue;
    Warn(loaded, fmt::format("checkpoint slot {}: {}", i, slots[i].fault));
  }
}

struct LoadedCheckpoint {
  CheckpointStart start;
  uint64_t generation = 0;
};

// The valid checkpoint with the highest number, into a new table.
Result<LoadedCheckpoint> LoadCheckpoint(block::BlockDevice& device, LoadedVolume& loaded) {
  auto slots = ReadSlots(device, loaded.superblock);
  const auto as_found = slots;
  std::ranges::sort(slots, std::greater(), &SlotState::number);
  std::string faults;
  for (const SlotState& slot : slots) {
    if (slot.number == 0) continue;
    loaded.last_checkpoint = std::max(loaded.last_checkpoint, slot.number);
    auto bytes = ReadCheckpoint(device, loaded.superblock, slot);
    loaded.table = std::make_unique<FileTable>(loaded.superblock.extent_unit_bytes);
    if (bytes) {
      auto start = LoadTable(*bytes, *loaded.table);
      if (start) {
        loaded.checkpoint_number = slot.number;
        ReportSlots(as_found, loaded);
        return LoadedCheckpoint{*start, slot.generation};
      }
      // Its checksums are right: no crash leaves this, and no older checkpoint is better.
      return Error(ErrorCode::kCorrupt, "checkpoint",
                   fmt::format("{}: {}", slot.number, start.error().ToString()));
    }
    // A crash while it was written leaves this, too: the journal knows (NoteCheckpoint).
    faults += bytes.error().ToString() + "; ";
  }
  return Error(ErrorCode::kCorrupt, "volume", "no checkpoint can be read: " + faults);
}

struct RecordApplier {
  LoadedVolume& loaded;
  std::vector<UnitRange> freed;  // free space is found by other means

  Status operator()(const CreateRecord& record) { return loaded.table->Apply(record); }
  Status operator()(const LinkRecord& record) { return loaded.table->Apply(record); }
  Status operator()(const UnlinkRecord& record) { return loaded.table->Apply(record, freed); }
  Status operator()(const RenameRecord& record) { return loaded.table->Apply(record, freed); }
  Status operator()(const FileRecord& record) {
    TRY(loaded.table->Apply(record));
    loaded.redo.Apply(record);
    return {};
  }
  Status operator()(const MapRecord& record) { return loaded.table->Apply(record, freed); }
  Status operator()(const CheckpointRecord& record) {
    if (record.number > loaded.checkpoint_number) {
      Warn(loaded, fmt::format("checkpoint {} is damaged; {} and the journal since were used",
                               record.number, loaded.checkpoint_number));
    }
    loaded.last_checkpoint = std::max(loaded.last_checkpoint, record.number);
    return {};
  }
};

Status ReportDamage(const JournalEnd& end, const LoadOptions& options, LoadedVolume& loaded) {
  const uint64_t closed_at = loaded.superblock.closed_at_sequence;
  std::string text;
  if (end.lost) {
    text = fmt::format("block {} is bad in both copies, and {} later ones are there", *end.lost,
                       end.blocks_behind);
  } else if (closed_at != 0 && end.next_sequence != closed_at) {
    text = fmt::format("it ends at block {}, but the volume was closed at {}", end.next_sequence,
                       closed_at);
  } else {
    return {};
  }
  if (!options.cut_damaged_journal) return Error(ErrorCode::kCorrupt, "journal", std::move(text));
  loaded.findings.push_back({Finding::Severity::kError, "journal: " + text});
  return {};
}

Status LoadJournal(block::BlockDevice& device, const LoadedCheckpoint& checkpoint,
                   const LoadOptions& options, LoadedVolume& loaded) {
  JournalReader reader(device, loaded.superblock);
  const uint64_t position = checkpoint.start.position;
  JournalEnd end = TRY(reader.FindEnd(position, checkpoint.generation));
  TRY(ReportDamage(end, options, loaded));
  if (end.bad_copies != 0) {
    Warn(loaded, fmt::format("journal: {} blocks are bad in one copy", end.bad_copies));
  }
  for (const uint64_t sequence : end.single) {
    loaded.single_blocks.push_back({sequence, end.copy[sequence - position]});
  }
  loaded.needs_checkpoint = loaded.superblock.closed_at_sequence == 0 || end.lost.has_value();
  RecordApplier applier{loaded, {}};
  TRY(reader.Replay(position, end, [&](const Record& record) {
    applier.freed.clear();
    return std::visit(applier, record);
  }));
  const uint64_t lap = loaded.superblock.journal_blocks;
  // If this is not the checkpoint that was thought to be the last, what was before it is
  // overwritten.
  const bool is_kept = end.next_sequence - checkpoint.start.keep <= lap;
  loaded.journal = {.next_sequence = end.next_sequence,
                    .keep = is_kept ? checkpoint.start.keep : position,
                    .checkpoint = position};
  if (end.lost) {
    // What lies behind the damage must not count when the journal goes on: skip a whole lap.
    loaded.journal.next_sequence += 2 * lap;
    loaded.journal.keep = loaded.journal.checkpoint = loaded.journal.next_sequence;
  }
  return {};
}

// Free is what the data areas have and no file.
Status FindFreeSpace(const LoadOptions& options, LoadedVolume& loaded) {
  for (const UnitRange& region : loaded.superblock.DataRegions()) loaded.free_space.Add(region);
  for (const auto& [number, inode] : loaded.table->inodes()) {
    for (const Extent& extent : inode.extents) {
      if (loaded.free_space.TakeExactly(extent.units)) continue;
      std::string text = fmt::format(
          "{} (inode {}): its extent of {} units at {} lies outside, or another file has it too",
          EscapeForLog(PathOf(inode)), number, extent.units.count, extent.units.start);
      if (!options.report_extents) return Error(ErrorCode::kCorrupt, "volume", std::move(text));
      loaded.findings.push_back({Finding::Severity::kError, std::move(text)});
    }
  }
  return {};
}

}  // namespace

std::string PathOf(const Inode& inode) {
  if (inode.names() == 0) return "(deleted)";
  std::string path;
  for (const Inode* at = &inode; at->first_name.parent != nullptr; at = at->first_name.parent) {
    path = path.empty() ? *at->first_name.name : *at->first_name.name + "/" + path;
  }
  return path;
}

Result<LoadedVolume> LoadVolume(block::BlockDevice& device, const SuperblockCopies& copies,
                                const LoadOptions& options) {
  LoadedVolume loaded;
  loaded.superblock = copies.best;
  loaded.superblock_copy = copies.best_copy;
  ReportSuperblocks(copies, loaded);
  const LoadedCheckpoint checkpoint = TRY(LoadCheckpoint(device, loaded));
  TRY(LoadJournal(device, checkpoint, options, loaded));
  TRY(FindFreeSpace(options, loaded));
  return loaded;
}

}  // namespace tifs::volume
