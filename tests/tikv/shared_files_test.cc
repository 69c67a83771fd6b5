// What several mounts of one file system see of each other.
#include <functional>

#include "tests/tikv/shared_fixture.h"

namespace tifs::tikv_store {
namespace {

class SharedFilesTest : public SharedTest {
 protected:
  void SetUp() override {
    Format();
    a_ = NewMount();
    b_ = NewMount();
  }
  void TearDown() override {
    Settle(a_, b_);
    a_.fs.reset();
    b_.fs.reset();
    EXPECT_EQ(Check(), "");
    EXPECT_EQ(SessionCount(), 0u);
  }
  // Does `other` when the transaction of `first` is about to be committed.
  template <typename First>
  auto During(First&& first, std::function<void()> other) {
    bool done = false;
    cluster_.Before("KvPrewrite", [&, other = std::move(other)] {
      other();
      done = true;
    });
    auto result = first();
    EXPECT_TRUE(done);
    return result;
  }
  InodeNumber MakeDirectory(std::string_view name, InodeNumber parent = fs::kRootInode) {
    return Must(a_->Mkdir(Root(), parent, name, 0755)).attributes.inode;
  }

  SharedMount a_;
  SharedMount b_;
};

TEST_F(SharedFilesTest, AppendsOfTwoMountsLoseNothing) {
  const InodeNumber inode = Create(a_, "log");
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    SharedMount& mount = i % 2 == 0 ? a_ : b_;
    const std::string line = "line " + std::to_string(i) + "\n";
    Must(mount->Write(Root(), inode, {}, 0, line, {.at_end = true}));
    expected += line;
  }
  EXPECT_EQ(Must(Read(a_, inode)), expected);
  // At the same time: whichever is second goes behind the first.
  Must(During([&] { return a_->Write(Root(), inode, {}, 0, "a", {.at_end = true}); },
              [&] { Must(b_->Write(Root(), inode, {}, 0, "b", {.at_end = true})); }));
  EXPECT_EQ(Must(Read(b_, inode)), expected + "ba");
}

TEST_F(SharedFilesTest, AnOpenFileShowsWhatTheOtherWrites) {
  const InodeNumber inode = Create(a_, "f", "old");
  const auto handle = Must(b_->Open(Root(), inode, {.read = true})).handle;
  EXPECT_EQ(Must(Read(b_, inode, handle)), "old");
  Must(a_->Write(Root(), inode, {}, 0, "newer", {}));
  EXPECT_EQ(Must(Read(b_, inode, handle)), "newer");
  fs::AttributeChanges cut;
  cut.size_bytes = 1;
  Must(a_->SetAttributes(Root(), inode, cut));
  cut.size_bytes = 3;
  Must(a_->SetAttributes(Root(), inode, cut));
  EXPECT_EQ(Must(Read(b_, inode, handle)), std::string("n\0\0", 3));
  Must(b_->Release(inode, handle));
}

TEST_F(SharedFilesTest, DeletedAndMadeAnewIsAnotherFile) {
  const InodeNumber old = Create(a_, "f", "old");
  EXPECT_EQ(Find(b_, "f")->inode, old);
  Must(a_->Unlink(Root(), fs::kRootInode, "f"));
  const InodeNumber anew = Create(a_, "f", "new");
  EXPECT_NE(anew, old);
  EXPECT_EQ(Find(b_, "f")->inode, anew);
  EXPECT_EQ(Must(Read(b_, anew)), "new");
}

TEST_F(SharedFilesTest, SameSizeAndTimesAreAChangeAllTheSame) {
  const InodeNumber inode = Create(a_, "f", "one");
  const fs::Attributes before = *Find(b_, "f");
  EXPECT_EQ(Must(Read(b_, inode)), "one");
  Must(a_->Write(Root(), inode, {}, 0, "two", {}));
  fs::AttributeChanges times;
  times.mtime = fs::TimeUpdate{.time = before.mtime};
  Must(a_->SetAttributes(Root(), inode, times));
  const fs::Attributes after = *Find(b_, "f");
  EXPECT_EQ(after.mtime, before.mtime);
  EXPECT_EQ(after.size_bytes, before.size_bytes);
  EXPECT_GT(after.change, before.change);
  EXPECT_EQ(Must(Read(b_, inode)), "two");
}

TEST_F(SharedFilesTest, ACreateAndTheRmdirOfItsDirectoryExcludeEachOther) {
  const InodeNumber directory = MakeDirectory("d");
  const auto created = During([&] { return a_->Mknod(Root(), directory, "f", S_IFREG | 0644, 0); },
                              [&] { Must(b_->Rmdir(Root(), fs::kRootInode, "d")); });
  EXPECT_FALSE(created.ok());
  const InodeNumber second = MakeDirectory("e");
  const Status removed = During([&] { return a_->Rmdir(Root(), fs::kRootInode, "e"); },
                                [&] { Must(b_->Mknod(Root(), second, "f", S_IFREG | 0644, 0)); });
  EXPECT_EQ(CodeOf(removed), ErrorCode::kNotEmpty);
}

TEST_F(SharedFilesTest, TwoRenamesMakeNoCycle) {
  const InodeNumber one = MakeDirectory("one");
  const InodeNumber two = MakeDirectory("two");
  const Status second =
      During([&] { return a_->Rename(Root(), fs::kRootInode, "one", two, "one", 0); },
             [&] { Must(b_->Rename(Root(), fs::kRootInode, "two", one, "two", 0)); });
  EXPECT_EQ(CodeOf(second), ErrorCode::kInvalid);  // by then it was to go into itself
  EXPECT_EQ(Find(a_, "two", one)->inode, two);
}

TEST_F(SharedFilesTest, ALinkAndTheLastUnlinkExcludeEachOther) {
  const InodeNumber inode = Create(a_, "f", "x");
  const auto linked = During([&] { return a_->Link(Root(), inode, fs::kRootInode, "g"); },
                             [&] { Must(b_->Unlink(Root(), fs::kRootInode, "f")); });
  EXPECT_FALSE(linked.ok());
  EXPECT_FALSE(Find(b_, "g"));
  const InodeNumber other = Create(a_, "h", "x");
  Must(During([&] { return a_->Unlink(Root(), fs::kRootInode, "h"); },
              [&] { Must(b_->Link(Root(), other, fs::kRootInode, "i")); }));
  EXPECT_EQ(Find(a_, "i")->nlink, 1u);
  EXPECT_EQ(Must(Read(a_, other)), "x");
}

TEST_F(SharedFilesTest, OneNameIsMadeOnce) {
  const auto made =
      During([&] { return a_->Create(Root(), fs::kRootInode, "f", 0644, {.write = true}); },
             [&] { Create(b_, "f", "b"); });
  EXPECT_EQ(CodeOf(made), ErrorCode::kExists);
  EXPECT_EQ(Must(Read(a_, Find(a_, "f")->inode)), "b");
}

TEST_F(SharedFilesTest, CreatesInOneDirectoryDoNotConflict) {
  Create(a_, "warm a");
  Create(b_, "warm b");
  const uint64_t before = a_->transaction_metrics().conflicts.value();
  Must(During([&] { return a_->Mknod(Root(), fs::kRootInode, "x", S_IFREG | 0644, 0); },
              [&] { Must(b_->Mknod(Root(), fs::kRootInode, "y", S_IFREG | 0644, 0)); }));
  EXPECT_EQ(a_->transaction_metrics().conflicts.value(), before);
  EXPECT_EQ(Must(b_->GetAttributes(Root(), fs::kRootInode)).attributes.size_bytes, 4u);
}

TEST_F(SharedFilesTest, InodeNumbersComeFromShardsOfTheirOwn) {
  const InodeNumber of_a = Create(a_, "a");
  const InodeNumber of_b = Create(b_, "b");
  EXPECT_NE(of_a.value >> fs::Schema::kInodeShardBits, of_b.value >> fs::Schema::kInodeShardBits);
}

// --- unlinked here, open there ---

TEST_F(SharedFilesTest, AFileThatIsOpenOnAnotherMountStaysReadable) {
  const InodeNumber inode = Create(a_, "f", "kept");
  const auto handle = Must(b_->Open(Root(), inode, {.read = true, .write = true})).handle;
  Must(a_->Unlink(Root(), fs::kRootInode, "f"));
  Settle(a_, b_);
  clock_.Advance(seconds(5));
  Settle(a_, b_);
  EXPECT_EQ(Must(Read(b_, inode, handle)), "kept");
  Must(b_->Write(Root(), inode, handle, 0, "KEPT", {}));
  EXPECT_EQ(Must(Read(b_, inode, handle)), "KEPT");
  // By who has it open it may be opened again, by others not.
  const auto again = Must(b_->Open(Root(), inode, {.read = true})).handle;
  EXPECT_EQ(CodeOf(a_->Open(Root(), inode, {.read = true})), ErrorCode::kStale);
  Must(b_->Release(inode, handle));
  Settle(a_, b_);
  EXPECT_EQ(Must(Read(b_, inode, again)), "KEPT");
  Must(b_->Release(inode, again));
  Settle(a_, b_);
  EXPECT_EQ(CodeOf(Read(b_, inode)), ErrorCode::kStale);
  EXPECT_EQ(Must(a_->Info()).used_inodes, 1u);
}

TEST_F(SharedFilesTest, ARemovedDirectoryThatIsOpenElsewhereIsEmpty) {
  const InodeNumber directory = MakeDirectory("d");
  const auto handle = Must(b_->OpenDirectory(Root(), directory));
  Must(a_->Rmdir(Root(), fs::kRootInode, "d"));
  Settle(a_, b_);
  EXPECT_EQ(Must(b_->GetAttributes(Root(), directory)).attributes.nlink, 0u);
  EXPECT_EQ(CodeOf(b_->Mknod(Root(), directory, "f", S_IFREG | 0644, 0)), ErrorCode::kNotFound);
  Must(b_->ReleaseDirectory(directory, handle));
}

TEST_F(SharedFilesTest, NothingIsReclaimedBeforeAllHaveLooked) {
  const InodeNumber inode = Create(a_, "f", "kept");
  const auto handle = Must(b_->Open(Root(), inode, {.read = true})).handle;
  Must(a_->Unlink(Root(), fs::kRootInode, "f"));
  // The other's heartbeats alone do not tell that nobody has it open.
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(seconds(2));
    Must(a_->Beat());
    while (Must(a_->RunBackgroundStep())) {
    }
  }
  EXPECT_EQ(Must(Read(b_, inode, handle)), "kept");
  Must(b_->Release(inode, handle));
  Settle(a_, b_);
  EXPECT_EQ(CodeOf(Read(a_, inode)), ErrorCode::kStale);
}

TEST_F(SharedFilesTest, WhatWasClosedBeforeTheHoldIsReclaimed) {
  const InodeNumber inode = Create(a_, "f", "x");
  const auto handle = Must(b_->Open(Root(), inode, {.read = true})).handle;
  Must(a_->Unlink(Root(), fs::kRootInode, "f"));
  // Closed while the heartbeat that puts the hold is under way.
  Must(During([&] { return b_->Beat(); }, [&] { Must(b_->Release(inode, handle)); }));
  Settle(a_, b_);
  EXPECT_EQ(CodeOf(Read(a_, inode)), ErrorCode::kStale);
}

TEST_F(SharedFilesTest, OrphansOfOneThatHasLeftAreReclaimed) {
  SharedMount third = NewMount();
  const InodeNumber inode = Create(third, "f", "x");
  const auto handle = Must(b_->Open(Root(), inode, {.read = true})).handle;
  Must(third->Unlink(Root(), fs::kRootInode, "f"));
  const InodeNumber closed = Create(third, "g", "x");
  Must(third->Unlink(Root(), fs::kRootInode, "g"));
  Must(a_->Beat());
  Must(b_->Beat());
  third.fs.reset();
  Settle(a_, b_);
  EXPECT_EQ(CodeOf(Read(a_, closed)), ErrorCode::kStale);
  EXPECT_EQ(Must(Read(b_, inode, handle)), "x");
  Must(b_->Release(inode, handle));
  Settle(a_, b_);
  EXPECT_EQ(CodeOf(Read(b_, inode)), ErrorCode::kStale);
}

}  // namespace
}  // namespace tifs::tikv_store
