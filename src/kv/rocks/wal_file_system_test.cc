#include "kv/rocks/wal_file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kv/rocks/rocks_test_directory.h"
#include "kv/rocks/scripted_file_system.h"

namespace tifs::kv {
namespace {

using Call = ScriptedFileSystem::Call;
using rocksdb::IOStatus;

class WalFileSystemTest : public RocksTestDirectory {
 protected:
  // The log that is written now.
  std::filesystem::path Log() {
    std::filesystem::path newest;
    for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
      if (entry.path().extension() == ".log" && entry.path() > newest) newest = entry.path();
    }
    return newest;
  }
  static std::string Read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Overwrite(const std::filesystem::path& path, size_t offset, std::string_view bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

TEST_F(WalFileSystemTest, SyncExtendsTheLogByZerosWhichAreNotRead) {
  Open();
  ASSERT_TRUE(Put("a", std::string(1000, 'a')));
  ASSERT_TRUE(store_->Sync());
  const std::string bytes = Read(Log());
  ASSERT_GE(bytes.size(), WalFileSystem::kZerosStep);
  const size_t end = bytes.find_last_not_of('\0');
  EXPECT_GT(end, 1000u);
  EXPECT_LT(end, 1100u);
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(Put("k" + std::to_string(i), std::string(1000, 'v')));
    if (i % 7 == 0) {
      ASSERT_TRUE(store_->Sync());
    }
  }
  ASSERT_TRUE(store_->Sync());
  OpenCopyAfterCrash();
  EXPECT_EQ(Get("a"), std::string(1000, 'a'));
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(Get("k" + std::to_string(i)), std::string(1000, 'v')) << i;
  }
}

TEST_F(WalFileSystemTest, MostSyncsNeitherExtendNorSyncAnythingElse) {
  const auto file_system = std::make_shared<ScriptedFileSystem>();
  options_.file_system = file_system;
  options_.file_system_is_posix = true;
  ASSERT_EQ(mkdir(options_.path.c_str(), 0700), 0);
  Open();
  ASSERT_TRUE(Put("a", "1"));
  ASSERT_TRUE(store_->Sync());
  const auto size = std::filesystem::file_size(Log());
  int syncs = 0;
  file_system->SetScript([&](Call call, std::string_view path) {
    if (call == Call::kSync) {
      EXPECT_TRUE(path.ends_with(".log"));
      ++syncs;
    }
    return IOStatus::OK();
  });
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Put("a", std::string(500, 'v')));
    ASSERT_TRUE(store_->Sync());
  }
  EXPECT_EQ(syncs, 100);
  EXPECT_EQ(std::filesystem::file_size(Log()), size);
  file_system->SetScript(nullptr);
}

// Records that each fill a block of the log: where one is lost, a reader that passes over zeros
// finds the next one at the start of the next block.
TEST_F(WalFileSystemTest, NothingAfterAHoleIsTaken) {
  constexpr size_t kBlock = 32 << 10;
  constexpr size_t kOverhead = 7 + 12 + 1 + 1 + 2 + 3;  // headers, tag, lengths, key
  Open();
  for (const char* key : {"k1", "k2", "k3"}) {
    ASSERT_TRUE(Put(key, std::string(kBlock - kOverhead, 'v')));
  }
  ASSERT_TRUE(store_->Sync());
  const std::string bytes = Read(Log());
  ASSERT_EQ(bytes.find_last_not_of('\0') + 1, 3 * kBlock) << "the records fill their blocks";
  Overwrite(Log(), kBlock, std::string(kBlock, '\0'));
  OpenCopyAfterCrash();
  EXPECT_NE(Get("k1"), "");
  EXPECT_EQ(Get("k2"), "");
  EXPECT_EQ(Get("k3"), "") << "it came after what was lost";
}

TEST_F(WalFileSystemTest, LogThatLostItsStartIsEmpty) {
  Open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Put("k" + std::to_string(i), std::string(2000, 'v')));
  ASSERT_TRUE(store_->Sync());
  Overwrite(Log(), 0, std::string(4096, '\0'));
  OpenCopyAfterCrash();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Get("k" + std::to_string(i)), "");
}

TEST_F(WalFileSystemTest, TornRecordEndsTheLog) {
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Put("k" + std::to_string(i), std::string(2000, 'v')));
  ASSERT_TRUE(store_->Sync());
  Overwrite(Log(), 11'000, "torn");
  OpenCopyAfterCrash();
  EXPECT_NE(Get("k4"), "");
  for (int i = 5; i < 10; ++i) EXPECT_EQ(Get("k" + std::to_string(i)), "");
}

// Logs as RocksDB writes them, without RocksDB.
class LogOrderTest : public RocksTestDirectory {
 protected:
  LogOrderTest() {
    EXPECT_TRUE(file_system_.EndOpening().ok());
    base_->SetScript([this](Call call, std::string_view path) {
      if (call == Call::kCreate) return IOStatus::OK();
      events_ += call == Call::kSync ? "sync " : "append ";
      events_ += path.substr(path.rfind('/') + 1);
      events_ += "\n";
      return call == Call::kSync && fail_syncs_ ? IOStatus::IOError("scripted") : IOStatus::OK();
    });
  }

  std::unique_ptr<rocksdb::FSWritableFile> NewLog(const std::string& name) {
    std::unique_ptr<rocksdb::FSWritableFile> log;
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(file_system_.NewWritableFile(path, {}, &log, nullptr).ok());
    return log;
  }
  static IOStatus Append(rocksdb::FSWritableFile& log) { return log.Append("bytes", {}, nullptr); }
  std::string TakeEvents() { return std::exchange(events_, ""); }

  const std::shared_ptr<ScriptedFileSystem> base_ = std::make_shared<ScriptedFileSystem>();
  WalFileSystem file_system_{base_, {.zeros_ahead = false, .private_files = false}};
  std::string events_;
  bool fail_syncs_ = false;
};

TEST_F(LogOrderTest, FirstByteComesOnlyWhenTheLogsBeforeAreDurable) {
  auto first = NewLog("1.log");
  ASSERT_TRUE(Append(*first).ok());
  auto second = NewLog("2.log");
  ASSERT_TRUE(Append(*first).ok());
  EXPECT_EQ(TakeEvents(), "append 1.log\nappend 1.log\n");
  ASSERT_TRUE(Append(*second).ok());
  EXPECT_EQ(TakeEvents(), "sync 1.log\nappend 2.log\n");
  ASSERT_TRUE(Append(*second).ok());
  EXPECT_EQ(TakeEvents(), "append 2.log\n");
  auto third = NewLog("3.log");
  ASSERT_TRUE(Append(*third).ok());
  EXPECT_EQ(TakeEvents(), "sync 2.log\nappend 3.log\n");
}

TEST_F(LogOrderTest, FirstByteDoesNotComeIfTheLogBeforeCannotBeSynced) {
  auto first = NewLog("1.log");
  auto second = NewLog("2.log");
  ASSERT_TRUE(Append(*first).ok());
  fail_syncs_ = true;
  EXPECT_FALSE(Append(*second).ok());
  EXPECT_FALSE(Append(*second).ok());
  EXPECT_EQ(TakeEvents(), "append 1.log\nsync 1.log\nsync 1.log\n");
}

TEST_F(LogOrderTest, RocksDbHearsOfNoFailureWhileItOpens) {
  WalFileSystem opening(base_, {.zeros_ahead = false, .private_files = false});
  std::unique_ptr<rocksdb::FSWritableFile> log;
  ASSERT_TRUE(opening.NewWritableFile(directory_ + "/1.log", {}, &log, nullptr).ok());
  fail_syncs_ = true;
  EXPECT_TRUE(Append(*log).ok());
  EXPECT_TRUE(log->Sync({}, nullptr).ok());
  EXPECT_FALSE(opening.EndOpening().ok());
  EXPECT_FALSE(log->Sync({}, nullptr).ok());
}

TEST_F(LogOrderTest, SyncReachesEveryOpenLogThatIsDirty) {
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  auto first = NewLog("1.log");
  auto discarded = NewLog("2.log");  // as RocksDB does when switching logs fails
  ASSERT_TRUE(Append(*first).ok());
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  ASSERT_TRUE(Append(*first).ok());
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  EXPECT_EQ(TakeEvents(), "append 1.log\nsync 1.log\nappend 1.log\nsync 1.log\n");
  discarded.reset();
  ASSERT_TRUE(Append(*first).ok());
  fail_syncs_ = true;
  EXPECT_FALSE(file_system_.SyncLogs().ok());
  EXPECT_EQ(TakeEvents(), "append 1.log\nsync 1.log\n");
}

TEST_F(LogOrderTest, ClosedLogIsInNobodysWay) {
  auto first = NewLog("1.log");
  ASSERT_TRUE(Append(*first).ok());
  ASSERT_TRUE(first->Close({}, nullptr).ok());
  auto second = NewLog("2.log");
  ASSERT_TRUE(Append(*second).ok());
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  EXPECT_EQ(TakeEvents(), "append 1.log\nappend 2.log\nsync 2.log\n");
}

TEST_F(LogOrderTest, OtherFilesAreNoLogs) {
  auto table = NewLog("1.sst");
  auto named = NewLog("x1.log");
  ASSERT_TRUE(Append(*table).ok());
  ASSERT_TRUE(Append(*named).ok());
  EXPECT_TRUE(file_system_.SyncLogs().ok());
  EXPECT_EQ(TakeEvents(), "append 1.sst\nappend x1.log\n");
}

}  // namespace
}  // namespace tifs::kv
