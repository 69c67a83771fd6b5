#include "kv/rocks/rocks_kv.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "kv/rocks/rocks_test_directory.h"

namespace tifs::kv {
namespace {

class RocksKvTest : public RocksTestDirectory {
 protected:
  // Name and time of the last change of each file.
  std::map<std::string, std::filesystem::file_time_type> Files() {
    std::map<std::string, std::filesystem::file_time_type> files;
    for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
      files[entry.path().filename()] = entry.last_write_time();
    }
    return files;
  }
};

TEST_F(RocksKvTest, StoreThatIsNotThereIsNotFound) {
  options_.create = false;
  EXPECT_EQ(OpenError(options_), ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(options_.path));
  options_.path = directory_ + "/a/b";
  options_.create = true;
  EXPECT_EQ(OpenError(options_), ErrorCode::kNotFound) << "the parent must exist";
}

TEST_F(RocksKvTest, OptionsAreChecked) {
  RocksOptions relative = options_;
  relative.path = "store";
  EXPECT_EQ(OpenError(relative), ErrorCode::kInvalid);
  RocksOptions starved = options_;
  starved.memory_bytes = 1 << 20;
  EXPECT_EQ(OpenError(starved), ErrorCode::kInvalid);
  RocksOptions contradictory = options_;
  contradictory.read_only = true;
  EXPECT_EQ(OpenError(contradictory), ErrorCode::kInvalid);
}

TEST_F(RocksKvTest, FilesArePrivate) {
  const mode_t before = umask(0);
  Open();
  ASSERT_TRUE(Put("a", "1"));
  Open();
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
    ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 5);
}

// A LOG on a medium that fails would end the process; see rocks_log.h.
TEST_F(RocksKvTest, RocksDbHasNoLogOfItsOwn) {
  Open();
  ASSERT_TRUE(Put("a", "b").ok());
  for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("LOG")) << entry.path();
  }
}

TEST_F(RocksKvTest, IsBusyWhileItIsOpenHere) {
  Open();
  EXPECT_EQ(OpenError(options_), ErrorCode::kBusy);
  RocksOptions reader = options_;
  reader.create = false;
  reader.read_only = true;
  EXPECT_EQ(OpenError(reader), ErrorCode::kBusy);
  store_.reset();
  Open();
}

TEST_F(RocksKvTest, IsBusyWhileAnotherProcessHasIt) {
  Open();
  store_.reset();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const std::string path = options_.path + "/LOCK";
  const pid_t holder = fork();
  if (holder == 0) {
    // Only calls that are safe after a fork: takes the lock as RocksDB does, and waits.
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    const int fd = open(path.c_str(), O_RDWR);
    const char result = fcntl(fd, F_SETLK, &lock) == 0 ? 'y' : 'n';
    (void)!write(ready[1], &result, 1);
    for (;;) pause();
  }
  char held = 0;
  ASSERT_EQ(read(ready[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  EXPECT_EQ(OpenError(options_), ErrorCode::kBusy);
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  Open();
}

TEST_F(RocksKvTest, OrderlyEndKeepsEverything) {
  Open();
  ASSERT_TRUE(Put("a", "1"));
  ASSERT_TRUE(Put("b", std::string(100'000, 'b')));
  Open();
  EXPECT_EQ(Get("a"), "1");
  EXPECT_EQ(Get("b"), std::string(100'000, 'b'));
}

TEST_F(RocksKvTest, SyncedCommitsSurviveACrash) {
  Open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Put("k" + std::to_string(i), std::string(i * 500, 'v')));
  }
  ASSERT_TRUE(store_->Sync());
  OpenCopyAfterCrash();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Get("k" + std::to_string(i)), std::string(i * 500, 'v'));
  }
}

// Keys that every commit writes together are the same at every snapshot, in whatever order and from
// wherever they are read.
TEST_F(RocksKvTest, ReadsOfOneTransactionAgreeWhileOthersCommit) {
  constexpr int kKeys = 4;
  constexpr int kCommits = 20000;
  Open();
  std::atomic<bool> done{false};
  std::jthread writer([&] {
    for (int i = 0; i < kCommits; ++i) {
      auto txn = *store_->Begin();
      for (int k = 0; k < kKeys; ++k) {
        const std::string key = "k" + std::to_string(k);
        const bool is_gone = i % 7 == 0;
        EXPECT_TRUE((is_gone ? txn->Delete(key) : txn->Put(key, std::to_string(i))).ok());
      }
      EXPECT_TRUE(txn->Commit().ok());
    }
    done = true;
  });
  const auto read = [&](uint64_t seed) {
    for (uint64_t i = seed; !done; ++i) {
      auto txn = *store_->Begin();
      std::optional<std::string> first;
      for (int n = 0; n < kKeys; ++n) {
        const auto value = *txn->Get("k" + std::to_string((i + n) % kKeys));
        const std::string text = value ? std::string(value->view()) : "(none)";
        if (!first) first = text;
        ASSERT_EQ(text, *first);
      }
    }
  };
  std::jthread reader([&] { read(0); });
  read(1);
}

TEST_F(RocksKvTest, TimestampsRiseAcrossRestarts) {
  Timestamp last = 0;
  for (int i = 0; i < 3; ++i) {
    Open();
    const Timestamp now = (*store_->Begin())->begin_timestamp();
    EXPECT_GE(now, last);
    ASSERT_TRUE(Put("a", "1"));
    last = (*store_->Begin())->begin_timestamp();
    EXPECT_GT(last, now);
    if (i == 1) {
      ASSERT_TRUE(store_->Sync());
      OpenCopyAfterCrash();
    }
  }
}

TEST_F(RocksKvTest, OpenForReadingChangesNothing) {
  Open();
  ASSERT_TRUE(Put("a", "1"));
  ASSERT_TRUE(store_->Sync());
  OpenCopyAfterCrash();  // leaves a copy whose log has not been read yet
  store_.reset();
  std::filesystem::remove_all(options_.path);
  options_.path = directory_ + "/store";
  Open();
  ASSERT_TRUE(Put("b", "2"));
  ASSERT_TRUE(store_->Sync());
  const std::string copy = directory_ + "/copy";
  std::filesystem::copy(options_.path, copy);
  store_.reset();

  options_.path = copy;
  options_.create = false;
  options_.read_only = true;
  const auto before = Files();
  Open();
  EXPECT_EQ(Get("a"), "1");
  EXPECT_EQ(Get("b"), "2") << "what only the log holds";
  EXPECT_NE(store_->ReadOnlyReason(), "");
  auto transaction = *store_->Begin();
  ASSERT_TRUE(transaction->Put("c", "3"));
  EXPECT_EQ(transaction->Commit().error().code(), ErrorCode::kReadOnly);
  EXPECT_TRUE((*store_->Begin())->Commit()) << "nothing was written";
  EXPECT_TRUE(store_->Sync());
  EXPECT_EQ(Get("c"), "");
  transaction.reset();
  store_.reset();
  EXPECT_EQ(Files(), before);
}

TEST_F(RocksKvTest, CorruptTableIsAnErrorOfTheReads) {
  Open();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(Put("key" + std::to_string(i), std::string(200, 'v')));
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (int offset = 100; offset < 20'000; offset += 1000) {
      file.seekp(offset);
      file.put('!');
    }
  }
  Open();
  int corrupt = 0;
  for (int i = 0; i < 1000; ++i) {
    const Result<std::optional<Value>> value = store_->GetLatest("key" + std::to_string(i));
    if (value) continue;
    EXPECT_EQ(value.error().code(), ErrorCode::kCorrupt);
    ++corrupt;
  }
  EXPECT_GT(corrupt, 10);
  auto transaction = *store_->Begin();
  const Status scanned =
      transaction->Scan({}, 0, Direction::kForward, [](auto, auto) { return true; });
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().code(), ErrorCode::kCorrupt);
  const std::string_view keys[] = {"key0", "key1"};
  EXPECT_FALSE(transaction->BatchGet(keys));
}

TEST_F(RocksKvTest, CorruptManifestIsAnErrorOfOpen) {
  Open();
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
    if (!entry.path().filename().string().starts_with("MANIFEST-")) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.put('!');
  }
  EXPECT_EQ(OpenError(options_), ErrorCode::kCorrupt);
}

TEST_F(RocksKvTest, SpaceIsThatOfTheDiskBelow) {
  Open();
  const SpaceUsage space = *store_->Space();
  const auto below = std::filesystem::space(options_.path);
  EXPECT_EQ(space.total_bytes, below.capacity);
  EXPECT_GT(space.available_bytes, 0u);
  EXPECT_LE(space.available_bytes, space.total_bytes);
}

}  // namespace
}  // namespace tifs::kv
