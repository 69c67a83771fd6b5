// The file system on RocksDB on a disk that loses power: after any cut it opens, fsck finds
// nothing, all that was synced is there, and of the rest what was done first.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/sync.h"
#include "tests/crash/crash_world.h"
#include "tests/sim/test_options.h"

namespace tifs::sim {
namespace {

constexpr uint64_t kRounds = 12;
// Worlds at a time: RocksDB sleeps a second after each write that fails in its background.
constexpr size_t kWorldsAtOnce = 6;

class PowerCutTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Lost power is in every line.
    ASSERT_TRUE(OpenLog({.sink = LogOptions::Sink::kFile, .file = "/dev/null"}).ok());
  }
};

struct Failure {
  uint64_t seed;
  std::string why;
};

// Runs one world for each seed until one fails.
std::optional<Failure> FirstFailure(const CrashOptions& options, uint64_t runs,
                                    std::atomic<uint64_t>* lies = nullptr) {
  std::atomic<uint64_t> next{0};
  Mutex mutex;
  std::optional<Failure> failure;
  const auto work = [&] {
    for (uint64_t i = next++; i < runs; i = next++) {
      const uint64_t seed = Options().Seed(i);
      CrashWorld world(options, seed);
      std::string why = world.Run(Options().steps.value_or(kRounds));
      if (lies != nullptr) *lies += world.syncs_lied_about();
      MutexLock lock(mutex);
      if (!why.empty() && !failure) failure = Failure{seed, std::move(why)};
      if (failure) return;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kWorldsAtOnce; ++i) threads.emplace_back(work);
  }
  return failure;
}

void ExpectSurvival(const CrashOptions& options, uint64_t when_short, uint64_t when_long) {
  const auto failure = FirstFailure(options, Options().Runs(when_short, when_long));
  if (failure) FAIL() << options.name << ", --seed=" << failure->seed << ": " << failure->why;
}

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
  constexpr uint64_t kAttempts = 200;
  options.lie = std::move(lie);
  std::atomic<uint64_t> lies{0};
  const auto failure = FirstFailure(options, kAttempts, &lies);
  ASSERT_TRUE(failure) << lies << " syncs were left out, and nothing was found";
  std::printf("found with --seed=%llu: %.300s\n", static_cast<unsigned long long>(failure->seed),
              failure->why.c_str());
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
