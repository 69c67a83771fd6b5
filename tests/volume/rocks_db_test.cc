// RocksDB itself on volumes, in this process.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/backup_engine.h>
#include <rocksdb/utilities/checkpoint.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/volume/rocks_db_fixture.h"

namespace tifs::rocksfs {
namespace {

TEST_F(RocksDbTest, FlushesCompactsAndReopens) {
  const auto options = Small(kv_.get());
  db_ = Open(options, "/db");
  Fill(*db_, 5'000, 3);
  ASSERT_DB_OK(db_->CompactRange({}, nullptr, nullptr));
  ExpectFilled(*db_, 5'000, 2);
  for (const std::string& name : OnBase("db")) {
    EXPECT_EQ(PlacementOf(name), Side::kBase) << name;
  }
  for (int i = 0; i < 3; ++i) {
    db_.reset();
    db_ = Open(options, directory_ + "/db");
    ExpectFilled(*db_, 5'000, 2);
  }
}

TEST_F(RocksDbTest, ReadsDirectlyMappedAndAsynchronously) {
  auto options = Small(kv_.get());
  options.use_direct_reads = true;
  options.use_direct_io_for_flush_and_compaction = true;
  db_ = Open(options, "/db");
  Fill(*db_, 5'000, 2);
  ASSERT_DB_OK(db_->Flush({}));
  ExpectFilled(*db_, 5'000, 1);
  db_.reset();
  options.use_direct_reads = options.use_direct_io_for_flush_and_compaction = false;
  options.allow_mmap_reads = true;
  db_ = Open(options, "/db");
  ExpectFilled(*db_, 5'000, 1);
  db_.reset();
  options.allow_mmap_reads = false;
  db_ = Open(options, "/db");
  rocksdb::ReadOptions reading;
  reading.async_io = true;
  reading.readahead_size = 64 << 10;
  std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator(reading));
  int count = 0;
  for (each->SeekToFirst(); each->Valid(); each->Next()) ++count;
  EXPECT_EQ(count, 5'000);
  std::vector<std::string> names;
  std::vector<rocksdb::Slice> keys;
  for (int i = 0; i < 200; ++i) names.push_back(Key(i * 20));
  keys.assign(names.begin(), names.end());
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet({}, db_->DefaultColumnFamily(), keys.size(), keys.data(), values.data(),
                statuses.data());
  for (int i = 0; i < 200; ++i) {
    ASSERT_DB_OK(statuses[i]);
    EXPECT_EQ(values[i].ToString(), Value(i * 20, 1));
  }
}

TEST_F(RocksDbTest, SeveralInstancesDoNotMeet) {
  const auto raft_env = EnvOf("raft");
  db_ = Open(Small(kv_.get()), "/kv");
  auto raft = Open(Small(raft_env.get()), "/kv2");
  std::thread other([&] { Fill(*raft, 3'000, 2); });
  Fill(*db_, 4'000, 1);
  other.join();
  ExpectFilled(*db_, 4'000, 0);
  ExpectFilled(*raft, 3'000, 1);
  raft.reset();
  ASSERT_DB_OK(rocksdb::DestroyDB("/kv2", Small(raft_env.get())));
  ExpectFilled(*db_, 4'000, 0);
}

TEST_F(RocksDbTest, TheVolumeIsNeededToOpen) {
  db_ = Open(Small(kv_.get()), "/db");
  Fill(*db_, 10);
  db_.reset();
  // The base alone looks like a database, and must not become an empty one.
  const auto before = OnBase("db");
  rocksdb::DB* opened = nullptr;
  const auto status =
      rocksdb::DB::Open(Small(rocksdb::Env::Default()), directory_ + "/db", &opened);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(opened, nullptr);
  for (const std::string& name : before) {
    if (!name.ends_with(".log")) continue;
    EXPECT_TRUE(fs::exists(directory_ + "/db/" + name)) << name;
  }
  db_ = Open(Small(kv_.get()), "/db");
  ExpectFilled(*db_, 10, 0);
}

TEST_F(RocksDbTest, ADatabaseOfTheBaseGoesOnWithAVolume) {
  db_ = Open(Small(rocksdb::Env::Default()), directory_ + "/db");
  Fill(*db_, 5'000, 1);
  ASSERT_DB_OK(db_->Flush({}));
  db_.reset();
  const auto is_table = [](const std::string& name) { return name.ends_with(".sst"); };
  const auto old = OnBase("db");
  EXPECT_GT(std::count_if(old.begin(), old.end(), is_table), 0);
  db_ = Open(Small(kv_.get()), "/db");
  ExpectFilled(*db_, 5'000, 0);
  Fill(*db_, 5'000, 2);
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  ASSERT_DB_OK(db_->CompactRange(all, nullptr, nullptr));
  ExpectFilled(*db_, 5'000, 1);
  db_.reset();
  const auto left = OnBase("db");
  EXPECT_EQ(std::count_if(left.begin(), left.end(), is_table), 0);
  db_ = Open(Small(kv_.get()), "/db");
  ExpectFilled(*db_, 5'000, 1);
}

TEST_F(RocksDbTest, ColumnFamiliesHaveTheirOwnPaths) {
  auto options = Small(kv_.get());
  db_ = Open(options, "/db");
  rocksdb::ColumnFamilyOptions elsewhere(options);
  elsewhere.cf_paths.emplace_back(directory_ + "/other", 1 << 30);
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  ASSERT_DB_OK(db_->CreateColumnFamily(elsewhere, "other", &handle));
  for (int i = 0; i < 3'000; ++i) ASSERT_DB_OK(db_->Put({}, handle, Key(i), Value(i, 0)));
  ASSERT_DB_OK(db_->Flush({}, handle));
  std::string value;
  ASSERT_DB_OK(db_->Get({}, handle, Key(2'999), &value));
  EXPECT_EQ(value, Value(2'999, 0));
  std::vector<std::string> names;
  ASSERT_DB_OK(kv_->GetChildren("/other", &names));
  EXPECT_FALSE(names.empty());
  ASSERT_DB_OK(db_->DestroyColumnFamilyHandle(handle));
}

TEST_F(RocksDbTest, CheckpointsAreLinks) {
  db_ = Open(Small(kv_.get()), "/db");
  Fill(*db_, 4'000);
  ASSERT_DB_OK(db_->Flush({}));
  const uint64_t before = volume_->volume().Usage().free_bytes;
  rocksdb::Checkpoint* made = nullptr;
  ASSERT_DB_OK(rocksdb::Checkpoint::Create(db_.get(), &made));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  ASSERT_DB_OK(checkpoint->CreateCheckpoint("/copy"));
  EXPECT_LT(before - volume_->volume().Usage().free_bytes, 1u << 20);
  Fill(*db_, 4'000, 3);
  ASSERT_DB_OK(db_->CompactRange({}, nullptr, nullptr));
  const auto copy = Open(Small(kv_.get()), "/copy");
  ExpectFilled(*copy, 4'000, 0);
}

TEST_F(RocksDbTest, IngestsTables) {
  db_ = Open(Small(kv_.get()), "/db");
  for (const bool move : {false, true}) {
    const std::string path = directory_ + "/made" + std::to_string(move) + ".sst";
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), Small(kv_.get()));
    ASSERT_DB_OK(writer.Open(path));
    for (int i = 0; i < 1'000; ++i) ASSERT_DB_OK(writer.Put(Key(i), Value(i, move)));
    ASSERT_DB_OK(writer.Finish());
    rocksdb::IngestExternalFileOptions ingesting;
    ingesting.move_files = move;
    ASSERT_DB_OK(db_->IngestExternalFile({path}, ingesting));
    ExpectFilled(*db_, 1'000, move);
    EXPECT_EQ(kv_->FileExists(path).ok(), !move);
  }
}

TEST_F(RocksDbTest, BacksUpAndRestores) {
  db_ = Open(Small(kv_.get()), "/db");
  Fill(*db_, 3'000);
  rocksdb::BackupEngineOptions options(directory_ + "/backup");
  rocksdb::BackupEngine* made = nullptr;
  ASSERT_DB_OK(rocksdb::BackupEngine::Open(options, kv_.get(), &made));
  const std::unique_ptr<rocksdb::BackupEngine> engine(made);
  ASSERT_DB_OK(engine->CreateNewBackup(db_.get(), true));
  Fill(*db_, 3'000, 2);
  ASSERT_DB_OK(engine->CreateNewBackup(db_.get(), true));
  ASSERT_DB_OK(engine->VerifyBackup(1, true));
  ASSERT_DB_OK(engine->RestoreDBFromBackup(1, "/old", "/old"));
  const auto old = Open(Small(kv_.get()), "/old");
  ExpectFilled(*old, 3'000, 0);
  ASSERT_DB_OK(engine->PurgeOldBackups(0));
}

TEST_F(RocksDbTest, BlobsAreOnTheVolume) {
  auto options = Small(kv_.get());
  options.enable_blob_files = true;
  options.enable_blob_garbage_collection = true;
  db_ = Open(options, "/db");
  Fill(*db_, 500, 4, 4'000);
  ASSERT_DB_OK(db_->CompactRange({}, nullptr, nullptr));
  ExpectFilled(*db_, 500, 3, 4'000);
  for (const std::string& name : OnBase("db")) EXPECT_FALSE(name.ends_with(".blob")) << name;
  db_.reset();
  db_ = Open(options, "/db");
  ExpectFilled(*db_, 500, 3, 4'000);
}

TEST_F(RocksDbTest, AnotherInstanceMayReadOnlyOrFollow) {
  // A compaction may delete tables while the others open them, with any file system.
  auto leading = Small(kv_.get());
  leading.disable_auto_compactions = true;
  db_ = Open(leading, "/db");
  Fill(*db_, 2'000);
  ASSERT_DB_OK(db_->Flush({}));
  rocksdb::DB* opened = nullptr;
  ASSERT_DB_OK(rocksdb::DB::OpenForReadOnly(Small(kv_.get()), "/db", &opened));
  const std::unique_ptr<rocksdb::DB> reader(opened);
  ExpectFilled(*reader, 2'000, 0);
  auto following = Small(kv_.get());
  following.max_open_files = -1;
  ASSERT_DB_OK(rocksdb::DB::OpenAsSecondary(following, "/db", directory_ + "/second", &opened));
  const std::unique_ptr<rocksdb::DB> second(opened);
  Fill(*db_, 2'000, 2);
  ASSERT_DB_OK(db_->Flush({}));
  ASSERT_DB_OK(second->TryCatchUpWithPrimary());
  ExpectFilled(*second, 2'000, 1);
}

TEST_F(RocksDbTest, TheSameDatabaseOpensOnce) {
  db_ = Open(Small(kv_.get()), "/db");
  const auto same = EnvOf("kv");
  rocksdb::DB* opened = nullptr;
  EXPECT_FALSE(rocksdb::DB::Open(Small(same.get()), "/db", &opened).ok());
  EXPECT_FALSE(rocksdb::DB::Open(Small(rocksdb::Env::Default()), directory_ + "/db", &opened).ok());
  db_.reset();
  db_ = Open(Small(same.get()), "/db");
  db_.reset();
}

class SmallRocksDbTest : public RocksDbTest {
 protected:
  SmallRocksDbTest() : RocksDbTest(24 << 20) {}
};

TEST_F(SmallRocksDbTest, GoesOnByItselfWhenSpaceIsFreed) {
  auto options = Small(kv_.get());
  options.sst_file_manager.reset(rocksdb::NewSstFileManager(kv_.get()));
  db_ = Open(options, "/db");
  const std::string ballast = directory_ + "/ballast.sst";
  ASSERT_DB_OK(rocksdb::WriteStringToFile(kv_.get(), std::string(16 << 20, 'b'), ballast, true));
  rocksdb::Status status;
  int written = 0;
  while (status.ok() && written < 40'000) {
    status = db_->Put({}, Key(written), Value(written, 0));
    if (status.ok()) ++written;
  }
  EXPECT_TRUE(status.IsNoSpace()) << status.ToString();
  EXPECT_FALSE(volume_->volume().Latched());
  ASSERT_DB_OK(kv_->DeleteFile(ballast));
  // RocksDB looks every five seconds. If it never goes on, the test ends by its timeout.
  while (!status.ok()) {
    SystemClock().SleepFor(std::chrono::milliseconds(100));
    status = db_->Put({}, Key(written), Value(written, 0));
  }
  ASSERT_DB_OK(status);
  ASSERT_DB_OK(db_->Flush({}));
  ExpectFilled(*db_, written + 1, 0);
}

}  // namespace
}  // namespace tifs::rocksfs
