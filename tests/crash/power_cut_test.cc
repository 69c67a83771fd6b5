// The file system on RocksDB on a disk that loses power: after any cut it opens, fsck finds
// nothing, all that was synced is there, and of the rest what was done first.

#include <functional>
#include <string_view>
#include <utility>

#include "tests/crash/power_cut_runs.h"

namespace tifs::sim {
namespace {

TEST_F(PowerCutTest, BlocksInTheStore) { ExpectSurvival({.name = "store"}, 8, 1500); }

TEST_F(PowerCutTest, SmallBlocksInTheStore) {
  ExpectSurvival({.name = "small blocks", .block_size_bytes = 4096}, 8, 1500);
}

TEST_F(PowerCutTest, BlocksInADataFile) {
  ExpectSurvival({.name = "extents", .extents = true}, 8, 1500);
}

TEST_F(PowerCutTest, SmallBlocksInADataFile) {
  ExpectSurvival({.name = "small extents", .extents = true, .block_size_bytes = 4096}, 8, 1500);
}

TEST_F(PowerCutTest, EachOperationOnASyncMount) {
  ExpectSurvival({.name = "sync mount", .sync_mount = true}, 5, 700);
  ExpectSurvival({.name = "sync mount", .extents = true, .sync_mount = true}, 5, 700);
}

TEST_F(PowerCutTest, SeveralWorkersAtOnce) {
  ExpectSurvival({.name = "workers", .workers = 3}, 5, 1000);
  ExpectSurvival({.name = "workers, extents", .extents = true, .workers = 3}, 5, 1000);
}

// --- leaving out any one kind of sync must make it fail ---

void ExpectFailure(CrashOptions options, std::function<bool(SyncKind, std::string_view)> lie) {
  options.lie = std::move(lie);
  ExpectFailure(options);
}

bool IsFile(SyncKind kind, std::string_view path, std::string_view part) {
  return kind == SyncKind::kFile && path.find(part) != path.npos;
}

TEST_F(PowerCutTest, FindsMissingSyncsOfTheLog) {
  ExpectFailure({},
                [](SyncKind kind, std::string_view path) { return IsFile(kind, path, ".log"); });
}

TEST_F(PowerCutTest, FindsMissingSyncsOfTheManifest) {
  ExpectFailure(
      {}, [](SyncKind kind, std::string_view path) { return IsFile(kind, path, "MANIFEST"); });
}

TEST_F(PowerCutTest, FindsMissingSyncsOfTables) {
  ExpectFailure({},
                [](SyncKind kind, std::string_view path) { return IsFile(kind, path, ".sst"); });
}

TEST_F(PowerCutTest, FindsMissingSyncsOfCurrent) {
  ExpectFailure({},
                [](SyncKind kind, std::string_view path) { return IsFile(kind, path, ".dbtmp"); });
}

TEST_F(PowerCutTest, FindsMissingSyncsOfDirectories) {
  ExpectFailure({}, [](SyncKind kind, std::string_view) { return kind == SyncKind::kDirectory; });
}

TEST_F(PowerCutTest, FindsMissingSyncsOfTheDataFile) {
  ExpectFailure({.extents = true},
                [](SyncKind kind, std::string_view path) { return IsFile(kind, path, "/blocks"); });
}

}  // namespace
}  // namespace tifs::sim
