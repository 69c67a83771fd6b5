#include "fs/file_system.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

class FileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Format(store_, clock_, format_).ok());
    Mount();
  }

  void Mount() {
    options_.background_thread = false;
    auto opened = FileSystem::Open(store_, clock_, options_);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    fs_ = *std::move(opened);
  }

  CreatedFile Create(std::string_view name) {
    auto created = fs_->Create(context_, kRootInode, name, 0644, {true, true});
    EXPECT_TRUE(created.ok());
    return *created;
  }

  void Write(const CreatedFile& file, uint64_t offset, std::string_view data) {
    auto written =
        fs_->Write(context_, file.entry.attributes.inode, file.file.handle, offset, data, {});
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    EXPECT_EQ(*written, data.size());
  }

  std::string Read(InodeNumber inode, uint64_t offset, size_t size) {
    std::string bytes(size, 'x');
    auto read = fs_->Read(context_, inode, {}, offset, bytes);
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    bytes.resize(read.ok() ? *read : 0);
    return bytes;
  }

  Attributes Stat(InodeNumber inode) {
    auto entry = fs_->GetAttributes(context_, inode);
    EXPECT_TRUE(entry.ok()) << entry.error().ToString();
    return entry->attributes;
  }

  void Truncate(InodeNumber inode, uint64_t size) {
    AttributeChanges changes;
    changes.size_bytes = size;
    auto changed = fs_->SetAttributes(context_, inode, changes);
    ASSERT_TRUE(changed.ok()) << changed.error().ToString();
  }

  void RunBackground() {
    for (;;) {
      auto more = fs_->RunBackgroundStep();
      ASSERT_TRUE(more.ok()) << more.error().ToString();
      if (!*more) return;
    }
  }

  kv::MemKv store_;
  ManualClock clock_;
  FormatOptions format_{.block_size_bytes = 4096};
  FileSystemOptions options_;
  OpContext context_;
  std::unique_ptr<FileSystem> fs_;
};

TEST_F(FileSystemTest, KeepsWhatIsWrittenAcrossMounts) {
  const CreatedFile file = Create("a");
  Write(file, 0, "hello");
  fs_.reset();
  Mount();
  auto found = fs_->Lookup(context_, kRootInode, "a");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->attributes.size_bytes, 5u);
  EXPECT_EQ(Read(found->attributes.inode, 0, 10), "hello");
}

TEST_F(FileSystemTest, ReadsZerosWhereNothingWasWritten) {
  const CreatedFile file = Create("sparse");
  Write(file, 10'000, "end");
  const InodeNumber inode = file.entry.attributes.inode;
  EXPECT_EQ(Read(inode, 0, 10'003), std::string(10'000, '\0') + "end");
  EXPECT_EQ(Stat(inode).size_bytes, 10'003u);
  EXPECT_EQ(Stat(inode).allocated_bytes, 4096u);
}

TEST_F(FileSystemTest, OldBytesDoNotReappearAfterTruncateAndExtend) {
  const CreatedFile file = Create("t");
  const InodeNumber inode = file.entry.attributes.inode;
  Write(file, 0, std::string(4096 * 600, 'a'));
  Truncate(inode, 5000);
  Truncate(inode, 4096 * 600);
  EXPECT_EQ(Read(inode, 4096, 4096), std::string(904, 'a') + std::string(4096 - 904, '\0'));
  EXPECT_EQ(Read(inode, 4096 * 599, 4096), std::string(4096, '\0'));
  Write(file, 4096 * 300, "new");
  RunBackground();
  EXPECT_EQ(Read(inode, 4096 * 300, 5), std::string("new\0\0", 5));
  EXPECT_EQ(Stat(inode).allocated_bytes, 3 * 4096u);
}

TEST_F(FileSystemTest, AnUnlinkedOpenFileStaysReadableAndIsThenReclaimed) {
  const CreatedFile file = Create("u");
  const InodeNumber inode = file.entry.attributes.inode;
  Write(file, 0, std::string(4096 * 40, 'u'));
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "u").ok());
  RunBackground();
  EXPECT_EQ(Read(inode, 4096 * 39, 2), "uu");
  EXPECT_EQ(Stat(inode).nlink, 0u);
  ASSERT_TRUE(fs_->Release(inode, file.file.handle).ok());
  RunBackground();
  EXPECT_FALSE(fs_->GetAttributes(context_, inode).ok());
  EXPECT_EQ(fs_->Info()->used_bytes, 0u);
  EXPECT_EQ(fs_->Info()->used_inodes, 1u);
}

TEST_F(FileSystemTest, OrphansOfACrashAreReclaimedByTheNextMount) {
  const CreatedFile file = Create("u");
  const InodeNumber inode = file.entry.attributes.inode;
  Write(file, 0, std::string(4096 * 40, 'u'));
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "u").ok());
  fs_.reset();
  Mount();
  RunBackground();
  EXPECT_EQ(fs_->GetAttributes(context_, inode).error().code(), ErrorCode::kStale);
  EXPECT_EQ(fs_->Info()->used_bytes, 0u);
}

TEST_F(FileSystemTest, ListsEachEntryOnceWhateverTheBatch) {
  std::set<std::string> expected{".", ".."};
  for (int i = 0; i < 300; ++i) {
    const std::string name = "name" + std::to_string(i);
    Create(name);
    expected.insert(name);
  }
  std::multiset<std::string> seen;
  uint64_t cookie = 0;
  for (bool more = true; more;) {
    more = false;
    ASSERT_TRUE(fs_->ReadDirectory(context_, kRootInode, cookie, 7, true,
                                   [&](const DirectoryEntry& e) {
                                     seen.insert(std::string(e.name));
                                     cookie = e.cookie;
                                     more = true;
                                     return true;
                                   })
                    .ok());
  }
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()), expected);
  EXPECT_EQ(seen.size(), expected.size());
}

TEST_F(FileSystemTest, PreallocationIsChargedAndGivenUpByTruncate) {
  const CreatedFile file = Create("p");
  const InodeNumber inode = file.entry.attributes.inode;
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {.keep_size = true}, 0, 4096 * 10).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, 4096u * 10);
  EXPECT_EQ(Stat(inode).size_bytes, 0u);
  Write(file, 0, "data");
  EXPECT_EQ(Stat(inode).allocated_bytes, 4096u * 10);
  Truncate(inode, 4);
  EXPECT_EQ(Stat(inode).allocated_bytes, 4096u);
}

TEST_F(FileSystemTest, ADirectoryCannotMoveIntoItself) {
  const auto a = fs_->Mkdir(context_, kRootInode, "a", 0755);
  const auto b = fs_->Mkdir(context_, a->attributes.inode, "b", 0755);
  const Status moved = fs_->Rename(context_, kRootInode, "a", b->attributes.inode, "c", 0);
  ASSERT_FALSE(moved.ok());
  EXPECT_EQ(moved.error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(Stat(kRootInode).nlink, 3u);
}

class ForgettingFileSystemTest : public FileSystemTest {
 protected:
  void SetUp() override {
    options_.caller_forgets = true;
    FileSystemTest::SetUp();
  }
};

TEST_F(ForgettingFileSystemTest, ARemovedDirectoryIsKnownUntilItIsForgotten) {
  const auto made = fs_->Mkdir(context_, kRootInode, "d", 0751);
  ASSERT_TRUE(made.ok());
  const InodeNumber inode = made->attributes.inode;
  ASSERT_TRUE(fs_->Rmdir(context_, kRootInode, "d").ok());
  const Attributes removed = Stat(inode);
  EXPECT_EQ(removed.nlink, 0u);
  EXPECT_EQ(removed.mode & 07777, 0751u);
  fs_->Forget(inode);
  EXPECT_EQ(fs_->GetAttributes(context_, inode).error().code(), ErrorCode::kStale);
}

class LimitedFileSystemTest : public FileSystemTest {
 protected:
  void SetUp() override {
    format_.capacity_bytes = 1 << 20;
    format_.max_inodes = 5;
    FileSystemTest::SetUp();
  }
};

TEST_F(LimitedFileSystemTest, NeverTakesMoreThanItsLimitsAndGivesSpaceBack) {
  const CreatedFile file = Create("big");
  const InodeNumber inode = file.entry.attributes.inode;
  Write(file, 0, std::string(1 << 20, 'b'));
  auto over = fs_->Write(context_, inode, {}, 1 << 20, std::string(4096, 'x'), {});
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(Stat(inode).size_bytes, 1u << 20);
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "big").ok());
  ASSERT_TRUE(fs_->Release(inode, file.file.handle).ok());
  const CreatedFile again = Create("again");
  Write(again, 0, std::string(1 << 20, 'c'));
  for (int i = 0; i < 3; ++i) Create(std::to_string(i));
  EXPECT_EQ(fs_->Create(context_, kRootInode, "one too many", 0644, {}).error().code(),
            ErrorCode::kNoSpace);
}

TEST_F(LimitedFileSystemTest, AttributesNeedRoomAndDoNotCount) {
  const CreatedFile file = Create("big");
  const InodeNumber inode = file.entry.attributes.inode;
  const auto set = [&](size_t bytes) {
    const Status status =
        fs_->SetXattr(context_, inode, "user.a", std::string(bytes, 'a'), XattrFlag::kAny);
    return status.ok() ? std::optional<ErrorCode>() : status.error().code();
  };
  Write(file, 0, std::string((1 << 20) - 4096, 'b'));
  EXPECT_EQ(set(4097), ErrorCode::kNoSpace);
  EXPECT_EQ(fs_->GetXattr(context_, inode, "user.a").error().code(), ErrorCode::kNoAttribute);
  EXPECT_EQ(set(4096), std::nullopt);
  // Not counted, so the file still takes its last block, and what does not grow needs no room.
  Write(file, (1 << 20) - 4096, std::string(4096, 'c'));
  EXPECT_EQ(set(4096), std::nullopt);
  EXPECT_EQ(set(4097), ErrorCode::kNoSpace);
  EXPECT_EQ(set(1), std::nullopt);
}

}  // namespace
}  // namespace tifs::fs
