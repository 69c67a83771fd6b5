// The pairs of docs/consistency.md: two operations on overlapping snapshots of which each reads
// what the other changes. Whichever commits first, the other must not commit.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fs/data/kv_blocks.h"
#include "fs/file_system.h"
#include "fs/operation.h"
#include "fs/ops/ops.h"
#include "fs/posix_acl.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

using Body = std::function<Status(Operation&)>;

template <typename T>
Status Drop(Result<T> result) {
  if (!result) return std::move(result).error();
  return {};
}

// The tree: /d, /e, /p/x, /q/y (directories), /f, /g (files).
class SkewTest : public testing::Test {
 protected:
  void SetUp() override { MakeTree(); }

  void MakeTree() {
    mount_.reset();
    store_ = std::make_unique<kv::MemKv>();
    ASSERT_TRUE(Format(*store_, clock_, {.block_size_bytes = 4096}).ok());
    {
      const auto fs = *FileSystem::Open(*store_, clock_, {.background_thread = false});
      d_ = fs->Mkdir(root_, kRootInode, "d", 0755)->attributes.inode;
      e_ = fs->Mkdir(root_, kRootInode, "e", 0755)->attributes.inode;
      p_ = fs->Mkdir(root_, kRootInode, "p", 0755)->attributes.inode;
      q_ = fs->Mkdir(root_, kRootInode, "q", 0755)->attributes.inode;
      x_ = fs->Mkdir(root_, p_, "x", 0755)->attributes.inode;
      y_ = fs->Mkdir(root_, q_, "y", 0755)->attributes.inode;
      f_ = fs->Mknod(root_, kRootInode, "f", S_IFREG | 0644, 0)->attributes.inode;
      g_ = fs->Mknod(root_, kRootInode, "g", S_IFREG | 0644, 0)->attributes.inode;
    }
    const auto meta = store_->GetLatest(Schema().Meta());
    auto blocks = std::make_unique<KvBlocks>();
    mount_ = std::make_unique<MountState>(*store_, clock_, FileSystemOptions(),
                                          *MetaRecord::Decode((*meta)->view()), std::move(blocks));
    ASSERT_TRUE(mount_->blocks->Attach(*store_, mount_->schema, 4096, false).ok());
  }

  // Runs both at one snapshot and commits them in turn; how the second commit ends.
  ErrorCode CommitInTurn(const Body& first, const Body& second) {
    const auto first_txn = *store_->Begin();
    const auto second_txn = *store_->Begin();
    Operation first_op(*mount_, *first_txn, root_);
    Operation second_op(*mount_, *second_txn, root_);
    const Status first_ran = first(first_op);
    EXPECT_TRUE(first_ran.ok()) << first_ran.error().ToString();
    const Status second_ran = second(second_op);
    EXPECT_TRUE(second_ran.ok()) << second_ran.error().ToString();
    EXPECT_TRUE(first_txn->Commit().ok());
    const Status committed = second_txn->Commit();
    return committed ? kCommitted : committed.error().code();
  }

  void ExpectConflict(const Body& one, const Body& other) {
    MakeTree();
    EXPECT_EQ(CommitInTurn(one, other), ErrorCode::kConflict);
    MakeTree();
    EXPECT_EQ(CommitInTurn(other, one), ErrorCode::kConflict) << "in the other order";
  }
  void ExpectBothCommit(const Body& one, const Body& other) {
    MakeTree();
    EXPECT_EQ(CommitInTurn(one, other), kCommitted);
  }

  // Bodies name inodes by pointer: each tree has its own numbers.
  Body Create(const InodeNumber* parent, std::string_view name) {
    const InodeNumber number{next_++};
    return [=](Operation& op) {
      return Drop(ops::Create(op, *parent, name, {number, S_IFREG | 0644, 0, {}}));
    };
  }
  Body Rename(const InodeNumber* parent, std::string_view name, const InodeNumber* new_parent,
              std::string_view new_name) {
    return [=](Operation& op) {
      return ops::Rename(op, {*parent, name, *new_parent, new_name, 0, {}});
    };
  }
  Body LinkF(const InodeNumber* parent, std::string_view name) {
    return [=, this](Operation& op) { return Drop(ops::Link(op, f_, *parent, name)); };
  }
  Body Unlink(std::string_view name) {
    return [=, this](Operation& op) { return ops::Unlink(op, *top_, name); };
  }
  Body Rmdir(const InodeNumber* parent, std::string_view name) {
    return [=](Operation& op) { return ops::Rmdir(op, *parent, name); };
  }
  Body Change(const InodeNumber* inode, const AttributeChanges& changes) {
    return [=](Operation& op) { return Drop(ops::SetAttributes(op, *inode, changes, false)); };
  }
  Body Chmod(const InodeNumber* inode) { return Change(inode, {.mode = 0700}); }
  Body SetXattr(const InodeNumber* inode, std::string_view name, std::string_view value) {
    return
        [=](Operation& op) { return ops::SetXattr(op, *inode, name, value, XattrFlag::kCreate); };
  }
  Body Write(const InodeNumber* inode, uint64_t offset_bytes) {
    return
        [=](Operation& op) { return ops::Write(op, *inode, offset_bytes, "data", false, false); };
  }

  static constexpr ErrorCode kCommitted = ErrorCode::kInterrupted;  // what no commit answers
  // u::rwx,u:1001:rwx,g::r-x,m::rwx,o::---
  static constexpr std::string_view kAcl{
      "\x02\0\0\0"
      "\x01\0\x07\0\xff\xff\xff\xff"
      "\x02\0\x07\0\xe9\x03\0\0"
      "\x04\0\x05\0\xff\xff\xff\xff"
      "\x10\0\x07\0\xff\xff\xff\xff"
      "\x20\0\0\0\xff\xff\xff\xff",
      44};

  ManualClock clock_;
  const OpContext root_;
  std::unique_ptr<kv::MemKv> store_;
  std::unique_ptr<MountState> mount_;
  const InodeNumber* const top_ = &kRootInode;
  InodeNumber d_, e_, p_, q_, x_, y_, f_, g_;
  uint64_t next_ = 1000;
};

// Where it can be, nothing else is common to a pair than the key that the page names: with one
// stripe a directory, two changes of one directory conflict whatever they are.
TEST_F(SkewTest, OneNameIsMadeOnce) {
  ExpectConflict(Create(&d_, "n"), Create(&d_, "n"));
  ExpectConflict(Create(&d_, "n"), Rename(top_, "f", &d_, "n"));
  ExpectConflict(LinkF(&d_, "n"), Create(&d_, "n"));
}

TEST_F(SkewTest, NothingIsMadeInADirectoryThatGoes) {
  ExpectConflict(Create(&x_, "n"), Rmdir(&p_, "x"));
  ExpectConflict(LinkF(&x_, "n"), Rmdir(&p_, "x"));
  ExpectConflict(Create(&x_, "n"), Rename(&q_, "y", &p_, "x"));
  ExpectConflict(Rename(top_, "f", &x_, "n"), Rmdir(&p_, "x"));
  ExpectConflict(Rename(top_, "d", &x_, "n"), Rmdir(&p_, "x"));
  // One that is open is only marked as removed.
  const auto rmdir_open = [this](Operation& op) {
    op.mount.handles.Add(x_, false);
    return ops::Rmdir(op, p_, "x");
  };
  ExpectConflict(Create(&x_, "n"), rmdir_open);
  const auto rename_over_open = [this](Operation& op) {
    op.mount.handles.Add(x_, false);
    return ops::Rename(op, {q_, "y", p_, "x", 0, {}});
  };
  ExpectConflict(Create(&x_, "n"), rename_over_open);
}

TEST_F(SkewTest, NothingIsMadeByAPermissionThatIsTakenAway) {
  ExpectConflict(Create(&d_, "n"), Chmod(&d_));
  ExpectConflict(Create(&d_, "n"), Change(&d_, {.gid = 100}));
  ExpectConflict(Create(&d_, "n"), SetXattr(&d_, kAccessAclName, kAcl));
  ExpectConflict(Create(&d_, "n"), SetXattr(&d_, kDefaultAclName, kAcl));
  ExpectConflict(Rename(top_, "f", &d_, "n"), Chmod(&d_));
}

TEST_F(SkewTest, OneNameIsTakenAwayOnce) {
  ExpectConflict(Unlink("f"), Unlink("f"));
  ExpectConflict(Unlink("f"), Rename(top_, "f", &d_, "n"));
  ExpectConflict(Rename(top_, "f", &d_, "n"), Rename(top_, "f", &e_, "n"));
  ExpectConflict(Rmdir(&p_, "x"), Rename(&p_, "x", &q_, "n"));
}

TEST_F(SkewTest, NothingIsDoneToAFileThatGoes) {
  ExpectConflict(Unlink("f"), LinkF(&d_, "n"));
  ExpectConflict(Unlink("f"), Write(&f_, 0));
  ExpectConflict(Unlink("f"), Chmod(&f_));
  ExpectConflict(Unlink("f"), SetXattr(&f_, "user.x", "y"));
  ExpectConflict(Rename(top_, "g", top_, "f"), Write(&f_, 0));
}

TEST_F(SkewTest, DirectoriesMoveOneAtATime) {
  ExpectConflict(Rename(&p_, "x", &y_, "x"), Rename(&q_, "y", &x_, "y"));
}

TEST_F(SkewTest, NoChangeOfAFileIsLost) {
  ExpectConflict(Write(&f_, 0), Write(&f_, 1 << 20));
  ExpectConflict(Write(&f_, 0), Change(&f_, {.size_bytes = 10}));
  ExpectConflict(Chmod(&f_), SetXattr(&f_, kAccessAclName, kAcl));
  ExpectConflict(SetXattr(&f_, "user.x", "1"), SetXattr(&f_, "user.x", "2"));
}

TEST_F(SkewTest, AStoredAccessTimeRevivesNothingAndUndoesNothing) {
  // Not idle: a time of before the file's own is passed over.
  const auto store_atime = [this](Operation& op) {
    const std::pair<InodeNumber, Timespec> atimes[] = {{f_, {4'000'000'000, 0}}};
    op.mount.atimes.Note(f_, atimes[0].second);
    (void)op.mount.atimes.Take(1);
    return ops::StoreAtimes(op, atimes);
  };
  ExpectConflict(store_atime, Unlink("f"));
  ExpectConflict(store_atime, Chmod(&f_));
}

// What has nothing in common must not wait for each other.
TEST_F(SkewTest, OthersDoNotConflict) {
  ExpectBothCommit(Create(&d_, "n"), Create(&e_, "n"));
  ExpectBothCommit(Write(&f_, 0), Write(&g_, 0));
  ExpectBothCommit(Chmod(&f_), Create(&d_, "n"));
  ExpectBothCommit(Rename(&p_, "x", &d_, "x"), Rmdir(&q_, "y"));
  ExpectBothCommit(Write(&f_, 0), [this](Operation& op) {
    std::string out(4, '\0');
    return Drop(ops::Read(op, f_, 0, out));
  });
}

}  // namespace
}  // namespace tifs::fs
