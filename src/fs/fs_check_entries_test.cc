// The check of entries and of the inodes that they lead to: who keeps what, and under which name.
#include <functional>
#include <string>

#include "fs/fs_check_test_fixture.h"

namespace tifs::fs {
namespace {

using FsCheckEntriesTest = FsCheckFixture;

std::string LostName(InodeNumber inode) { return "/lost+found/#" + std::to_string(inode.value); }

// --- inodes that cannot be read ---

TEST_F(FsCheckEntriesTest, AFileWhoseInodeIsCorruptKeepsItsNamesAndBlocks) {
  Put(schema_->Inode(file_), "\x07junk");
  ExpectFoundAndMended("corrupt inode " + std::to_string(file_.value) +
                       ": of a file, only its blocks are left: \"/hard\"");
  const std::string bytes = std::string(kBlock, 'f') + std::string(kBlock, 'g');
  EXPECT_EQ(ReadPath("/dir/file"), bytes);
  EXPECT_EQ(ReadPath("/hard"), bytes);
  const InodeRecord inode = InodeOf(file_);
  EXPECT_EQ(inode.mode, S_IFREG | 0600u) << "nobody gains a right";
  EXPECT_EQ(inode.uid, 0u);
  EXPECT_EQ(inode.nlink, 2u);
}

TEST_F(FsCheckEntriesTest, AFileWhoseInodeIsMissingKeepsItsNamesAndBlocks) {
  Delete(schema_->Inode(file_));
  ExpectFoundAndMended("missing inode " + std::to_string(file_.value));
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
}

TEST_F(FsCheckEntriesTest, AFileWithoutInodeOrNameGoesToLostAndFoundIfItsInodeIsThere) {
  Put(schema_->Inode(file_), "\x07junk");
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "hard").ok());
    ASSERT_TRUE(r.DeleteDentry(dir_, "file").ok());
  });
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(ReadPath(LostName(file_)), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
}

TEST_F(FsCheckEntriesTest, WhatOnlyACorruptInodeHeldIsLostByName) {
  Put(schema_->Inode(small_), "\x07junk");
  const CheckReport report = Run(false);
  EXPECT_THAT(report.findings,
              Finding("entry that leads nowhere: inode " + std::to_string(small_.value) +
                          " cannot be read: \"/small\"",
                      false));
  ExpectFoundAndMended("nothing of it is left");
  EXPECT_EQ(ReadPath("/small"), "nothing");
  EXPECT_EQ(ValueOf(schema_->Xattr(small_, "user.x")), "nothing");
}

TEST_F(FsCheckEntriesTest, AnUnlinkedFileDoesNotComeBackBecauseItsInodeIsCorrupt) {
  DamageInode(file_, [](InodeRecord& r) { r.nlink = 0; });
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "hard").ok());
    ASSERT_TRUE(r.DeleteDentry(dir_, "file").ok());
    ASSERT_TRUE(r.AddLeftover(file_, LeftoverKind::kOrphan).ok());
    ASSERT_TRUE(r.transaction().Put(schema_->Inode(file_), "\x07junk").ok());
  });
  ExpectFoundAndMended("it was unlinked");
  EXPECT_EQ(ReadPath("/lost+found"), "nothing");
  EXPECT_EQ(ValueOf(schema_->Block(file_, {0})), "nothing");
}

TEST_F(FsCheckEntriesTest, AnEntryOfNothingGoes) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteInode(small_).ok()); });
  ExpectFoundAndMended("entry that leads nowhere: inode " + std::to_string(small_.value) +
                       " is missing: \"/small\"");
}

TEST_F(FsCheckEntriesTest, ADirectoryWhoseInodeIsLostKeepsItsNameAndEntries) {
  InodeNumber inner;
  {
    const auto fs = Mount();
    inner = fs->Mkdir(context_, dir_, "inner", 0755)->attributes.inode;
    Create(*fs, inner, "deep", "deep bytes");
  }
  const std::string number = std::to_string(dir_.value);
  Put(schema_->Inode(dir_), "\x07junk");
  EXPECT_THAT(Run(false).findings, testing::Not(Finding("stripe", false)));
  ExpectFoundAndMended("corrupt inode " + number + ": of a directory, only its entries are left");
  EXPECT_EQ(ReadPath("/dir/inner/deep"), "deep bytes");
  EXPECT_EQ(InodeOf(dir_).mode, S_IFDIR | 0700u);
  Delete(schema_->Inode(dir_));
  ExpectFoundAndMended("missing inode " + number + ": of a directory, only its entries are left");
  EXPECT_EQ(ReadPath("/dir/inner/deep"), "deep bytes");
  Put(schema_->Inode(dir_), "\x07junk");
  Put(schema_->Inode(inner), "\x07junk");
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(ReadPath("/dir/inner/deep"), "deep bytes");
}

TEST_F(FsCheckEntriesTest, AnEmptyDirectoryIsKnownByItsEntry) {
  InodeNumber empty;
  {
    const auto fs = Mount();
    empty = fs->Mkdir(context_, kRootInode, "empty", 0755)->attributes.inode;
  }
  Delete(schema_->Inode(empty));
  ExpectFoundAndMended("missing inode");
  const auto fs = Mount();
  EXPECT_TRUE(Find(*fs, "/empty")->IsDirectory());
  EXPECT_TRUE(fs->Rmdir(context_, kRootInode, "empty").ok());
}

TEST_F(FsCheckEntriesTest, ADirectoryWithoutInodeAndNameGoesToLostAndFoundWithItsEntries) {
  Delete(schema_->Inode(dir_));
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok()); });
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(ReadPath(LostName(dir_) + "/file").size(), 2 * kBlock);
}

TEST_F(FsCheckEntriesTest, WhatLiesInALostDirectoryIsKnownWithoutAName) {
  Put(schema_->Inode(dir_), "\x07junk");
  Put(schema_->Inode(file_), "\x07junk");
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok());
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "hard").ok());
  });
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(ReadPath(LostName(dir_) + "/file").size(), 2 * kBlock);
}

TEST_F(FsCheckEntriesTest, ALostDirectoryWithTwoNamesKeepsOne) {
  Put(schema_->Inode(dir_), "\x07junk");
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(kRootInode, "twin", {dir_, S_IFDIR}).ok());
  });
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_NE(ReadPath("/dir/file") == "nothing", ReadPath("/twin/file") == "nothing");
}

TEST_F(FsCheckEntriesTest, AnOrphansLeftoverDoesNotUnlinkWhatHasAName) {
  Put(schema_->Inode(file_), "\x07junk");
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.AddLeftover(file_, LeftoverKind::kOrphan).ok()); });
  ExpectFoundAndMended("only its blocks are left");
  EXPECT_EQ(ReadPath("/hard").size(), 2 * kBlock);
}

TEST_F(FsCheckEntriesTest, AttributesOfALostInodeStay) {
  ASSERT_TRUE(Mount()->SetXattr(context_, file_, "user.a", "b", XattrFlag::kAny).ok());
  Put(schema_->Inode(file_), "\x07junk");
  ExpectFoundAndMended("only its blocks are left");
  EXPECT_EQ(*Mount()->GetXattr(context_, file_, "user.a"), "b");
}

TEST_F(FsCheckEntriesTest, TheRootOfAnEmptyFileSystemIsMadeAnew) {
  {
    const auto fs = Mount();
    ASSERT_TRUE(fs->Unlink(context_, dir_, "file").ok());
    ASSERT_TRUE(fs->Unlink(context_, kRootInode, "hard").ok());
    ASSERT_TRUE(fs->Unlink(context_, kRootInode, "small").ok());
    ASSERT_TRUE(fs->Rmdir(context_, kRootInode, "dir").ok());
    while (*fs->RunBackgroundStep()) {
    }
  }
  Delete(schema_->Stripe(kRootInode, 0));
  Put(schema_->Inode(kRootInode), "junk");
  ExpectFoundAndMended("the root directory is corrupt");
  Delete(schema_->Inode(kRootInode));
  ExpectFoundAndMended("the root directory is missing");
  const auto fs = Mount();
  EXPECT_TRUE(fs->Mkdir(context_, kRootInode, "new", 0755).ok());
}

TEST_F(FsCheckEntriesTest, TheRootIsMadeAnew) {
  Delete(schema_->Inode(kRootInode));
  ExpectFoundAndMended("the root directory is missing");
  EXPECT_EQ(ReadPath("/small"), "in line");
  EXPECT_EQ(InodeOf(kRootInode).mode, S_IFDIR | 0700u);
  Put(schema_->Inode(kRootInode), "junk");
  ExpectFoundAndMended("the root directory is corrupt");
  EXPECT_EQ(ReadPath("/dir/file").size(), 2 * kBlock);
}

// --- inodes of which one field cannot be ---

struct BadField {
  const char* name;
  std::function<void(std::string& value)> damage;
};

// Offsets are those of docs/kv_schema.md.
const BadField kBadFields[] = {
    {"version", [](std::string& v) { v[0] = '\x7f'; }},
    {"type", [](std::string& v) { v[2] = '\x31'; }},
    {"high mode bits", [](std::string& v) { v[4] = '\x01'; }},
    {"size", [](std::string& v) { v[32] = '\xff'; }},
    {"mtime", [](std::string& v) { v.replace(69, 4, "\xff\xff\xff\xff"); }},
    {"clears", [](std::string& v) { v[109] = '\x09'; }},
    {"preallocations", [](std::string& v) { v[110] = '\xff'; }},
};

TEST_F(FsCheckEntriesTest, AFileWithOneBadFieldLosesThatOnly) {
  for (const BadField& field : kBadFields) {
    for (InodeNumber number : {small_, file_}) {
      SCOPED_TRACE(std::string(field.name) + " of inode " + std::to_string(number.value));
      const InodeRecord sound = InodeOf(number);
      std::string value = ValueOf(schema_->Inode(number));
      field.damage(value);
      ASSERT_FALSE(InodeRecord::Decode(number, value).ok()) << "must not be taken for sound";
      Put(schema_->Inode(number), value);
      const auto before = Dump();
      EXPECT_EQ(Run(false).finding_count, 1u);
      EXPECT_EQ(Dump(), before);
      EXPECT_EQ(Run(true).unrepaired, 0u);
      ExpectClean();
      EXPECT_EQ(ReadPath("/small"), "in line");
      EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
      const InodeRecord mended = InodeOf(number);
      EXPECT_EQ(mended.mode, sound.mode);
      EXPECT_EQ(mended.nlink, sound.nlink);
      EXPECT_EQ(mended.atime, sound.atime);
      EXPECT_EQ(mended.size_bytes, sound.size_bytes);
    }
  }
}

TEST_F(FsCheckEntriesTest, TwoBadFieldsAreGarbage) {
  std::string value = ValueOf(schema_->Inode(file_));
  value[0] = '\x7f';
  value[4] = '\x01';
  Put(schema_->Inode(file_), value);
  ExpectFoundAndMended("only its blocks are left");
  EXPECT_EQ(InodeOf(file_).mode, S_IFREG | 0600u);
}

// --- types ---

TEST_F(FsCheckEntriesTest, MendsTheTypeOfAnEntry) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(kRootInode, "small", {small_, S_IFLNK}).ok());
    ASSERT_TRUE(r.StoreDentry(kRootInode, "hard", {file_, 0x3000}).ok());
    ASSERT_TRUE(r.StoreDentry(kRootInode, "dir", {dir_, S_IFREG}).ok());
  });
  EXPECT_EQ(Run(false).finding_count, 3u);
  ExpectFoundAndMended("entry of a wrong type: \"/small\"");
  EXPECT_EQ(ReadPath("/small"), "in line");
}

TEST_F(FsCheckEntriesTest, ADirectoryWithAnotherTypeStaysOne) {
  // Without any type, and with a file's: what lies in it and its parent tell.
  for (uint32_t type : {0x3000u, uint32_t{S_IFREG}}) {
    InodeRecord record = InodeOf(dir_);
    record.mode = type | 0755;
    Put(schema_->Inode(dir_), record.Encode());
    EXPECT_EQ(Run(true).unrepaired, 0u);
    ExpectClean();
    EXPECT_EQ(InodeOf(dir_).mode, S_IFDIR | 0755u);
    EXPECT_EQ(ReadPath("/dir/file").size(), 2 * kBlock);
  }
}

TEST_F(FsCheckEntriesTest, AFileThatSaysItIsADirectoryStaysAFile) {
  for (InodeNumber number : {small_, file_}) {
    DamageInode(number, [](InodeRecord& r) { r.mode = S_IFDIR | 0644; });
    EXPECT_EQ(Run(true).unrepaired, 0u);
    ExpectClean();
    EXPECT_EQ(InodeOf(number).mode, S_IFREG | 0644u);
  }
  EXPECT_EQ(ReadPath("/small"), "in line");
  EXPECT_EQ(ReadPath("/hard").size(), 2 * kBlock);
}

TEST_F(FsCheckEntriesTest, AnEntryTellsTheTypeThatAnInodeLost) {
  InodeNumber fifo, link;
  {
    const auto fs = Mount();
    fifo = fs->Mknod(context_, kRootInode, "fifo", S_IFIFO | 0600, 0)->attributes.inode;
    link = fs->Symlink(context_, kRootInode, "link", "target")->attributes.inode;
  }
  for (InodeNumber number : {fifo, link, small_}) {
    InodeRecord record = InodeOf(number);
    record.mode &= 07777;
    Put(schema_->Inode(number), record.Encode());
  }
  EXPECT_EQ(Run(false).finding_count, 3u);
  ExpectFoundAndMended("has no file type: \"/fifo\"");
  EXPECT_EQ(InodeOf(fifo).mode, S_IFIFO | 0600u);
  EXPECT_EQ(InodeOf(link).mode, S_IFLNK | 0777u);
  EXPECT_EQ(ReadPath("/small"), "in line");
}

TEST_F(FsCheckEntriesTest, ANamelessInodeWithoutTypeBecomesAFile) {
  InodeRecord record = InodeOf(small_);
  record.mode &= 07777;
  Put(schema_->Inode(small_), record.Encode());
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok()); });
  ExpectFoundAndMended("has no file type");
  EXPECT_EQ(ReadPath(LostName(small_)), "in line");
}

TEST_F(FsCheckEntriesTest, MendsFieldsThatATypeDoesNotHave) {
  InodeNumber link;
  {
    const auto fs = Mount();
    link = fs->Symlink(context_, kRootInode, "link", "target")->attributes.inode;
  }
  const auto expect_mended = [&](InodeNumber number, auto change) {
    const std::string sound = ValueOf(schema_->Inode(number));
    DamageInode(number, change);
    EXPECT_EQ(Run(false).finding_count, 1u);
    ExpectFoundAndMended("has fields that contradict each other");
    EXPECT_EQ(ValueOf(schema_->Inode(number)), sound);
  };
  expect_mended(small_, [&](InodeRecord& r) { r.parent = dir_; });
  expect_mended(small_, [](InodeRecord& r) { r.Set(InodeRecord::kHasBlocks); });
  expect_mended(small_, [](InodeRecord& r) { r.flags |= 1u << 20; });
  expect_mended(file_, [](InodeRecord& r) { r.inline_data = "x"; });
  expect_mended(dir_, [](InodeRecord& r) { r.Set(InodeRecord::kHasBlocks); });
  expect_mended(dir_, [](InodeRecord& r) { r.preallocated = {{{1}, {2}}}; });
  expect_mended(dir_, [](InodeRecord& r) { r.size_bytes = 7; });
  expect_mended(dir_, [](InodeRecord& r) {
    r.size_bytes = 1;
    r.inline_data = "x";
  });
  expect_mended(link, [](InodeRecord& r) { r.pending_clears = {{{{1}, {2}}, 0}}; });
  expect_mended(link, [](InodeRecord& r) { r.size_bytes = 7; });
  expect_mended(kRootInode, [&](InodeRecord& r) { r.parent = dir_; });
}

// --- entries ---

TEST_F(FsCheckEntriesTest, MovesAnEntryToWhereItIsFound) {
  std::string key(schema_->Dentry(kRootInode, "small").view());
  const std::string value = ValueOf(key);
  Delete(key);
  key[9] = static_cast<char>(key[9] ^ 1);  // its hash
  Put(key, value);
  ExpectFoundAndMended("entry where no lookup finds it: \"/small\"");
  EXPECT_EQ(ReadPath("/small"), "in line");
}

TEST_F(FsCheckEntriesTest, WhatAnImpossibleOrCorruptEntryNamedGoesToLostAndFound) {
  for (const std::string& name :
       {std::string("."), std::string(".."), std::string("a/b"), std::string("a\0b", 3)}) {
    Damage([&](RecordStore& r) {
      ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
      ASSERT_TRUE(r.StoreDentry(kRootInode, name, {small_, S_IFREG}).ok());
    });
    ExpectFoundAndMended("entry of a name that cannot be");
    EXPECT_EQ(ReadPath(LostName(small_)), "in line");
    const auto fs = Mount();
    const InodeNumber lost = Find(*fs, "/lost+found")->inode;
    ASSERT_TRUE(
        fs->Rename(context_, lost, LostName(small_).substr(12), kRootInode, "small", 0).ok());
  }
  Put(schema_->Dentry(kRootInode, "small"), "\x01 garbage");
  ExpectFoundAndMended("corrupt entry: \"/small\"");
  EXPECT_EQ(ReadPath(LostName(small_)), "in line");
  Put(std::string(schema_->Dentry(kRootInode, "").view()), "");
  ExpectFoundAndMended("malformed entry at key");
}

TEST_F(FsCheckEntriesTest, DeletesAnEntryThatLeadsBackToTheRoot) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(dir_, "up", {kRootInode, S_IFDIR}).ok());
    ASSERT_TRUE(r.StoreDentry(kRootInode, "self", {kRootInode, S_IFDIR}).ok());
  });
  EXPECT_EQ(Run(false).finding_count, 2u);
  ExpectFoundAndMended("entry that leads back to the root: \"/dir/up\"");
}

TEST_F(FsCheckEntriesTest, AnEntryInAFileGoesAndItsInodeIsFound) {
  const InodeNumber empty = Create(*Mount(), kRootInode, "empty", "");
  for (InodeNumber file : {file_, empty}) {
    Damage([&](RecordStore& r) {
      ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
      ASSERT_TRUE(r.StoreDentry(file, "small", {small_, S_IFREG}).ok());
    });
    ExpectFoundAndMended("entry of no directory");
    EXPECT_EQ(ReadPath(LostName(small_)), "in line");
    const auto fs = Mount();
    EXPECT_TRUE(Find(*fs, "/empty")->IsRegular());
    const InodeNumber lost = Find(*fs, "/lost+found")->inode;
    ASSERT_TRUE(
        fs->Rename(context_, lost, LostName(small_).substr(12), kRootInode, "small", 0).ok());
  }
}

TEST_F(FsCheckEntriesTest, AnEntryInWhatIsNoInodeNumberGoes) {
  for (InodeNumber none : {InodeNumber{0}, InodeNumber{UINT64_MAX}}) {
    Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreDentry(none, "x", {small_, S_IFREG}).ok()); });
    ExpectFoundAndMended("entry of no directory");
  }
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(kRootInode, "x", {{UINT64_MAX}, S_IFDIR}).ok());
  });
  ExpectFoundAndMended("corrupt entry: \"/x\"");
}

TEST_F(FsCheckEntriesTest, AnEntryOfNothingInNothingGoes) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreDentry({998}, "x", {{999}, S_IFREG}).ok()); });
  EXPECT_EQ(Run(false).finding_count, 1u);
  ExpectFoundAndMended("entry of no directory");
}

TEST_F(FsCheckEntriesTest, ADirectoryKeepsItsOnlyNameWhateverParentItSays) {
  const InodeNumber empty = Mount()->Mkdir(context_, kRootInode, "empty", 0755)->attributes.inode;
  DamageInode(empty, [&](InodeRecord& r) { r.parent = {}; });
  ExpectFoundAndMended("names another parent than it has: \"/empty\"");
  for (InodeNumber wrong : {InodeNumber{0}, InodeNumber{999}, small_, dir_}) {
    DamageInode(dir_, [&](InodeRecord& r) { r.parent = wrong; });
    ExpectFoundAndMended("names another parent than it has: \"/dir\"");
    EXPECT_EQ(InodeOf(dir_).parent, kRootInode);
  }
}

TEST_F(FsCheckEntriesTest, ADirectoryHasOneName) {
  InodeNumber other;
  {
    const auto fs = Mount();
    other = fs->Mkdir(context_, kRootInode, "other", 0755)->attributes.inode;
  }
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(other, "second", {dir_, S_IFDIR}).ok());
  });
  ExpectFoundAndMended("has another name: \"/other/second\"");
  EXPECT_EQ(ReadPath("/dir/file").size(), 2 * kBlock);
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(kRootInode, "twin", {dir_, S_IFDIR}).ok());
  });
  ExpectFoundAndMended("has another name");
  const InodeNumber inner = Mount()->Mkdir(context_, other, "inner", 0755)->attributes.inode;
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.StoreDentry(kRootInode, "false", {inner, S_IFDIR}).ok());
  });
  DamageInode(inner, [](InodeRecord& r) { r.nlink = 3; });
  EXPECT_THAT(Run(false).findings, Finding("link count 3, not 2: \"/other/inner\"", false));
  ExpectFoundAndMended("has another name: \"/false\"");
  EXPECT_NE(ReadPath("/dir/file") == "nothing", ReadPath("/twin/file") == "nothing");
}

// --- reachability ---

TEST_F(FsCheckEntriesTest, LinksANamelessInodeToLostAndFound) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok());
  });
  ExpectFoundAndMended("has no name");
  EXPECT_EQ(ReadPath(LostName(small_)), "in line");
  EXPECT_EQ(ReadPath(LostName(dir_) + "/file").size(), 2 * kBlock);
  const auto fs = Mount();
  EXPECT_EQ(Find(*fs, "/lost+found")->mode, S_IFDIR | 0700u);
}

TEST_F(FsCheckEntriesTest, LostAndFoundGivesWayToWhatHasItsNames) {
  InodeNumber taken;
  {
    const auto fs = Mount();
    Create(*fs, kRootInode, "lost+found", "a file");
    taken = fs->Mkdir(context_, kRootInode, "lost+found-1", 0755)->attributes.inode;
    Create(*fs, taken, "#" + std::to_string(small_.value), "another");
  }
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok()); });
  ExpectFoundAndMended("has no name");
  EXPECT_EQ(ReadPath("/lost+found"), "a file");
  const std::string name = "/lost+found-1/#" + std::to_string(small_.value);
  EXPECT_EQ(ReadPath(name), "another");
  EXPECT_EQ(ReadPath(name + "-1"), "in line");
}

TEST_F(FsCheckEntriesTest, AFileThatIsEnteredAsLostAndFoundTakesNothingIn) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "hard").ok());
    ASSERT_TRUE(r.StoreDentry(kRootInode, "lost+found", {file_, S_IFDIR}).ok());
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
  });
  ExpectFoundAndMended("has no name");
  EXPECT_EQ(ReadPath("/lost+found").size(), 2 * kBlock);
  EXPECT_EQ(ReadPath("/lost+found-1/#" + std::to_string(small_.value)), "in line");
}

TEST_F(FsCheckEntriesTest, ARemovedDirectoryThatHasEntriesComesBack) {
  DamageInode(dir_, [](InodeRecord& r) { r.nlink = 0; });
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok());
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "hard").ok());
    ASSERT_TRUE(r.AddLeftover(dir_, LeftoverKind::kOrphan).ok());
  });
  ExpectFoundAndMended("has no name");
  EXPECT_EQ(ReadPath(LostName(dir_) + "/file").size(), 2 * kBlock);
}

TEST_F(FsCheckEntriesTest, OneDirectoryOfACycleIsTakenOutOfIt) {
  InodeNumber inner, innermost;
  {
    const auto fs = Mount();
    inner = fs->Mkdir(context_, dir_, "inner", 0755)->attributes.inode;
    innermost = fs->Mkdir(context_, inner, "innermost", 0755)->attributes.inode;
  }
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "dir").ok());
    ASSERT_TRUE(r.StoreDentry(innermost, "dir", {dir_, S_IFDIR}).ok());
  });
  DamageInode(dir_, [&](InodeRecord& r) { r.parent = innermost; });
  const CheckReport report = Run(false);
  EXPECT_THAT(report.findings, Finding("is its own ancestor", false));
  EXPECT_EQ(std::ranges::count_if(report.findings,
                                  [](const CheckFinding& finding) {
                                    return finding.what.find("ancestor") != std::string::npos;
                                  }),
            1);
  ExpectFoundAndMended("is its own ancestor");
  const auto fs = Mount();
  EXPECT_TRUE(Find(*fs, LostName(dir_) + "/inner/innermost"));
  EXPECT_TRUE(Find(*fs, LostName(dir_) + "/file"));
}

TEST_F(FsCheckEntriesTest, MendsStripes) {
  Put(schema_->Stripe(dir_, 0), "\x01junk");
  ExpectFoundAndMended("corrupt directory stripe");
  Put(schema_->Stripe(dir_, 1), StripeRecord().Encode());  // there is one stripe a directory
  ExpectFoundAndMended("directory stripe without its directory");
  Put(schema_->Stripe(small_, 0), StripeRecord().Encode());
  ExpectFoundAndMended("directory stripe without its directory");
  const InodeNumber last = Mount()->Mkdir(context_, kRootInode, "last", 0755)->attributes.inode;
  Put(schema_->Stripe({last.value + 1}, 0), StripeRecord().Encode());
  ExpectFoundAndMended("directory stripe without its directory");
}

}  // namespace
}  // namespace tifs::fs
