#include "fs/fs_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "fs/file_system.h"
#include "fs/record_store.h"
#include "fs/schema.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;

// A small tree: /dir/file (2 blocks), /hard and /dir/file are one file, /small in line, /attr.
class FsCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Format(store_, clock_, {.block_size_bytes = 4096}).ok());
    auto fs = FileSystem::Open(store_, clock_, {.background_thread = false});
    ASSERT_TRUE(fs.ok());
    dir_ = (*fs)->Mkdir(context_, kRootInode, "dir", 0755)->attributes.inode;
    const auto file = (*fs)->Create(context_, dir_, "file", 0644, {});
    file_ = file->entry.attributes.inode;
    ASSERT_TRUE((*fs)->Write(context_, file_, {}, 0, std::string(8192, 'f'), {}).ok());
    ASSERT_TRUE((*fs)->Link(context_, file_, kRootInode, "hard").ok());
    small_ = (*fs)->Create(context_, kRootInode, "small", 0644, {})->entry.attributes.inode;
    ASSERT_TRUE((*fs)->Write(context_, small_, {}, 0, "in line", {}).ok());
    ASSERT_TRUE((*fs)->SetXattr(context_, small_, "user.x", "y", XattrFlag::kAny).ok());
    (*fs).reset();
    const auto meta = store_.GetLatest(Schema().Meta());
    schema_.emplace("", MetaRecord::Decode((*meta)->view())->hash_seed);
  }

  template <typename Change>
  void Damage(Change change) {
    auto txn = store_.Begin();
    RecordStore records(**txn, *schema_, 1, nullptr);
    change(records);
    ASSERT_TRUE((*txn)->Commit().ok());
  }

  CheckReport Run(bool repair) {
    auto report = Check(store_, clock_, {.repair = repair, .progress = {}});
    EXPECT_TRUE(report.ok());
    return *std::move(report);
  }

  // Finds it, changes nothing; then mends it, so that nothing is found any more.
  void ExpectFoundAndMended(const std::string& what) {
    const auto finding = [&](bool repaired) {
      return Contains(AllOf(Field(&CheckFinding::what, HasSubstr(what)),
                            Field(&CheckFinding::repaired, repaired)));
    };
    EXPECT_THAT(Run(false).findings, finding(false));
    EXPECT_THAT(Run(false).findings, finding(false));
    const CheckReport mended = Run(true);
    EXPECT_THAT(mended.findings, finding(true));
    EXPECT_EQ(mended.unrepaired, 0u);
    const CheckReport clean = Run(false);
    EXPECT_EQ(clean.finding_count, 0u) << clean.findings.front().what;
  }

  kv::MemKv store_;
  ManualClock clock_;
  const OpContext context_;
  InodeNumber dir_, file_, small_;
  std::optional<Schema> schema_;
};

TEST_F(FsCheckTest, FindsNothingInASoundFileSystem) {
  const CheckReport report = Run(false);
  EXPECT_EQ(report.finding_count, 0u);
  EXPECT_EQ(report.inodes, 4u);
  EXPECT_EQ(report.directories, 2u);
  EXPECT_EQ(report.blocks, 2u);
}

TEST_F(FsCheckTest, MendsAnEntryOfAMissingInode) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteInode(small_).ok()); });
  ExpectFoundAndMended("entry that leads nowhere");
}

TEST_F(FsCheckTest, MendsACorruptInode) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.transaction().Put(schema_->Inode(file_), "\x07junk").ok());
  });
  ExpectFoundAndMended("corrupt inode");
}

TEST_F(FsCheckTest, LinksANamelessInodeToLostAndFound) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok()); });
  ExpectFoundAndMended("has no name");
  auto fs = FileSystem::Open(store_, clock_, {.background_thread = false});
  const auto lost = (*fs)->Lookup(context_, kRootInode, "lost+found");
  ASSERT_TRUE(lost.ok());
  EXPECT_TRUE(
      (*fs)->Lookup(context_, lost->attributes.inode, "#" + std::to_string(small_.value)).ok());
}

TEST_F(FsCheckTest, MendsAWrongLinkCount) {
  Damage([&](RecordStore& r) {
    auto record = r.LoadInode(file_);
    record->nlink = 7;
    ASSERT_TRUE(r.StoreInode(*record).ok());
  });
  ExpectFoundAndMended("has link count 7, not 2");
}

TEST_F(FsCheckTest, MendsAWrongEntryCount) {
  Damage([&](RecordStore& r) {
    auto stripe = r.LoadStripe(dir_, 0);
    stripe->entries = 5;
    ASSERT_TRUE(r.StoreStripe(dir_, 0, *stripe).ok());
  });
  ExpectFoundAndMended("counts its entries wrongly");
}

TEST_F(FsCheckTest, MendsAWrongChargeAndUsage) {
  Damage([&](RecordStore& r) {
    auto record = r.LoadInode(file_);
    record->charged_bytes = 1;
    ASSERT_TRUE(r.StoreInode(*record).ok());
  });
  ExpectFoundAndMended("is charged 1 bytes, not 8192");
}

TEST_F(FsCheckTest, MendsAStrayBlock) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.transaction().Put(schema_->Block({999}, {0}), "\x01stray").ok());
  });
  ExpectFoundAndMended("block of no file");
}

TEST_F(FsCheckTest, MendsABlockBeyondTheEnd) {
  Damage([&](RecordStore& r) {
    auto record = r.LoadInode(file_);
    record->size_bytes = 4096;
    ASSERT_TRUE(r.StoreInode(*record).ok());
  });
  ExpectFoundAndMended("block beyond the end");
}

TEST_F(FsCheckTest, MendsAnOrphanThatIsNotQueued) {
  Damage([&](RecordStore& r) {
    auto record = r.LoadInode(small_);
    record->nlink = 0;
    ASSERT_TRUE(r.StoreInode(*record).ok());
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
  });
  ExpectFoundAndMended("waits for work that is not queued");
}

TEST_F(FsCheckTest, MendsACycleOfDirectories) {
  InodeNumber inner;
  {
    auto fs = FileSystem::Open(store_, clock_, {.background_thread = false});
    inner = (*fs)->Mkdir(context_, dir_, "inner", 0755)->attributes.inode;
  }
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok());
    ASSERT_TRUE(r.StoreDentry(inner, "dir", {dir_, S_IFDIR}).ok());
    auto record = r.LoadInode(dir_);
    record->parent = inner;
    ASSERT_TRUE(r.StoreInode(*record).ok());
  });
  ExpectFoundAndMended("is its own ancestor");
}

TEST_F(FsCheckTest, MendsAnInodeNumberThatWouldBeUsedTwice) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.transaction().Delete(schema_->NextInode()).ok()); });
  ExpectFoundAndMended("next inode number");
}

TEST_F(FsCheckTest, MendsUnknownKeysAndStrayXattrs) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.transaction().Put("\x03what", "").ok());
    ASSERT_TRUE(r.transaction().Put("\xf0last", "").ok());
    ASSERT_TRUE(r.StoreXattr({777}, "user.stray", "v").ok());
  });
  EXPECT_EQ(Run(false).finding_count, 3u);
  ExpectFoundAndMended("unknown key");
}

}  // namespace
}  // namespace tifs::fs
