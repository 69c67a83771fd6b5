#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "kv/rocks/rocks_test_directory.h"
#include "kv/rocks/scripted_file_system.h"
#include "kv/rocks/store_health.h"

namespace tifs::kv {
namespace {

using Call = ScriptedFileSystem::Call;
using rocksdb::IOStatus;

// Which calls the medium refuses.
struct Place {
  const char* name;
  Call call;
  const char* path_part;
};

constexpr Place kLogAppend{"LogAppend", Call::kAppend, ".log"};
constexpr Place kLogSync{"LogSync", Call::kSync, ".log"};
constexpr Place kNewLog{"NewLog", Call::kCreate, ".log"};
constexpr Place kNewTable{"NewTable", Call::kCreate, ".sst"};
constexpr Place kTableAppend{"TableAppend", Call::kAppend, ".sst"};
constexpr Place kManifest{"Manifest", Call::kAppend, "MANIFEST-"};

std::string NameOf(const ::testing::TestParamInfo<Place>& info) { return info.param.name; }

// Stands still; who waits on it waits until he is woken.
class StillClock : public ManualClock {
 public:
  bool WaitFor(CondVar& condition, Mutex& mutex, std::chrono::nanoseconds) override {
    condition.Wait(mutex);
    return true;
  }
};

class RocksFailureTest : public RocksTestDirectory, public ::testing::WithParamInterface<Place> {
 protected:
  RocksFailureTest() {
    options_.file_system = file_system_;
    options_.file_system_is_posix = true;
    options_.clock = &clock_;
    EXPECT_EQ(mkdir(options_.path.c_str(), 0700), 0);
  }
  ~RocksFailureTest() override {
    file_system_->SetScript(nullptr);
    store_.reset();
  }

  // The medium answers so at that place; and once it has, `for_all` at every place.
  void Refuse(const Place& place, const IOStatus& answer, bool for_all = false) {
    refused_ = 0;
    file_system_->SetScript([=, this](Call call, std::string_view path) {
      const bool here = call == place.call && path.find(place.path_part) != path.npos;
      if (!here && !(for_all && refused_ > 0)) return IOStatus::OK();
      ++refused_;
      return answer;
    });
  }
  void Allow() { file_system_->SetScript(nullptr); }

  // Commits until one fails, and returns its error; what succeeded is counted in `committed_`.
  Error CommitUntilItFails() {
    for (int i = 0; i < 20'000; ++i) {
      Status status = Put("k" + std::to_string(committed_ + 1), value_);
      // A table that cannot be written shows in the next commits, not in the one that filled it.
      if (status && i % 16 == 15) status = store_->Sync();
      if (!status) return std::move(status).error();
      ++committed_;
    }
    return Error(ErrorCode::kInvalid, "nothing failed");
  }
  void ExpectAllCommittedIsThere() {
    for (int i = 1; i <= committed_; ++i) {
      ASSERT_EQ(Get("k" + std::to_string(i)).size(), value_.size()) << i << " of " << committed_;
    }
  }

  const std::shared_ptr<ScriptedFileSystem> file_system_ = std::make_shared<ScriptedFileSystem>();
  StillClock clock_;
  std::atomic<int> refused_{0};
  int committed_ = 0;
  const std::string value_ = std::string(10'000, 'v');
};

class RocksLatchTest : public RocksFailureTest {};
INSTANTIATE_TEST_SUITE_P(Places, RocksLatchTest,
                         ::testing::Values(kLogAppend, kLogSync, kNewLog, kNewTable, kTableAppend,
                                           kManifest),
                         NameOf);

TEST_P(RocksLatchTest, FailureLatchesUntilTheStoreIsOpenedAgain) {
  Open();
  ASSERT_TRUE(Put("before", "1"));
  ASSERT_TRUE(store_->Sync());
  Refuse(GetParam(), IOStatus::IOError("scripted"));
  const Error error = CommitUntilItFails();
  EXPECT_TRUE(error.code() == ErrorCode::kIo || error.code() == ErrorCode::kReadOnly)
      << error.ToString();
  EXPECT_GT(refused_, 0);
  EXPECT_NE(store_->ReadOnlyReason(), "");

  Allow();
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(Put("after", "1").error().code(), ErrorCode::kReadOnly) << "it never works again";
  EXPECT_EQ(Get("after"), "");
  EXPECT_EQ(Get("before"), "1") << "reads go on";
  ExpectAllCommittedIsThere();

  Open();
  EXPECT_EQ(store_->ReadOnlyReason(), "");
  EXPECT_EQ(Get("before"), "1");
  EXPECT_EQ(Get("after"), "");
  EXPECT_TRUE(Put("after", "1"));
  EXPECT_TRUE(store_->Sync());
}

TEST_F(RocksLatchTest, FailedSyncIsNotDurableForAnybody) {
  Open();
  ASSERT_TRUE(Put("a", "1"));
  Refuse(kLogSync, IOStatus::IOError("scripted"));
  EXPECT_EQ(store_->Sync().error().code(), ErrorCode::kIo);
  Allow();
  const Status again = store_->Sync();
  ASSERT_FALSE(again) << "a sync that failed is never repeated into success";
  EXPECT_EQ(again.error().code(), ErrorCode::kReadOnly);
}

class RocksFullTest : public RocksFailureTest {};
INSTANTIATE_TEST_SUITE_P(Places, RocksFullTest,
                         ::testing::Values(kLogAppend, kLogSync, kNewLog, kNewTable, kTableAppend,
                                           kManifest),
                         NameOf);

TEST_P(RocksFullTest, WorksAgainOnceThereIsSpace) {
  Open();
  for (int round = 0; round < 3; ++round) {
    Refuse(GetParam(), IOStatus::NoSpace("scripted"), true);
    const Error error = CommitUntilItFails();
    EXPECT_EQ(error.code(), ErrorCode::kNoSpace) << error.ToString();
    EXPECT_GT(refused_, 0);
    clock_.Advance(StoreHealth::kRetry);
    EXPECT_EQ(Put("while it is full", "1").error().code(), ErrorCode::kNoSpace);
    EXPECT_EQ(Get("while it is full"), "");
    EXPECT_NE(store_->ReadOnlyReason(), "");
    ExpectAllCommittedIsThere();

    Allow();
    clock_.Advance(StoreHealth::kRetry);
    const std::string key = "after " + std::to_string(round);
    const Status works = Put(key, "1");
    ASSERT_TRUE(works) << works.error().ToString();
    EXPECT_EQ(store_->ReadOnlyReason(), "");
    ASSERT_TRUE(store_->Sync());
    ExpectAllCommittedIsThere();
  }
  OpenCopyAfterCrash();
  ExpectAllCommittedIsThere();
  EXPECT_EQ(Get("after 0"), "1");
  EXPECT_EQ(Get("after 2"), "1");
  EXPECT_EQ(Get("while it is full"), "");
}

TEST_F(RocksFullTest, SyncTellsAndThenMakesDurable) {
  Open();
  ASSERT_TRUE(Put("a", "1"));
  Refuse(kLogAppend, IOStatus::NoSpace("scripted"), true);
  EXPECT_EQ(store_->Sync().error().code(), ErrorCode::kNoSpace);
  clock_.Advance(StoreHealth::kRetry);
  Allow();
  const Status synced = store_->Sync();
  ASSERT_TRUE(synced) << synced.error().ToString();
  OpenCopyAfterCrash();
  EXPECT_EQ(Get("a"), "1");
}

TEST_F(RocksFullTest, AsksNotMoreOftenThanItShould) {
  Open();
  ASSERT_TRUE(Put("a", "1"));
  Refuse(kLogAppend, IOStatus::NoSpace("scripted"), true);
  EXPECT_FALSE(store_->Sync());
  EXPECT_EQ(Put("b", "1").error().code(), ErrorCode::kNoSpace);  // tries, in vain
  const int asked = refused_;
  Allow();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Put("b", "1"));
  EXPECT_EQ(refused_, asked);
  clock_.Advance(StoreHealth::kRetry);
  EXPECT_TRUE(Put("b", "1"));
}

}  // namespace
}  // namespace tifs::kv
