#include "volume/volume_check.h"

#include <algorithm>
#include <utility>

#include "volume/superblock.h"
#include "volume/volume.h"

namespace tifs::volume {
namespace {

bool HasError(const CheckReport& report) {
  return std::ranges::any_of(report.findings, [](const Finding& finding) {
    return finding.severity == Finding::Severity::kError;
  });
}

void Measure(const LoadedVolume& loaded, CheckReport& report) {
  const uint64_t unit_bytes = loaded.superblock.extent_unit_bytes;
  report.files = loaded.table->files();
  report.directories = loaded.table->directories();
  for (const auto& [number, inode] : loaded.table->inodes()) {
    report.used_bytes += inode.allocated_units() * unit_bytes;
  }
  report.free_bytes = loaded.free_space.free_units() * unit_bytes;
  uint64_t total_bytes = 0;
  for (const UnitRange& region : loaded.superblock.DataRegions()) {
    total_bytes += region.count * unit_bytes;
  }
  if (report.used_bytes + report.free_bytes != total_bytes && !HasError(report)) {
    report.findings.push_back(
        {Finding::Severity::kError, "free and used extents are not all there are"});
  }
}

// Whether there is anything that opening for writing and new checkpoints do not make good.
bool IsBeyondRepair(const LoadedVolume& loaded, const CheckOptions& options) {
  return std::ranges::any_of(loaded.findings, [&](const Finding& finding) {
    return finding.severity == Finding::Severity::kError &&
           !(options.cut_damaged_journal && finding.text.starts_with("journal: "));
  });
}

}  // namespace

Result<CheckReport> VolumeCheck::Run(std::unique_ptr<block::BlockDevice> device,
                                     const CheckOptions& options) {
  const SuperblockCopies copies = TRY(ReadSuperblocks(*device));
  if ((copies.best.compatible | copies.best.read_only_compatible) != 0) {
    return Error(ErrorCode::kNotSupported, "volume",
                 "it has features that this release does not know, so it cannot be judged");
  }
  CheckReport report;
  auto loaded = LoadVolume(*device, copies, {.cut_damaged_journal = true, .report_extents = true});
  if (!loaded) {
    if (loaded.error().code() != ErrorCode::kCorrupt) return std::move(loaded).error();
    report.findings.push_back({Finding::Severity::kError, loaded.error().ToString()});
    return report;
  }
  report.findings = loaded->findings;
  Measure(*loaded, report);
  if (!options.repair || report.findings.empty() || IsBeyondRepair(*loaded, options)) {
    return report;
  }
  TRY(Repair(std::move(device), copies, options));
  report.is_repaired = true;
  return report;
}

Status VolumeCheck::Repair(std::unique_ptr<block::BlockDevice> device,
                           const SuperblockCopies& copies, const CheckOptions& options) {
  VolumeOptions volume_options;
  volume_options.owner = options.owner;
  volume_options.clock = options.clock;
  volume_options.background = false;
  // Opening writes both superblocks.
  auto volume = TRY(Volume::OpenLoaded(std::move(device), volume_options, copies,
                                       {.cut_damaged_journal = options.cut_damaged_journal}));
  // And after three checkpoints no older block of metadata is needed.
  for (size_t i = 0; i < Superblock::kCheckpointSlots; ++i) TRY(volume->Checkpoint());
  return volume->Close();
}

}  // namespace tifs::volume
