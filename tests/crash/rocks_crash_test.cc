// RocksDB on a volume and a base file system that lose power at the same call: whatever was synced
// is there, and nothing else is wrong. RocksDB's own threads make their calls when they come to it,
// so a seed repeats a run but roughly.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "base/sync.h"
#include "sim/power_cut_fs.h"
#include "tests/crash/rocks_world.h"
#include "tests/sim/test_options.h"

namespace tifs::rocksfs {
namespace {

constexpr uint64_t kCuts = 10;

std::string RunCuts(const RocksWorldOptions& options, uint64_t seed,
                    const std::atomic<bool>& stops) {
  RocksWorld world(options, seed);
  for (uint64_t i = 0; i <= kCuts && !stops; ++i) {
    const std::string why = i < kCuts ? world.RunUntilCut() : world.OpenAndCheck();
    if (why.empty()) continue;
    return "--seed=" + std::to_string(seed) + ", after " + std::to_string(i) + " cuts: " + why;
  }
  return "";
}

// RocksDB's background sleeps a second when it fails, so many runs go on at a time.
std::string FirstFailure(const RocksWorldOptions& options, uint64_t runs) {
  constexpr int kRunsAtOnce = 40;
  for (const auto priority : {rocksdb::Env::LOW, rocksdb::Env::HIGH}) {
    rocksdb::Env::Default()->SetBackgroundThreads(2 * kRunsAtOnce, priority);
  }
  std::atomic<uint64_t> next = 0;
  std::atomic<bool> stops = false;
  Mutex mutex;
  std::string failure;
  std::vector<std::jthread> threads;
  for (int i = 0; i < kRunsAtOnce; ++i) {
    threads.emplace_back([&] {
      for (uint64_t run = next++; run < runs && !stops; run = next++) {
        const std::string why = RunCuts(options, sim::Options().Seed(run), stops);
        if (why.empty()) continue;
        MutexLock lock(mutex);
        if (failure.empty()) failure = why;
        stops = true;
      }
    });
  }
  threads.clear();
  return failure;
}

TEST(RocksCrashTest, RandomCutsLoseNothingThatWasSynced) {
  std::printf("seeds from %llu\n", static_cast<unsigned long long>(sim::Options().Seed(0)));
  EXPECT_EQ(FirstFailure({}, sim::Options().Runs(40, 4'000)), "");
}

// --- leaving out any one kind of sync must make it fail ---

void ExpectFailure(const RocksWorldOptions& options) {
  const std::string failure = FirstFailure(options, 2'000);
  EXPECT_NE(failure, "") << "nothing was found";
  std::printf("found: %.300s\n", failure.c_str());
}

void ExpectFailureWithout(sim::SyncKind left_out, std::string_view part) {
  ExpectFailure({.lie_about_base = [=](sim::SyncKind kind, std::string_view path) {
    return kind == left_out && path.find(part) != path.npos;
  }});
}

// The journal's flush, which comes next, covers the data, too: only cuts between the two show it.
// TwoSidesTest and VolumeCrashTest find it sooner.
TEST(RocksCrashTest, FindsMissingFlushesOfData) {
  if (!sim::Options().full_length) GTEST_SKIP() << "takes long";
  ExpectFailure({.skip_flush = volume::FlushKind::kData});
}

TEST(RocksCrashTest, FindsMissingFlushesOfTheJournal) {
  ExpectFailure({.skip_flush = volume::FlushKind::kJournal});
}

TEST(RocksCrashTest, FindsMissingFlushesOfCheckpoints) {
  ExpectFailure({.skip_flush = volume::FlushKind::kCheckpoint});
}

TEST(RocksCrashTest, FindsMissingSyncsOfTheLog) {
  ExpectFailureWithout(sim::SyncKind::kFile, ".log");
}

TEST(RocksCrashTest, FindsMissingSyncsOfCurrent) {
  ExpectFailureWithout(sim::SyncKind::kFile, ".dbtmp");
}

TEST(RocksCrashTest, FindsMissingSyncsOfTheBasesDirectories) {
  ExpectFailureWithout(sim::SyncKind::kDirectory, "");
}

// --- what RocksDB does by itself ---

// What DropTornLogs is for, without a volume.
TEST(RocksCrashTest, ALogThatIsTornAtItsStartFailsACheckpoint) {
  sim::PowerCutDisk disk;
  const auto env = rocksdb::NewCompositeEnv(std::make_shared<sim::PowerCutFs>(disk));
  rocksdb::Options options;
  options.env = env.get();
  options.create_if_missing = true;
  const auto open = [&] {
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, "/db", &db);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<rocksdb::DB>(db);
  };
  auto db = open();
  ASSERT_NE(db, nullptr);
  EXPECT_TRUE(db->Put({}, "key", std::string(100, 'v')).ok());
  db.reset();
  const auto names = disk.List("/db");
  ASSERT_TRUE(names.ok());
  for (const std::string& name : *names) {
    if (!name.ends_with(".log")) continue;
    const auto log = disk.Open("/db/" + name, {});
    ASSERT_TRUE(log.ok());
    EXPECT_TRUE((*log)->Write(20, "torn").ok());
  }
  db = open();
  ASSERT_NE(db, nullptr);
  rocksdb::Checkpoint* made = nullptr;
  ASSERT_TRUE(rocksdb::Checkpoint::Create(db.get(), &made).ok());
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  EXPECT_EQ(checkpoint->CreateCheckpoint("/copy").ToString(), "Corruption: checksum mismatch");
  // And what gets over it.
  EXPECT_TRUE(db->Put({}, "key", "value").ok());
  EXPECT_TRUE(db->Flush({}).ok());
  EXPECT_TRUE(db->EnableFileDeletions(true).ok());
  const rocksdb::Status copied = checkpoint->CreateCheckpoint("/copy");
  EXPECT_TRUE(copied.ok()) << copied.ToString();
}

}  // namespace
}  // namespace tifs::rocksfs
