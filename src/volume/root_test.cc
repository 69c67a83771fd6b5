#include "volume/root.h"

#include <gtest/gtest.h>

#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class RootTest : public VolumeTest {
 protected:
  std::vector<std::string> Names(std::string_view path) {
    std::vector<std::string> names;
    const std::vector<DirectoryEntry> entries = root_->List(path).value();
    for (const DirectoryEntry& entry : entries) names.push_back(entry.name);
    return names;
  }
};

using Strings = std::vector<std::string>;

TEST_F(RootTest, PathsAreNormalised) {
  ASSERT_TRUE(root_->MakeDirectories("/a//b/./c/").ok());
  Write("a/b/c/f", "x");
  EXPECT_EQ(Read("//a/./b/c//f/"), "x");
  EXPECT_EQ(Names("/"), Strings{"a"});
  EXPECT_EQ(Names("a/b/c"), Strings{"f"});
  EXPECT_EQ(root_->Stat("")->kind, InodeKind::kDirectory);
  for (const char* path : {"..", "a/../b", "a/b/.."}) {
    EXPECT_EQ(CodeOf(root_->Stat(path)), ErrorCode::kInvalid) << path;
  }
  EXPECT_EQ(CodeOf(root_->Stat(std::string(256, 'n'))), ErrorCode::kNameTooLong);
  EXPECT_EQ(CodeOf(root_->Stat(std::string(5000, '/'))), ErrorCode::kNameTooLong);
  EXPECT_EQ(CodeOf(root_->Stat(std::string_view("a\0b", 3))), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(root_->Stat("a/none/x")), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(root_->Stat("a/b/c/f/x")), ErrorCode::kNotDirectory);
}

TEST_F(RootTest, OpenSaysWhatIsWrong) {
  Write("f", "x");
  ASSERT_TRUE(root_->MakeDirectory("d").ok());
  EXPECT_EQ(CodeOf(root_->Open("none", {})), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(root_->Open("none", {.write = true})), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(root_->Open("d", {})), ErrorCode::kIsDirectory);
  EXPECT_EQ(CodeOf(root_->Open("d", {.write = true, .create = true})), ErrorCode::kIsDirectory);
  EXPECT_EQ(CodeOf(root_->Open("f", {.write = true, .create = true, .exclusive = true})),
            ErrorCode::kExists);
  EXPECT_EQ(CodeOf(root_->Open("none/f", {.write = true, .create = true})), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(root_->Open("f/g", {.write = true, .create = true})), ErrorCode::kNotDirectory);
  EXPECT_EQ(CodeOf(root_->Open("f", {.truncate = true})), ErrorCode::kInvalid);
  EXPECT_EQ(Read("f"), "x");
  ASSERT_TRUE(root_->Open("f", {.write = true, .create = true, .truncate = true}).ok());
  EXPECT_EQ(Read("f"), "");
}

TEST_F(RootTest, RenameReplacesAtomicallyAndOpenHandlesGoOn) {
  Write("a", "new");
  Write("b", "old");
  auto old = root_->Open("b", {}).value();
  ASSERT_TRUE(root_->Rename("a", "b").ok());
  EXPECT_EQ(Names(""), Strings{"b"});
  EXPECT_EQ(Read("b"), "new");
  EXPECT_EQ(Read(*old), "old");
  ASSERT_TRUE(root_->SyncDirectory("").ok());
  old.reset();
  Kill();
  EXPECT_EQ(Names(""), Strings{"b"});
  EXPECT_EQ(Read("b"), "new");
}

TEST_F(RootTest, RenameRefusesWhatMakesNoSense) {
  ASSERT_TRUE(root_->MakeDirectories("d/e").ok());
  ASSERT_TRUE(root_->MakeDirectory("full").ok());
  Write("full/f", "x");
  Write("f", "x");
  EXPECT_EQ(CodeOf(root_->Rename("none", "g")), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(root_->Rename("d", "d/e/g")), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(root_->Rename("", "g")), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(root_->Rename("f", "")), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(root_->Rename("d", "full")), ErrorCode::kNotEmpty);
  EXPECT_EQ(CodeOf(root_->Rename("f", "d")), ErrorCode::kIsDirectory);
  EXPECT_EQ(CodeOf(root_->Rename("d", "f")), ErrorCode::kNotDirectory);
  EXPECT_EQ(CodeOf(root_->Rename("f", "none/g")), ErrorCode::kNotFound);
  ASSERT_TRUE(root_->Rename("full", "d/e").ok());  // an empty directory is replaced
  EXPECT_EQ(Read("d/e/f"), "x");
  ASSERT_TRUE(root_->Rename("d/e/f", "d/e/f").ok());
  Kill();
  EXPECT_EQ(Names("d/e"), Strings{});  // nothing was synced since the creation of "f"
}

TEST_F(RootTest, LinksShareTheBytesUntilTheLastIsGone) {
  Write("a", "x");
  ASSERT_TRUE(root_->MakeDirectory("d").ok());
  ASSERT_TRUE(root_->Link("a", "d/b").ok());
  EXPECT_EQ(CodeOf(root_->Link("a", "d/b")), ErrorCode::kExists);
  EXPECT_EQ(CodeOf(root_->Link("d", "e")), ErrorCode::kIsDirectory);
  EXPECT_EQ(CodeOf(root_->Link("none", "e")), ErrorCode::kNotFound);
  EXPECT_EQ(root_->Stat("a")->links, 2u);
  EXPECT_EQ(root_->Stat("a")->inode, root_->Stat("d/b")->inode);
  ASSERT_TRUE(root_->Rename("a", "d/b").ok());  // both are the same file: nothing happens
  EXPECT_EQ(root_->Stat("a")->links, 2u);
  ASSERT_TRUE(root_->Unlink("a").ok());
  ASSERT_TRUE(root_->SyncDirectory("").ok());
  Kill();
  EXPECT_EQ(Read("d/b"), "x");
  EXPECT_EQ(root_->Stat("d/b")->links, 1u);
  ASSERT_TRUE(root_->Link("d/b", "c").ok());
  ASSERT_TRUE(root_->Link("d/b", "e").ok());
  ASSERT_TRUE(root_->Unlink("d/b").ok());
  Reopen();
  EXPECT_EQ(Names(""), (Strings{"c", "d", "e"}));
  EXPECT_EQ(Read("c"), "x");
}

TEST_F(RootTest, UnlinkedFilesLiveWhileTheyAreOpen) {
  const std::string bytes = Pattern(3'000'000, 2);
  const uint64_t free_before = volume_->Usage().free_bytes;
  Write("f", bytes);
  auto file = root_->Open("f", {.write = true}).value();
  ASSERT_TRUE(root_->Unlink("f").ok());
  ASSERT_TRUE(volume_->Sync().ok());
  EXPECT_EQ(file->Stat().links, 0u);
  Write("other", Pattern(20'000'000, 3));
  EXPECT_EQ(Read(*file), bytes);
  ASSERT_TRUE(file->Append("more").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Truncate(5).ok());
  EXPECT_EQ(Read(*file), bytes.substr(0, 5));
  file.reset();
  ASSERT_TRUE(root_->Unlink("other").ok());
  ASSERT_TRUE(volume_->Sync().ok());
  EXPECT_EQ(volume_->Usage().free_bytes, free_before);
  Kill();
  EXPECT_EQ(volume_->Usage().free_bytes, free_before);
}

TEST_F(RootTest, ACrashFreesWhatWasUnlinkedWhileOpen) {
  const uint64_t free_before = volume_->Usage().free_bytes;
  Write("f", Pattern(3'000'000, 2));
  auto file = root_->Open("f", {}).value();
  ASSERT_TRUE(root_->Unlink("f").ok());
  ASSERT_TRUE(root_->SyncDirectory("").ok());
  ASSERT_TRUE(volume_->Checkpoint().ok());
  Kill();
  EXPECT_EQ(volume_->Usage().free_bytes, free_before);
}

TEST_F(RootTest, DirectoriesAreRemovedWhenEmpty) {
  ASSERT_TRUE(root_->MakeDirectories("a/b").ok());
  EXPECT_EQ(CodeOf(root_->MakeDirectory("a")), ErrorCode::kExists);
  EXPECT_TRUE(root_->MakeDirectories("a/b").ok());
  EXPECT_EQ(CodeOf(root_->RemoveDirectory("a")), ErrorCode::kNotEmpty);
  EXPECT_EQ(CodeOf(root_->RemoveDirectory("")), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(root_->Unlink("a")), ErrorCode::kIsDirectory);
  Write("f", "x");
  EXPECT_EQ(CodeOf(root_->RemoveDirectory("f")), ErrorCode::kNotDirectory);
  EXPECT_EQ(CodeOf(root_->MakeDirectories("f/g")), ErrorCode::kNotDirectory);
  EXPECT_EQ(CodeOf(root_->List("f")), ErrorCode::kNotDirectory);
  EXPECT_EQ(CodeOf(root_->SyncDirectory("f")), ErrorCode::kNotDirectory);
  ASSERT_TRUE(root_->RemoveDirectory("a/b").ok());
  ASSERT_TRUE(root_->RemoveDirectory("a").ok());
  Reopen();
  EXPECT_EQ(Names(""), Strings{"f"});
}

TEST_F(RootTest, LocksExclude) {
  auto lock = root_->Lock("LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(CodeOf(root_->Lock("LOCK")), ErrorCode::kBusy);
  EXPECT_TRUE(root_->Lock("LOCK2").ok());
  lock->reset();
  EXPECT_TRUE(root_->Lock("LOCK").ok());
}

TEST_F(RootTest, StatTellsSizeTimeAndSpace) {
  clock_.Advance(std::chrono::seconds(10));
  const int64_t now = clock_.RealTime().seconds * 1'000'000'000 + clock_.RealTime().nanoseconds;
  Write("f", Pattern(100'000, 1));
  clock_.Advance(std::chrono::seconds(10));
  Reopen();
  const FileStat stat = root_->Stat("f").value();
  EXPECT_EQ(stat.size_bytes, 100'000u);
  EXPECT_EQ(stat.allocated_bytes, 2 * unit_bytes_);
  EXPECT_EQ(stat.modified_ns, now);
  EXPECT_EQ(stat.kind, InodeKind::kFile);
}

TEST_F(RootTest, RootsDoNotSeeEachOther) {
  auto other = volume_->OpenRoot("raft", true).value();
  Write("f", "kv");
  ASSERT_TRUE(other->MakeDirectory("f").ok());
  EXPECT_EQ(Read("f"), "kv");
  EXPECT_EQ(CodeOf(other->Stat("../kv/f")), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(volume_->OpenRoot("none", false)), ErrorCode::kNotFound);
  for (const char* bad : {"", "..", "a/b", "a b"}) {
    EXPECT_EQ(CodeOf(volume_->OpenRoot(bad, true)), ErrorCode::kInvalid);
  }
  EXPECT_EQ(CodeOf(volume_->RemoveRoot("raft")), ErrorCode::kNotEmpty);
  ASSERT_TRUE(other->RemoveDirectory("f").ok());
  ASSERT_TRUE(volume_->RemoveRoot("raft").ok());
  EXPECT_EQ(CodeOf(other->Stat("")), ErrorCode::kNotFound);
  ASSERT_EQ(volume_->Roots().size(), 1u);
  EXPECT_EQ(volume_->Roots()[0].name, "kv");
}

TEST_F(RootTest, EachOperationOnNamesIsOneRecord) {
  const uint64_t before = volume_->Counts().journal_records;
  Create("a");
  ASSERT_TRUE(root_->Rename("a", "b").ok());
  ASSERT_TRUE(root_->Link("b", "c").ok());
  ASSERT_TRUE(root_->Unlink("b").ok());
  ASSERT_TRUE(root_->MakeDirectory("d").ok());
  EXPECT_EQ(volume_->Counts().journal_records, before + 5);
}

}  // namespace
}  // namespace tifs::volume
