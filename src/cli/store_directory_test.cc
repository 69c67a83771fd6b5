#include "cli/store_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "cli/store_owner.h"

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

class StoreDirectoryTest : public ::testing::Test {
 protected:
  StoreDirectoryTest() {
    std::string pattern = stdfs::temp_directory_path() / "tifs-store-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    path_ = root_ / "d";
  }
  ~StoreDirectoryTest() override { stdfs::remove_all(root_); }

  StoreState State() {
    const Result<StoreState> state = InspectStoreDirectory(path_);
    EXPECT_TRUE(state.ok());
    return state.ok() ? *state : StoreState::kForeign;
  }
  void Write(const std::string& name, std::string_view text) {
    std::ofstream(path_ / name) << text;
  }

  stdfs::path root_;
  stdfs::path path_;
};

TEST_F(StoreDirectoryTest, GoesFromAbsentToOurs) {
  EXPECT_EQ(State(), StoreState::kAbsent);
  ASSERT_TRUE(CreateStoreDirectory(path_).ok());
  EXPECT_EQ(State(), StoreState::kEmpty);
  ASSERT_TRUE(MarkStoreDirectory(path_, kPlainLayout).ok());
  EXPECT_EQ(State(), StoreState::kOurs);
  struct stat status;
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(StoreDirectoryTest, ANewDiskIsEmpty) {
  stdfs::create_directories(path_ / "lost+found");
  EXPECT_EQ(State(), StoreState::kEmpty);
  Write("lost+found/file", "");
  EXPECT_EQ(State(), StoreState::kForeign);
}

TEST_F(StoreDirectoryTest, WhatOthersPutThereIsForeign) {
  stdfs::create_directory(path_);
  Write("CURRENT", "MANIFEST-000001\n");
  EXPECT_EQ(State(), StoreState::kForeign);
  Write("tifs.store", "something else");
  EXPECT_EQ(State(), StoreState::kForeign);
}

TEST_F(StoreDirectoryTest, AnInterruptedFormatLeavesItEmpty) {
  stdfs::create_directory(path_);
  Write("tifs.owner", "{}");
  Write("tifs.store.new", "TiFS");
  EXPECT_EQ(State(), StoreState::kEmpty);
}

TEST_F(StoreDirectoryTest, KnowsALayoutOfALaterRelease) {
  stdfs::create_directory(path_);
  Write("tifs.store", "TiFS embedded store, layout 3\n");
  EXPECT_EQ(State(), StoreState::kNewer);
}

TEST_F(StoreDirectoryTest, AFileIsNoDirectory) {
  std::ofstream(path_) << "x";
  const Result<StoreState> state = InspectStoreDirectory(path_);
  ASSERT_FALSE(state.ok());
  EXPECT_EQ(state.error().code(), ErrorCode::kNotDirectory);
}

TEST_F(StoreDirectoryTest, EmptyingKeepsTheMark) {
  ASSERT_TRUE(CreateStoreDirectory(path_).ok());
  ASSERT_TRUE(MarkStoreDirectory(path_, kPlainLayout).ok());
  stdfs::create_directory(KvDirectoryOf(path_));
  Write("kv/file", "x");
  ASSERT_TRUE(EmptyStoreDirectory(path_).ok());
  EXPECT_EQ(State(), StoreState::kOurs);
  EXPECT_FALSE(stdfs::exists(KvDirectoryOf(path_)));
}

TEST_F(StoreDirectoryTest, AStoreWithoutItsCurrentFileIsLostAndAnUnfinishedOneIsNot) {
  stdfs::create_directory(path_);
  EXPECT_FALSE(HasLostItsStore(path_));
  stdfs::create_directory(KvDirectoryOf(path_));
  for (const char* name : {"LOG", "LOCK", "IDENTITY", "MANIFEST-000001"}) {
    Write(std::string("kv/") + name, "x");
  }
  Write("blocks", "");
  EXPECT_FALSE(HasLostItsStore(path_)) << "a format that was interrupted";
  for (const char* name : {"kv/000009.sst", "kv/000007.log", "kv/MANIFEST-000004", "blocks"}) {
    Write(name, "x");
    EXPECT_TRUE(HasLostItsStore(path_)) << name;
    Write("kv/CURRENT", "x");
    EXPECT_FALSE(HasLostItsStore(path_)) << name;
    stdfs::remove(KvDirectoryOf(path_) + "/CURRENT");
    stdfs::remove(path_ / name);
    EXPECT_FALSE(HasLostItsStore(path_)) << name;
  }
}

TEST_F(StoreDirectoryTest, OneOwnerAtATime) {
  stdfs::create_directory(path_);
  OwnerRecord record;
  record.activity = "mount";
  record.mount_point = "/mnt/\xff\n";
  {
    const auto owner = StoreOwner::Claim(path_, record);
    ASSERT_TRUE(owner.ok());
    EXPECT_FALSE((*owner)->predecessor_failure().has_value());
    const auto second = StoreOwner::Claim(path_, record);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), ErrorCode::kBusy);
    const auto read = StoreOwner::Read(path_);
    ASSERT_TRUE(read.ok() && read->has_value());
    EXPECT_EQ((*read)->pid, ::getpid());
    EXPECT_EQ((*read)->activity, "mount");
  }
  const auto nobody = StoreOwner::Read(path_);
  ASSERT_TRUE(nobody.ok());
  EXPECT_FALSE(nobody->has_value());
}

TEST_F(StoreDirectoryTest, WhatACrashedOwnerWroteIsReadByNobody) {
  stdfs::create_directory(path_);
  Write("tifs.owner", R"({"pid": 1, "activity": "mount"})");
  const auto nobody = StoreOwner::Read(path_);
  ASSERT_TRUE(nobody.ok());
  EXPECT_FALSE(nobody->has_value());
  const auto owner = StoreOwner::Claim(path_, OwnerRecord());
  ASSERT_TRUE(owner.ok());
  ASSERT_TRUE((*owner)->predecessor_failure().has_value());
  EXPECT_EQ((*owner)->predecessor_failure()->pid, 1);
  EXPECT_EQ((*owner)->predecessor_failure()->reason, "");
  const auto died = StoreOwner::FailureOf(path_, 1);
  ASSERT_TRUE(died.has_value());
  EXPECT_EQ(died->reason, "");
}

TEST_F(StoreDirectoryTest, AnOwnerLeavesBehindWhatItFailedAt) {
  stdfs::create_directory(path_);
  {
    const auto owner = StoreOwner::Claim(path_, OwnerRecord());
    ASSERT_TRUE(owner.ok());
    EXPECT_TRUE((*owner)->Update(OwnerRecord()).ok());
  }
  EXPECT_FALSE(StoreOwner::FailureOf(path_, ::getpid()).has_value());
  {
    const auto owner = StoreOwner::Claim(path_, OwnerRecord());
    ASSERT_TRUE(owner.ok());
    (*owner)->NoteFailure("no disk");
  }
  const auto nobody = StoreOwner::Read(path_);
  ASSERT_TRUE(nobody.ok());
  EXPECT_FALSE(nobody->has_value());
  ASSERT_TRUE(StoreOwner::FailureOf(path_, ::getpid()).has_value());
  EXPECT_EQ(StoreOwner::FailureOf(path_, ::getpid())->reason, "no disk");
  EXPECT_FALSE(StoreOwner::FailureOf(path_, ::getpid() + 1).has_value());
  const auto next = StoreOwner::Claim(path_, OwnerRecord());
  ASSERT_TRUE(next.ok());
  ASSERT_TRUE((*next)->predecessor_failure().has_value());
  EXPECT_EQ((*next)->predecessor_failure()->reason, "no disk");
}

TEST_F(StoreDirectoryTest, HowAnOwnerFailedIsKnownUnderTheNextOne) {
  stdfs::create_directory(path_);
  Write("tifs.owner", R"({"pid": 17, "activity": "mount", "failure": "no disk"})");
  const auto owner = StoreOwner::Claim(path_, OwnerRecord());
  ASSERT_TRUE(owner.ok());
  ASSERT_TRUE((*owner)->Update(OwnerRecord()).ok());
  ASSERT_TRUE(StoreOwner::FailureOf(path_, 17).has_value());
  EXPECT_EQ(StoreOwner::FailureOf(path_, 17)->reason, "no disk");
  Write("tifs.owner", "{");
  EXPECT_TRUE(StoreOwner::FailureOf(path_, 17).has_value());
}

}  // namespace
}  // namespace tifs::cli
