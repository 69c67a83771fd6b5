// The check of what inodes hold: blocks, slots of the data file, attributes.
#include <string>

#include "fs/data/block_value.h"
#include "fs/data/deferred_writes.h"
#include "fs/fs_check_test_fixture.h"
#include "fs/posix_acl.h"

namespace tifs::fs {
namespace {

std::string ExtentValue(uint32_t epoch, uint64_t slot, uint32_t length_bytes) {
  std::string value;
  BlockValue::AppendHead(value, BlockEncoding::kExtent, epoch);
  ExtentReference{slot, length_bytes}.Append(value);
  return value;
}

std::string RawValue(uint32_t epoch, std::string_view bytes) {
  std::string value;
  BlockValue::AppendHead(value, BlockEncoding::kRaw, epoch);
  return value.append(bytes);
}

using FsCheckBlocksTest = FsCheckFixture;

class FsCheckExtentsTest : public FsCheckFixture {
 protected:
  FsCheckExtentsTest() : FsCheckFixture(true) {}

  uint64_t SlotOf(InodeNumber inode, uint64_t index) {
    const std::string value = ValueOf(schema_->Block(inode, {index}));
    return ExtentReference::Decode(*BlockValue::Decode(value))->slot;
  }
};

const std::string kHole(4096, '\0');

// --- blocks ---

TEST_F(FsCheckBlocksTest, ACorruptBlockBecomesAHole) {
  const std::string number = std::to_string(file_.value);
  for (const std::string& value :
       {std::string("\xff"), std::string("\x01\x00", 2), RawValue(0, ""),
        RawValue(0, std::string(kBlock + 1, 'x')), ExtentValue(0, 7, 10)}) {
    Put(schema_->Block(file_, {1}), value);
    ExpectFoundAndMended("corrupt block 1 of inode " + number + " (from byte 4096 on): \"/hard\"");
    EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + kHole);
  }
}

TEST_F(FsCheckBlocksTest, DeletesStrayBlocks) {
  Put(schema_->Block({999}, {0}), RawValue(0, "x"));
  ExpectFoundAndMended("block of no file");
  Put(schema_->Block(dir_, {0}), RawValue(0, "x"));
  ExpectFoundAndMended("block of no file");
  Put(schema_->Block(small_, {0}), RawValue(0, "x"));
  ExpectFoundAndMended("block of no file");
  EXPECT_EQ(ReadPath("/small"), "in line");
  Put(std::string(schema_->Block(file_, {0}).view()) + "x", RawValue(0, "x"));
  ExpectFoundAndMended("block of no file");
  EXPECT_EQ(ReadPath("/hard").size(), 2 * kBlock);
}

TEST_F(FsCheckBlocksTest, ABlockOfAnEmptyFileIsStray) {
  const InodeNumber empty = Create(*Mount(), kRootInode, "empty", "");
  Put(schema_->Block(empty, {0}), RawValue(0, "x"));
  ExpectFoundAndMended("block of no file");
  EXPECT_EQ(InodeOf(empty).flags, 0u);
}

TEST_F(FsCheckBlocksTest, DeletesWhatLiesBeyondTheEnd) {
  DamageInode(file_, [](InodeRecord& r) { r.size_bytes = kBlock; });
  ExpectFoundAndMended("block beyond the end of its file");
  Put(schema_->Block(file_, {UINT64_MAX}), RawValue(0, "x"));
  ExpectFoundAndMended("block beyond the end of its file");
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f'));
}

TEST_F(FsCheckBlocksTest, TheLastByteOfTheLargestFileIsWithinIt) {
  ASSERT_TRUE(Mount()->Write(context_, file_, {}, kMaxFileBytes - 1, "x", {}).ok());
  ExpectClean();
  Put(schema_->Inode(file_), "junk");
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(InodeOf(file_).size_bytes, kMaxFileBytes);
  Put(schema_->Block(file_, {kMaxFileBytes / kBlock}), "junk");
  Put(schema_->Inode(file_), "junk");
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(InodeOf(file_).size_bytes, kMaxFileBytes);
}

TEST_F(FsCheckBlocksTest, CutsABlockThatOverhangsTheEnd) {
  DamageInode(file_, [](InodeRecord& r) { r.size_bytes = kBlock + 10; });
  ExpectFoundAndMended("goes on beyond the end of its file");
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(10, 'g'));
  EXPECT_EQ(ValueOf(schema_->Block(file_, {1})), RawValue(0, std::string(10, 'g')));
}

TEST_F(FsCheckExtentsTest, CutsABlockThatOverhangsTheEnd) {
  DamageInode(file_, [](InodeRecord& r) { r.size_bytes = kBlock + 10; });
  ExpectFoundAndMended("goes on beyond the end of its file");
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(10, 'g'));
  const auto fs = Mount();
  AttributeChanges longer;
  longer.size_bytes = 2 * kBlock;
  ASSERT_TRUE(fs->SetAttributes(context_, file_, longer).ok());
  ASSERT_TRUE(fs->Write(context_, file_, {}, kBlock + 20, "z", {}).ok());
  EXPECT_EQ(Read(*fs, file_).substr(kBlock, 22),
            std::string(10, 'g') + std::string(10, '\0') + "z" + std::string(1, '\0'))
      << "what was cut off must not come back";
}

TEST_F(FsCheckBlocksTest, AFileThatDoesNotSayThatItHasBlocksKeepsThem) {
  DamageInode(file_, [](InodeRecord& r) { r.Set(InodeRecord::kHasBlocks, false); });
  EXPECT_EQ(Run(false).finding_count, 1u);
  ExpectFoundAndMended("does not say that it has blocks");
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
}

TEST_F(FsCheckExtentsTest, ABlockMustBeOfTheKindThatTheFileSystemHas) {
  Put(schema_->Block(file_, {0}), RawValue(0, "raw"));
  ExpectFoundAndMended("corrupt block 0");
  EXPECT_EQ(ReadPath("/hard"), kHole + std::string(kBlock, 'g'));
}

// --- epochs ---

TEST_F(FsCheckBlocksTest, AnEpochThatIsTooHighCostsNoBytes) {
  Create(*Mount(), kRootInode, "after", std::string(2 * kBlock, 'a'));
  Put(schema_->Block(file_, {0}), RawValue(9, std::string(kBlock, 'f')));
  Put(schema_->Block(file_, {1}), RawValue(UINT32_MAX, std::string(kBlock, 'g')));
  EXPECT_EQ(Run(false).finding_count, 2u);
  ExpectFoundAndMended("has blocks of an epoch that it has not reached");
  EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
  EXPECT_EQ(InodeOf(file_).clear_epoch, 9u) << "the next cut must be above it";
  EXPECT_EQ(BlockValue::Decode(ValueOf(schema_->Block(file_, {1})))->epoch, 0u);
}

TEST_F(FsCheckBlocksTest, AClearAboveTheFilesEpochHidesWhatItHidAndNothingNew) {
  InodeRecord record = InodeOf(file_);
  record.clear_epoch = 1;
  record.pending_clears = {{{{1}, {2}}, 5}};
  Put(schema_->Inode(file_), record.Encode());
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.AddLeftover(file_, LeftoverKind::kClear).ok()); });
  EXPECT_EQ(Mount()->Lookup(context_, kRootInode, "hard").error().code(), ErrorCode::kCorrupt)
      << "a write into the range would vanish: none is taken before it is mended";
  ExpectFoundAndMended("in one field only");
  const auto fs = Mount();
  EXPECT_EQ(Read(*fs, file_), std::string(kBlock, 'f') + kHole);
  ASSERT_TRUE(fs->Write(context_, file_, {}, kBlock, "new", {}).ok());
  while (*fs->RunBackgroundStep()) {
  }
  EXPECT_EQ(Read(*fs, file_).substr(kBlock, 4), std::string("new\0", 4));
}

TEST_F(FsCheckBlocksTest, PreallocatedRangesAreSortedAndJoined) {
  const auto expect_mended = [&](std::vector<BlockRange> damaged, std::vector<BlockRange> mended) {
    InodeRecord record = InodeOf(file_);
    record.preallocated = std::move(damaged);
    Put(schema_->Inode(file_), record.Encode());
    ASSERT_FALSE(InodeRecord::Decode(file_, record.Encode()).ok());
    ExpectFoundAndMended("in one field only");
    EXPECT_EQ(InodeOf(file_).preallocated, mended);
    EXPECT_EQ(ReadPath("/hard"), std::string(kBlock, 'f') + std::string(kBlock, 'g'));
  };
  expect_mended({{{8}, {9}}, {{4}, {6}}}, {{{4}, {6}}, {{8}, {9}}});  // not ascending
  expect_mended({{{4}, {8}}, {{6}, {9}}}, {{{4}, {9}}});              // overlapping
  expect_mended({{{4}, {6}}, {{6}, {9}}}, {{{4}, {9}}});              // touching
  expect_mended({{{4}, {4}}, {{6}, {9}}}, {{{6}, {9}}});              // empty
  expect_mended({{{9}, {4}}, {{6}, {UINT64_MAX}}}, {});               // backwards, endless
}

// --- slots ---

TEST_F(FsCheckExtentsTest, ASharedSlotIsReadByNeitherFileButByRoot) {
  InodeNumber other;
  {
    const auto fs = Mount();
    other = Create(*fs, kRootInode, "other", std::string(kBlock, 'o') + std::string(kBlock, 'p'));
  }
  const uint64_t slot = SlotOf(other, 1);
  Put(schema_->Block(file_, {1}), ExtentValue(0, slot, 100));
  const CheckReport report = Run(false);
  EXPECT_THAT(report.findings, Finding("names slot " + std::to_string(slot) +
                                           " of the data file, as another block does: \"/other\"",
                                       false));
  ExpectFoundAndMended("as another block does: \"/hard\"");
  EXPECT_EQ(ReadPath("/hard"),
            std::string(kBlock, 'f') + std::string(100, '\0') + std::string(kBlock - 100, '\0'));
  EXPECT_EQ(ReadPath("/other"), std::string(kBlock, 'o') + kHole);
  const std::string kept = "/lost+found/slot-" + std::to_string(slot);
  EXPECT_EQ(ReadPath(kept), std::string(kBlock, 'p')) << "the bytes themselves are not lost";
  const auto fs = Mount();
  EXPECT_EQ(Find(*fs, kept)->mode, S_IFREG | 0600u);
  EXPECT_EQ(Find(*fs, kept)->uid, 0u);
}

TEST_F(FsCheckExtentsTest, ASlotIsSharedWithWhateverNamesIt) {
  // A block that is about to be deleted, one of the same file, and one that is not live.
  const uint64_t slot = SlotOf(file_, 0);
  Put(schema_->Block({999}, {0}), ExtentValue(0, slot, kBlock));
  Put(schema_->Block(file_, {1}), ExtentValue(0, slot, kBlock));
  EXPECT_EQ(Run(true).unrepaired, 0u);
  ExpectClean();
  EXPECT_EQ(ReadPath("/hard"), kHole + kHole);
  EXPECT_EQ(ReadPath("/lost+found/slot-" + std::to_string(slot)), std::string(kBlock, 'f'));
}

TEST_F(FsCheckExtentsTest, ASlotFarBeyondTheDataFileBecomesAHole) {
  const uint64_t limit = (device_.bytes().size() + (uint64_t{1} << 40)) / kBlock;
  Put(schema_->Block(file_, {0}), ExtentValue(0, limit - 1, kBlock));
  const CheckReport report = Run(false);
  EXPECT_EQ(report.finding_count, 0u) << "a crash may have made the data file shorter";
  EXPECT_EQ(report.missing_bytes, kBlock);
  EXPECT_EQ(ReadPath("/hard"), kHole + std::string(kBlock, 'g'));
  Put(schema_->Block(file_, {0}), ExtentValue(0, limit, kBlock));
  EXPECT_EQ(ReadPath("/hard").substr(0, 8), "Corrupt:") << "as the mount has it";
  ExpectFoundAndMended("lies far beyond the data file");
  EXPECT_EQ(ReadPath("/hard"), kHole + std::string(kBlock, 'g'));
  Put(schema_->Block(file_, {0}), ExtentValue(0, ExtentReference::kMaxSlot + 1, kBlock));
  ExpectFoundAndMended("corrupt block 0");
}

TEST_F(FsCheckExtentsTest, DeletesDeferredWritesThatCannotBeDone) {
  const uint64_t end = (device_.bytes().size() + (uint64_t{1} << 40)) / kBlock * kBlock;
  const auto value = [](uint64_t offset) { return DeferredValue{offset, "late"}.Encode(); };
  Put(schema_->Deferred(7), value(10));
  EXPECT_EQ(Run(false).finding_count, 0u) << "a mount does it again";
  const std::pair<std::string, std::string> bad[] = {
      {std::string(schema_->Deferred(8).view()), value(end - 3)},
      {std::string(schema_->Deferred(8).view()), value(UINT64_MAX)},
      {std::string(schema_->Deferred(8).view()), "\x01"},
      {std::string(schema_->Deferred(8).view()) + "x", value(10)}};
  for (const auto& [bad_key, bad_value] : bad) {
    Put(bad_key, bad_value);
    ExpectFoundAndMended("corrupt deferred write");
  }
  EXPECT_EQ(ReadPath("/hard").substr(0, 15), std::string(10, 'f') + "latef");
}

TEST_F(FsCheckBlocksTest, NoWriteIsDeferredWithoutADataFile) {
  Put(schema_->Deferred(7), DeferredValue{10, "late"}.Encode());
  ExpectFoundAndMended("corrupt deferred write");
}

TEST_F(FsCheckExtentsTest, WhatAMendNeedsIsMendedFirst) {
  Put(schema_->Block(file_, {1}), ExtentValue(0, SlotOf(file_, 0), kBlock));
  Delete(schema_->NextInode());
  ExpectFoundAndMended("names slot");
}

// --- attributes ---

class FsCheckAttributesTest : public FsCheckFixture {
 protected:
  // u::rwx, u:1000:rwx, g::---, m::rwx, o::---
  static std::string Acl() {
    std::string acl("\x02\0\0\0", 4);
    acl += std::string("\x01\0\x07\0\xff\xff\xff\xff", 8);
    acl += std::string("\x02\0\x07\0\xe8\x03\0\0", 8);
    acl += std::string("\x04\0\0\0\xff\xff\xff\xff", 8);
    acl += std::string("\x10\0\x07\0\xff\xff\xff\xff", 8);
    return acl + std::string("\x20\0\0\0\xff\xff\xff\xff", 8);
  }
  void Set(InodeNumber inode, std::string_view name, std::string_view value) {
    ASSERT_TRUE(Mount()->SetXattr(context_, inode, name, value, XattrFlag::kAny).ok());
  }
  std::string Get(InodeNumber inode, std::string_view name) {
    const auto value = Mount()->GetXattr(context_, inode, name);
    return value ? *value : value.error().ToString();
  }
  void SetFlag(InodeNumber inode, InodeRecord::Flag flag, bool on) {
    DamageInode(inode, [&](InodeRecord& r) { r.Set(flag, on); });
  }
};

TEST_F(FsCheckAttributesTest, AnAclThatIsGoneTakesTheGroupsRightsWithIt) {
  Set(small_, kAccessAclName, Acl());
  EXPECT_EQ(InodeOf(small_).mode, S_IFREG | 0770u);
  Delete(schema_->Xattr(small_, kAccessAclName));
  ExpectFoundAndMended("speaks of attributes that are not there (its group loses all rights");
  EXPECT_EQ(InodeOf(small_).mode, S_IFREG | 0700u) << "0070 was the mask, not the group's";
}

TEST_F(FsCheckAttributesTest, FlagsWithoutTheirAttributesAreCleared) {
  SetFlag(dir_, InodeRecord::kHasDefaultAcl, true);
  ExpectFoundAndMended("speaks of attributes that are not there: \"/dir\"");
  EXPECT_EQ(InodeOf(dir_).mode, S_IFDIR | 0755u);
  SetFlag(small_, InodeRecord::kHasCapability, true);
  ExpectFoundAndMended("speaks of attributes that are not there: \"/small\"");
  EXPECT_EQ(InodeOf(small_).flags, uint32_t{InodeRecord::kHasXattrs});
}

TEST_F(FsCheckAttributesTest, AttributesGetTheirFlagsBack) {
  SetFlag(small_, InodeRecord::kHasXattrs, false);
  ExpectFoundAndMended("does not say that it has attributes");
  EXPECT_EQ(Get(small_, "user.x"), "y");
  Set(small_, kAccessAclName, Acl());
  SetFlag(small_, InodeRecord::kHasAccessAcl, false);
  ExpectFoundAndMended("does not say that it has attributes");
  EXPECT_EQ(Get(small_, kAccessAclName), Acl());
  Set(dir_, kDefaultAclName, Acl());
  SetFlag(dir_, InodeRecord::kHasDefaultAcl, false);
  ExpectFoundAndMended("does not say that it has attributes");
  EXPECT_EQ(Get(dir_, kDefaultAclName), Acl());
  Set(file_, "security.capability", "caps");
  SetFlag(file_, InodeRecord::kHasCapability, false);
  ExpectFoundAndMended("does not say that it has attributes");
  {
    const auto fs = Mount();
    AttributeChanges cut;
    cut.size_bytes = 1;
    ASSERT_TRUE(fs->SetAttributes(context_, file_, cut).ok());
  }
  EXPECT_EQ(Get(file_, "security.capability").substr(0, 11), "NoAttribute")
      << "a change of the contents takes a capability away";
}

TEST_F(FsCheckAttributesTest, AnAclGrantsNoMoreThanTheModeShows) {
  Set(small_, kAccessAclName, Acl());
  DamageInode(small_, [](InodeRecord& r) { r.mode = S_IFREG | 0640; });
  ExpectFoundAndMended("has an ACL that contradicts its mode");
  EXPECT_EQ(PosixAcl::Decode(Get(small_, kAccessAclName))->ModeBits(), 0640u);
}

TEST_F(FsCheckAttributesTest, DeletesAclsThatCannotBe) {
  Set(small_, kAccessAclName, Acl());
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreXattr(small_, kAccessAclName, "junk").ok()); });
  ExpectFoundAndMended("corrupt ACL");
  EXPECT_EQ(InodeOf(small_).mode, S_IFREG | 0700u);
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreXattr(small_, kDefaultAclName, Acl()).ok()); });
  SetFlag(small_, InodeRecord::kHasDefaultAcl, true);
  ExpectFoundAndMended("ACL of what can have none");
  const InodeNumber link =
      Mount()->Symlink(context_, kRootInode, "link", "target")->attributes.inode;
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreXattr(link, kAccessAclName, Acl()).ok()); });
  SetFlag(link, InodeRecord::kHasXattrs, true);
  SetFlag(link, InodeRecord::kHasAccessAcl, true);
  ExpectFoundAndMended("ACL of what can have none");
  EXPECT_EQ(InodeOf(link).mode, S_IFLNK | 0777u);
  EXPECT_EQ(InodeOf(small_).flags, uint32_t{InodeRecord::kHasXattrs});
}

TEST_F(FsCheckAttributesTest, DeletesStrayAndCorruptAttributes) {
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.StoreXattr({777}, "user.stray", "v").ok()); });
  ExpectFoundAndMended("extended attribute of no inode");
  Put(schema_->Xattr(small_, "user.x"), "\x02v");
  ExpectFoundAndMended("corrupt extended attribute");
  Put(schema_->Xattr(small_, "user.y"), "");
  ExpectFoundAndMended("corrupt extended attribute");
  Put(schema_->Xattr(small_, std::string_view("user.\0z", 7)), "\x01v");
  ExpectFoundAndMended("corrupt extended attribute");
  EXPECT_EQ(*Mount()->ListXattrs(context_, small_), "");
}

}  // namespace
}  // namespace tifs::fs
