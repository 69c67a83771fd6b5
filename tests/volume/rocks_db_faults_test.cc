// RocksDB when a volume's device fails; and on two volumes.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_writer.h>

#include <memory>
#include <string>

#include "rocksfs/several_volumes.h"
#include "sim/sim_block_device.h"
#include "tests/volume/rocks_db_fixture.h"

namespace tifs::rocksfs {
namespace {

class FaultyRocksDbTest : public RocksDbTest {
 protected:
  FaultyRocksDbTest()
      : RocksDbTest(
            std::make_unique<sim::SimBlockDevice>(sim::SimDeviceOptions{.size_bytes = 32 << 20})) {}

  sim::SimBlockDevice& disk() { return static_cast<sim::SimBlockDevice&>(*disk_); }
  void CloseAll() {
    db_.reset();
    kv_.reset();
    volume_.reset();
  }

  // The call fails once; what was acknowledged before, and until RocksDB noticed, is there after a
  // restart, as far as it was synced.
  void ExpectStopsAndRecovers(block::IoKind kind) {
    auto options = Small(kv_.get());
    options.max_bgerror_resume_count = 0;
    db_ = Open(options, "/db");
    Fill(*db_, 300);
    ASSERT_DB_OK(db_->Flush({}));
    disk().Inject({.kind = kind, .fault = sim::DeviceFault::kError});
    rocksdb::WriteOptions synced;
    synced.sync = true;
    for (int i = 0; i < 300; ++i) ASSERT_DB_OK(db_->Put(synced, Key(i), Value(i, 1)));
    const rocksdb::Status flushed = db_->Flush({});
    EXPECT_TRUE(flushed.IsIOError()) << flushed.ToString();
    EXPECT_TRUE(volume_->volume().Latched());
    // The device works again, and nothing is retried into success.
    EXPECT_FALSE(db_->Put({}, "more", "value").ok());
    EXPECT_FALSE(db_->Resume().ok());
    EXPECT_FALSE(rocksdb::WriteStringToFile(kv_.get(), "x", directory_ + "/x.sst", true).ok());
    ExpectFilled(*db_, 300, 1);

    CloseAll();
    OpenVolume();
    EXPECT_TRUE(volume_->volume().Warnings().empty());
    db_ = Open(Small(kv_.get()), "/db");
    ExpectFilled(*db_, 300, 1);
    ASSERT_DB_OK(db_->Put({}, Key(0), Value(0, 1)));
    ASSERT_DB_OK(db_->Flush({}));
  }
};

TEST_F(FaultyRocksDbTest, AFailedWriteStopsItUntilARestart) {
  ExpectStopsAndRecovers(block::IoKind::kWrite);
}

TEST_F(FaultyRocksDbTest, AFailedFlushStopsItUntilARestart) {
  ExpectStopsAndRecovers(block::IoKind::kFlush);
}

TEST_F(FaultyRocksDbTest, AFailedReadIsThatReadsError) {
  db_ = Open(Small(kv_.get()), "/db");
  Fill(*db_, 1'000);
  ASSERT_DB_OK(db_->Flush({}));
  disk().Inject({.kind = block::IoKind::kRead, .fault = sim::DeviceFault::kError, .count = 1'000});
  std::string value;
  const rocksdb::Status status = db_->Get({}, Key(500), &value);
  EXPECT_TRUE(status.IsIOError()) << status.ToString();
  EXPECT_FALSE(volume_->volume().Latched());
  disk().ClearFaults();
  ExpectFilled(*db_, 1'000, 0);
  Fill(*db_, 1'000, 2);
  ASSERT_DB_OK(db_->Flush({}));
  ExpectFilled(*db_, 1'000, 1);
}

// A bit that turns over in a table is RocksDB's to notice.
TEST_F(FaultyRocksDbTest, FlippedDataIsCorruption) {
  db_ = Open(Small(kv_.get()), "/db");
  Fill(*db_, 1'000);
  ASSERT_DB_OK(db_->Flush({}));
  disk().Inject(
      {.kind = block::IoKind::kRead, .fault = sim::DeviceFault::kFlipped, .count = 1'000});
  std::string value;
  const rocksdb::Status status = db_->Get({}, Key(500), &value);
  EXPECT_TRUE(status.IsCorruption()) << status.ToString();
  disk().ClearFaults();
}

TEST_F(RocksDbTest, OneDatabaseMayLieOnTwoVolumes) {
  const auto second_disk = *block::MemDevice::Open({.size_bytes = 64 << 20});
  ASSERT_TRUE(volume::Volume::Format(*second_disk, {.name = "second"}, SystemClock()).ok());
  const auto open_second = [&] {
    auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(*second_disk),
                                       {.owner = "rocks_db_test"});
    EXPECT_TRUE(volume.ok());
    return SharedVolume::Of(*std::move(volume));
  };
  const auto on = [&](std::shared_ptr<SharedVolume> volume) {
    auto opened = RocksFileSystem::Open(std::move(volume), rocksdb::FileSystem::Default(),
                                        {.root = "kv", .base_directory = directory_});
    EXPECT_TRUE(opened.ok());
    return std::shared_ptr<RocksFileSystem>(*std::move(opened));
  };
  const auto on_both = [&](std::shared_ptr<SharedVolume> second) {
    auto made = SeveralVolumes::Make(on(volume_),
                                     {{.path = "/slow", .file_system = on(std::move(second))}}, "");
    EXPECT_TRUE(made.ok());
    return std::shared_ptr<rocksdb::FileSystem>(*std::move(made));
  };
  auto second = open_second();
  auto env = rocksdb::NewCompositeEnv(on_both(second));
  auto options = Small(env.get());
  // Little on the first, the rest on the second.
  options.db_paths = {{directory_ + "/fast", 1 << 20}, {directory_ + "/slow", 1 << 30}};
  db_ = Open(options, directory_ + "/db");
  Fill(*db_, 8'000, 2);
  rocksdb::CompactRangeOptions to_second;
  to_second.target_path_id = 1;
  ASSERT_DB_OK(db_->CompactRange(to_second, nullptr, nullptr));
  ExpectFilled(*db_, 8'000, 1);
  EXPECT_GT(second->volume().Usage().files, 0u);
  EXPECT_GT(volume_->volume().Usage().files, 0u);
  {
    // Cannot be a link, since it is made on the second volume and goes to the first.
    const std::string made = directory_ + "/slow/made.sst";
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
    ASSERT_DB_OK(writer.Open(made));
    ASSERT_DB_OK(writer.Put("zzz", "ingested"));
    ASSERT_DB_OK(writer.Finish());
    rocksdb::IngestExternalFileOptions moving;
    moving.move_files = true;
    ASSERT_DB_OK(db_->IngestExternalFile({made}, moving));
  }
  db_.reset();

  // Without the second volume it does not open, and is whole when it is back.
  auto alone = rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(on(volume_)));
  options.env = alone.get();
  rocksdb::DB* opened = nullptr;
  EXPECT_FALSE(rocksdb::DB::Open(options, directory_ + "/db", &opened).ok());
  alone.reset();
  env.reset();
  second.reset();
  second = open_second();
  env = rocksdb::NewCompositeEnv(on_both(second));
  options.env = env.get();
  db_ = Open(options, directory_ + "/db");
  std::string ingested;
  ASSERT_DB_OK(db_->Get({}, "zzz", &ingested));
  EXPECT_EQ(ingested, "ingested");
  ASSERT_DB_OK(db_->Delete({}, "zzz"));
  ExpectFilled(*db_, 8'000, 1);
  db_.reset();
  EXPECT_TRUE(second->volume().Verify().ok());
}

}  // namespace
}  // namespace tifs::rocksfs
