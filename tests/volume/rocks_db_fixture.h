#pragma once

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "block/mem_device.h"
#include "rocksfs/rocks_file_system.h"

namespace tifs::rocksfs {

namespace fs = std::filesystem;

#define ASSERT_DB_OK(expression)                         \
  do {                                                   \
    const rocksdb::Status db_status = (expression);      \
    ASSERT_TRUE(db_status.ok()) << db_status.ToString(); \
  } while (false)

inline std::string Key(int number) {
  std::string digits = std::to_string(number);
  return "key" + std::string(8 - digits.size(), '0') + digits;
}

// A RocksDB on a volume in memory, its base a directory of its own.
class RocksDbTest : public testing::Test {
 protected:
  explicit RocksDbTest(uint64_t device_bytes = 256 << 20)
      : RocksDbTest(*block::MemDevice::Open({.size_bytes = device_bytes})) {}
  explicit RocksDbTest(std::unique_ptr<block::BlockDevice> disk) : disk_(std::move(disk)) {
    directory_ = fs::temp_directory_path() / "tifs-rocks-db-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    EXPECT_TRUE(volume::Volume::Format(*disk_, {.name = "test"}, SystemClock()).ok());
    OpenVolume();
  }
  ~RocksDbTest() override {
    db_.reset();
    kv_.reset();
    if (volume_) {
      const Status sound = volume_->volume().Verify();
      EXPECT_TRUE(sound.ok()) << sound.error().ToString();
    }
    volume_.reset();
    fs::remove_all(directory_);
  }

  void OpenVolume() {
    auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(*disk_),
                                       {.owner = "rocks_db_test"});
    ASSERT_TRUE(volume.ok()) << volume.error().ToString();
    volume_ = SharedVolume::Of(*std::move(volume));
    kv_ = EnvOf("kv");
  }
  std::unique_ptr<rocksdb::Env> EnvOf(const std::string& root) {
    auto opened = RocksFileSystem::Open(volume_, rocksdb::FileSystem::Default(),
                                        {.root = root, .base_directory = directory_});
    EXPECT_TRUE(opened.ok());
    return rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(*std::move(opened)));
  }
  static rocksdb::Options Small(rocksdb::Env* env) {
    rocksdb::Options options;
    options.env = env;
    options.create_if_missing = true;
    options.write_buffer_size = 256 << 10;
    options.target_file_size_base = 256 << 10;
    options.max_bytes_for_level_base = 1 << 20;
    options.compression = rocksdb::kNoCompression;
    return options;
  }
  std::unique_ptr<rocksdb::DB> Open(const rocksdb::Options& options, const std::string& name) {
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, name, &db);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<rocksdb::DB>(db);
  }
  // So many keys, overwritten `rounds` times; the value says key and round.
  static void Fill(rocksdb::DB& db, int keys, int rounds = 1, size_t value_bytes = 500) {
    for (int round = 0; round < rounds; ++round) {
      for (int i = 0; i < keys; ++i) {
        ASSERT_DB_OK(db.Put({}, Key(i), Value(i, round, value_bytes)));
      }
    }
  }
  static std::string Value(int key, int round, size_t bytes = 500) {
    std::string value = Key(key) + "/" + std::to_string(round) + "/";
    while (value.size() < bytes) value += static_cast<char>('a' + (value.size() * 7 + key) % 26);
    return value;
  }
  static void ExpectFilled(rocksdb::DB& db, int keys, int round, size_t value_bytes = 500) {
    for (int i = 0; i < keys; i += 7) {
      std::string value;
      ASSERT_DB_OK(db.Get({}, Key(i), &value));
      ASSERT_EQ(value, Value(i, round, value_bytes));
    }
    std::unique_ptr<rocksdb::Iterator> each(db.NewIterator({}));
    int count = 0;
    for (each->SeekToFirst(); each->Valid(); each->Next()) ++count;
    EXPECT_TRUE(each->status().ok()) << each->status().ToString();
    EXPECT_EQ(count, keys);
  }
  std::vector<std::string> OnBase(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_ + "/" + name)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string directory_;
  std::unique_ptr<block::BlockDevice> disk_;
  std::shared_ptr<SharedVolume> volume_;
  std::unique_ptr<rocksdb::Env> kv_;
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace tifs::rocksfs
