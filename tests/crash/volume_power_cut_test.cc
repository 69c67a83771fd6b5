// The file system on RocksDB on a volume, whose disk loses power together with the file system that
// has the rest of the store: after any cut it opens, fsck finds nothing, all that was synced is
// there, and of the rest what was done first.

#include "tests/crash/power_cut_runs.h"

namespace tifs::sim {
namespace {

using volume::FlushKind;

using VolumePowerCutTest = PowerCutTest;

TEST_F(VolumePowerCutTest, BlocksInADataFile) {
  ExpectSurvival({.name = "volume", .extents = true, .volume = true}, 8, 1500);
}

TEST_F(VolumePowerCutTest, BlocksSmallerThanExtentUnits) {
  ExpectSurvival(
      {.name = "small blocks", .extents = true, .block_size_bytes = 4096, .volume = true}, 6, 1000);
}

TEST_F(VolumePowerCutTest, ExtentUnitsSmallerThanBlocks) {
  ExpectSurvival(
      {.name = "small units", .extents = true, .volume = true, .extent_unit_bytes = 4096}, 6, 1000);
}

TEST_F(VolumePowerCutTest, EachOperationOnASyncMount) {
  ExpectSurvival({.name = "sync mount", .extents = true, .sync_mount = true, .volume = true}, 4,
                 700);
}

TEST_F(VolumePowerCutTest, SeveralWorkersAtOnce) {
  ExpectSurvival({.name = "workers", .extents = true, .workers = 3, .volume = true}, 4, 1000);
}

// --- leaving out any one kind of sync must make it fail ---

CrashOptions LyingVolume(FlushKind missing) {
  return {.name = "lying volume",
          .extents = true,
          .volume = true,
          .skip_flush = [missing](FlushKind kind) { return kind == missing; }};
}

TEST_F(VolumePowerCutTest, FindsMissingFlushesOfData) {
  ExpectFailure(LyingVolume(FlushKind::kData));
}

TEST_F(VolumePowerCutTest, FindsMissingFlushesOfTheJournal) {
  ExpectFailure(LyingVolume(FlushKind::kJournal));
}

TEST_F(VolumePowerCutTest, FindsMissingSyncsOfTheLogBeside) {
  ExpectFailure({.name = "lying base",
                 .extents = true,
                 .volume = true,
                 .lie = [](SyncKind kind, std::string_view path) {
                   return kind == SyncKind::kFile && path.ends_with(".log");
                 }});
}

}  // namespace
}  // namespace tifs::sim
