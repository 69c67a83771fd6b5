// Which I/O class the transfers of a real RocksDB get: flushes, compactions of all kinds, users.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "block/mem_device.h"
#include "block/scheduled_device.h"
#include "rocksfs/rocks_file_system.h"

namespace tifs::rocksfs {
namespace {

namespace fs = std::filesystem;
using block::IoClass;
using block::IoClassCounts;

constexpr size_t kValueBytes = 1000;
constexpr int kKeys = 2000;
// Of all the keys; the tables take somewhat more.
constexpr uint64_t kDataBytes = kKeys * kValueBytes;
// More than metadata writes in a test.
constexpr uint64_t kMetadataBytes = kDataBytes / 4;

class IoClassTest : public testing::TestWithParam<bool> {
 protected:
  IoClassTest() {
    directory_ = fs::temp_directory_path() / "tifs-io-class-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    auto device = std::make_unique<block::ScheduledDevice>(
        *block::MemDevice::Open({.size_bytes = 128 << 20}), SystemClock());
    scheduler_ = &device->scheduler();
    EXPECT_TRUE(volume::Volume::Format(*device, {.name = "test"}, SystemClock()).ok());
    volume_ = SharedVolume::Of(*volume::Volume::Open(std::move(device), {.owner = "test"}));
    auto opened = RocksFileSystem::Open(volume_, rocksdb::FileSystem::Default(),
                                        {.root = "kv", .base_directory = directory_});
    file_system_ = opened->get();
    env_ = rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(*std::move(opened)));
    options_.env = env_.get();
    options_.create_if_missing = true;
    options_.compression = rocksdb::kNoCompression;
    options_.disable_auto_compactions = true;
    options_.write_buffer_size = 64 << 20;
    options_.target_file_size_base = 256 << 10;
    options_.use_direct_reads = GetParam();
    rocksdb::BlockBasedTableOptions table;
    table.no_block_cache = true;
    options_.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  }
  ~IoClassTest() override {
    db_.reset();
    env_.reset();
    volume_.reset();
    // The pools are those of all environments.
    rocksdb::Env::Default()->SetBackgroundThreads(1, rocksdb::Env::HIGH);
    rocksdb::Env::Default()->SetBackgroundThreads(1, rocksdb::Env::LOW);
    rocksdb::Env::Default()->SetBackgroundThreads(0, rocksdb::Env::BOTTOM);
    fs::remove_all(directory_);
  }

  void Open() {
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options_, directory_ + "/db", &db);
    ASSERT_TRUE(status.ok()) << status.ToString();
    db_.reset(db);
    // As few high threads as the test has said, whatever opening a database did.
    if (high_threads_ >= 0) {
      rocksdb::Env::Default()->SetBackgroundThreads(high_threads_, rocksdb::Env::HIGH);
    }
  }
  static std::string Key(int i) { return "key" + std::to_string(100'000 + i); }
  // All keys, to a table in level 0.
  void FillAndFlush() {
    const std::string value(kValueBytes, 'v');
    for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(db_->Put({}, Key(i), value).ok());
    ASSERT_TRUE(db_->Flush({}).ok());
  }
  // Twice, so that they overlap and a compaction has to read and write.
  void FillTwice() {
    FillAndFlush();
    FillAndFlush();
  }
  void Compact(uint32_t subcompactions = 0) {
    rocksdb::CompactRangeOptions how;
    how.max_subcompactions = subcompactions;
    const rocksdb::Status status = db_->CompactRange(how, nullptr, nullptr);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  // What was transferred since the last call.
  std::array<IoClassCounts, block::kIoClasses> Since() {
    std::array<IoClassCounts, block::kIoClasses> since;
    for (size_t i = 0; i < block::kIoClasses; ++i) {
      const IoClassCounts now = file_system_->counter().Counts(static_cast<IoClass>(i));
      since[i] = {.reads = now.reads - seen_[i].reads,
                  .read_bytes = now.read_bytes - seen_[i].read_bytes,
                  .writes = now.writes - seen_[i].writes,
                  .write_bytes = now.write_bytes - seen_[i].write_bytes};
      seen_[i] = now;
    }
    return since;
  }
  void ExpectCompaction(const std::array<IoClassCounts, block::kIoClasses>& counts) {
    EXPECT_GE(counts[2].read_bytes, 2 * kDataBytes);
    EXPECT_GE(counts[2].write_bytes, kDataBytes);
    EXPECT_LT(counts[0].write_bytes, kMetadataBytes);
    EXPECT_LT(counts[0].read_bytes, kMetadataBytes);
    EXPECT_EQ(counts[1].write_bytes, 0U);
  }

  std::string directory_;
  int high_threads_ = -1;
  std::shared_ptr<SharedVolume> volume_;
  block::IoScheduler* scheduler_ = nullptr;
  RocksFileSystem* file_system_ = nullptr;
  std::unique_ptr<rocksdb::Env> env_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::DB> db_;
  std::array<IoClassCounts, block::kIoClasses> seen_{};
};

TEST_P(IoClassTest, AFlush) {
  Open();
  Since();
  FillAndFlush();
  const auto counts = Since();
  EXPECT_GE(counts[1].write_bytes, kDataBytes);
  EXPECT_LT(counts[0].write_bytes, kMetadataBytes);
  EXPECT_EQ(counts[2], IoClassCounts());
  EXPECT_EQ(counts[3], IoClassCounts());
}

TEST_P(IoClassTest, AFlushOnACompactionsThread) {
  high_threads_ = 0;
  Open();
  Since();
  FillAndFlush();
  const auto counts = Since();
  EXPECT_GE(counts[1].write_bytes, kDataBytes);
  EXPECT_EQ(counts[2].write_bytes, 0U);
}

TEST_P(IoClassTest, AFlushAtOpening) {
  Open();
  const std::string value(kValueBytes, 'v');
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(db_->Put({}, Key(i), value).ok());
  db_.reset();
  Since();
  Open();
  EXPECT_GE(Since()[1].write_bytes, kDataBytes);
}

TEST_P(IoClassTest, ACompaction) {
  Open();
  FillTwice();
  Since();
  Compact();
  ExpectCompaction(Since());
}

TEST_P(IoClassTest, ACompactionInSeveralThreads) {
  options_.max_subcompactions = 4;
  Open();
  FillTwice();
  Since();
  Compact(4);
  ExpectCompaction(Since());
}

TEST_P(IoClassTest, ACompactionInTheBottomPool) {
  rocksdb::Env::Default()->SetBackgroundThreads(1, rocksdb::Env::BOTTOM);
  Open();
  FillTwice();
  Since();
  Compact();
  ExpectCompaction(Since());
}

TEST_P(IoClassTest, WhileWritersAreHeldUp) {
  options_.disable_auto_compactions = false;
  options_.write_buffer_size = 256 << 10;
  options_.level0_file_num_compaction_trigger = 2;
  options_.level0_slowdown_writes_trigger = 2;
  options_.level0_stop_writes_trigger = 3;
  Open();
  Since();
  FillTwice();
  Compact();
  const auto counts = Since();
  EXPECT_GE(counts[1].write_bytes, 2 * kDataBytes);
  EXPECT_GE(counts[2].write_bytes, kDataBytes);
  EXPECT_GE(counts[2].read_bytes, 2 * kDataBytes);
  // Small tables, so more metadata: but far less than the tables.
  EXPECT_LT(counts[0].read_bytes, kMetadataBytes);
}

TEST_P(IoClassTest, WhatUsersRead) {
  Open();
  FillTwice();
  Compact();
  Since();
  std::string value;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(db_->Get({}, Key(i * 7), &value).ok());
  auto counts = Since();
  EXPECT_GE(counts[0].reads, 100U);
  EXPECT_EQ(counts[2], IoClassCounts());
  std::vector<std::string> keys;
  for (int i = 0; i < 64; ++i) keys.push_back(Key(i * 11));
  std::vector<std::string> values;
  for (const auto& status : db_->MultiGet({}, {keys.begin(), keys.end()}, &values)) {
    ASSERT_TRUE(status.ok());
  }
  EXPECT_GE(Since()[0].read_bytes, 64 * kValueBytes);
  const auto scan = [&](const rocksdb::ReadOptions& how) {
    std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator(how));
    int count = 0;
    for (each->SeekToFirst(); each->Valid(); each->Next()) ++count;
    EXPECT_EQ(count, kKeys);
  };
  scan({});
  EXPECT_GE(Since()[0].read_bytes, kDataBytes);
  rocksdb::ReadOptions ahead;
  ahead.async_io = true;
  ahead.readahead_size = 64 << 10;
  scan(ahead);
  counts = Since();
  EXPECT_GE(counts[0].read_bytes, kDataBytes);
  EXPECT_EQ(counts[2], IoClassCounts());
}

TEST_P(IoClassTest, WhatAUserReadsWithLowPriority) {
  Open();
  FillTwice();
  Compact();
  Since();
  rocksdb::ReadOptions low;
  low.rate_limiter_priority = rocksdb::Env::IO_LOW;
  std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator(low));
  for (each->SeekToFirst(); each->Valid(); each->Next()) {
  }
  EXPECT_GE(Since()[2].read_bytes, kDataBytes);
}

TEST_P(IoClassTest, ADatabaseThatIsHeldBackHasAllItsData) {
  block::IoSchedulerOptions slow;
  slow.profile = {.read_iops = 2000,
                  .read_bytes_per_s = 100 << 20,
                  .write_iops = 2000,
                  .write_bytes_per_s = 100 << 20,
                  .latency_goal_ns = 1'000'000};
  slow.classes[static_cast<size_t>(IoClass::kCompaction)].max_bytes_per_s = 32 << 20;
  ASSERT_TRUE(scheduler_->Configure(slow).ok());
  options_.disable_auto_compactions = false;
  options_.write_buffer_size = 256 << 10;
  options_.max_subcompactions = 2;
  options_.max_background_jobs = 4;
  Open();
  FillTwice();
  Compact();
  std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator({}));
  int count = 0;
  for (each->SeekToFirst(); each->Valid(); each->Next()) {
    EXPECT_EQ(each->key(), Key(count++));
    EXPECT_EQ(each->value().size(), kValueBytes);
  }
  EXPECT_EQ(count, kKeys);
  each.reset();
  // It did hold something back.
  EXPECT_NE(scheduler_->Counts().classes[static_cast<size_t>(IoClass::kCompaction)].waits, 0U);
}

INSTANTIATE_TEST_SUITE_P(, IoClassTest, testing::Bool(),
                         [](const auto& direct) { return direct.param ? "Direct" : "Buffered"; });

}  // namespace
}  // namespace tifs::rocksfs
