#include "fs/fs_check.h"

#include <string>

#include "fs/fs_check_test_fixture.h"
#include "fs/inode_allocator.h"

namespace tifs::fs {
namespace {

using FsCheckTest = FsCheckFixture;

TEST_F(FsCheckTest, FindsNothingInASoundFileSystem) {
  const CheckReport report = Run(false);
  EXPECT_EQ(report.finding_count, 0u);
  EXPECT_EQ(report.inodes, 4u);
  EXPECT_EQ(report.directories, 2u);
  EXPECT_EQ(report.blocks, 2u);
  EXPECT_EQ(report.used_bytes, 2 * kBlock + 512);
}

TEST_F(FsCheckTest, FindsNothingWhileWorkIsLeftToTheBackground) {
  const auto fs = Mount();
  const InodeNumber large = Create(*fs, kRootInode, "large", std::string(300 * kBlock, 'l'));
  const InodeNumber unlinked = Create(*fs, kRootInode, "unlinked", std::string(900 * kBlock, 'u'));
  AttributeChanges cut;
  cut.size_bytes = 1;
  ASSERT_TRUE(fs->SetAttributes(context_, large, cut).ok());
  cut.size_bytes = 300 * kBlock;
  ASSERT_TRUE(fs->SetAttributes(context_, unlinked, cut).ok());
  const auto opened = fs->Open(context_, unlinked, {});
  ASSERT_TRUE(fs->Unlink(context_, kRootInode, "unlinked").ok());
  ASSERT_TRUE(fs->Allocate(context_, file_, {}, {.keep_size = true}, kBlock, 9 * kBlock).ok());
  EXPECT_EQ(Run(false).orphans, 1u);
  ExpectClean();
  EXPECT_FALSE(InodeOf(large).pending_clears.empty());
  ASSERT_TRUE(fs->Release(unlinked, opened->handle).ok());
  while (*fs->RunBackgroundStep()) ExpectClean();
}

TEST_F(FsCheckTest, RefusesFeaturesThatItDoesNotKnow) {
  const std::string meta = ValueOf(Schema().Meta());
  const auto refuses = [&](auto change) {
    MetaRecord changed = *MetaRecord::Decode(meta);
    change(changed);
    Put(Schema().Meta(), changed.Encode());
    const auto before = Dump();
    const auto report = Check(store_, clock_, {.repair = true});
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code(), ErrorCode::kNotSupported);
    EXPECT_EQ(Dump(), before);
  };
  // What a later release keeps under keys that this one does not know is not damage.
  Put("\x03what", "");
  refuses([](MetaRecord& m) { m.compatible = 1; });
  refuses([](MetaRecord& m) { m.read_only_compatible = 1; });
  refuses([](MetaRecord& m) { m.incompatible = uint64_t{1} << 63; });
  refuses([](MetaRecord& m) { m.format_version = 2; });
}

TEST_F(FsCheckTest, RefusesWhatIsNotFormatted) {
  kv::MemKv empty;
  EXPECT_EQ(Check(empty, clock_, {}).error().code(), ErrorCode::kNotFound);
}

TEST_F(FsCheckTest, NamesWhatItFindsByItsPath) {
  {
    const auto fs = Mount();
    const InodeNumber hostile =
        fs->Mkdir(context_, dir_, "a\n\"\x1b[2J\xff", 0755)->attributes.inode;
    Create(*fs, hostile, "deep", "");
  }
  Damage([&](RecordStore& r) {
    const auto hostile = r.LoadDentry(dir_, "a\n\"\x1b[2J\xff");
    const auto deep = r.LoadDentry((*hostile)->inode, "deep");
    ASSERT_TRUE(r.DeleteInode((*deep)->inode).ok());
  });
  DamageInode(dir_, [](InodeRecord& r) { r.nlink = 3; });
  DamageInode(file_, [](InodeRecord& r) { r.nlink = 3; });
  const std::vector<CheckFinding> findings = Run(false).findings;
  EXPECT_THAT(findings, Finding("is missing: \"/dir/a\\x0a\\\"\\x1b[2J\\xff/deep\"", false));
  EXPECT_THAT(findings, Finding("has link count 3, not 2: \"/dir\"", false));
  // One of its names is enough.
  EXPECT_THAT(findings, testing::AnyOf(Finding("link count 3, not 2: \"/dir/file\"", false),
                                       Finding("link count 3, not 2: \"/hard\"", false)));
}

TEST_F(FsCheckTest, MendsMoreThanOneReadingCanHold) {
  constexpr uint64_t kStrays = 12'000;
  Damage([&](RecordStore& r) {
    for (uint64_t i = 0; i < kStrays; ++i) {
      ASSERT_TRUE(r.transaction().Put("\xf0" + std::to_string(i), "").ok());
    }
  });
  const CheckReport report = Run(true);
  EXPECT_EQ(report.finding_count, kStrays);
  EXPECT_EQ(report.findings.size(), CheckReport::kMaxFindings);
  EXPECT_EQ(report.unrepaired, 0u);
  ExpectClean();
}

TEST_F(FsCheckTest, SaysWhatItCannotMend) {
  InodeNumber link;
  {
    const auto fs = Mount();
    link = fs->Symlink(context_, kRootInode, "link", "target")->attributes.inode;
  }
  DamageInode(link, [](InodeRecord& r) {
    r.inline_data.clear();
    r.size_bytes = 0;
  });
  DamageInode(file_, [](InodeRecord& r) { r.nlink = 7; });
  const CheckReport report = Run(true);
  EXPECT_EQ(report.finding_count, 2u);
  EXPECT_EQ(report.unrepaired, 1u);
  EXPECT_THAT(report.findings, Finding("has link count 7", true));
  EXPECT_THAT(report.findings, Finding("has no target: remove it: \"/link\"", false));
  EXPECT_EQ(Run(false).finding_count, 1u);
  DamageInode(link, [](InodeRecord& r) {
    r.inline_data.assign(kMaxSymlinkBytes + 1, 't');
    r.size_bytes = r.inline_data.size();
  });
  EXPECT_THAT(Run(true).findings, Finding("has no target", false));
  ASSERT_TRUE(Mount()->Unlink(context_, kRootInode, "link").ok());
  ExpectClean();
}

TEST_F(FsCheckTest, ARepairIsDurable) {
  class CountingStore : public kv::ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Status Sync() override {
      ++syncs;
      return base().Sync();
    }
    int syncs = 0;
  };
  CountingStore store(store_);
  ASSERT_TRUE(Check(store, clock_, {}).ok());
  EXPECT_EQ(store.syncs, 0);
  ASSERT_TRUE(Check(store, clock_, {.repair = true}).ok());
  EXPECT_EQ(store.syncs, 1);
}

// --- counts ---

TEST_F(FsCheckTest, MendsAWrongLinkCount) {
  DamageInode(file_, [](InodeRecord& r) { r.nlink = 7; });
  ExpectFoundAndMended("has link count 7, not 2");
  EXPECT_EQ(InodeOf(file_).nlink, 2u);
}

TEST_F(FsCheckTest, MendsAWrongLinkCountOfADirectory) {
  DamageInode(dir_, [](InodeRecord& r) { r.nlink = 3; });
  ExpectFoundAndMended("has link count 3, not 2");
  DamageInode(kRootInode, [](InodeRecord& r) { r.nlink = 0; });
  ExpectFoundAndMended("has link count 0, not 2");
}

TEST_F(FsCheckTest, KeepsAFileThatHasANameAndNoLinks) {
  DamageInode(small_, [](InodeRecord& r) { r.nlink = 0; });
  Damage([&](RecordStore& r) { ASSERT_TRUE(r.AddLeftover(small_, LeftoverKind::kOrphan).ok()); });
  ExpectFoundAndMended("has link count 0, not 1");
  EXPECT_EQ(ReadPath("/small"), "in line");
  const auto fs = Mount();
  while (*fs->RunBackgroundStep()) {
  }
  EXPECT_TRUE(Find(*fs, "/small"));
}

TEST_F(FsCheckTest, MendsAWrongEntryCount) {
  Damage([&](RecordStore& r) {
    auto stripe = r.LoadStripe(dir_, 0);
    stripe->entries = 5;
    ASSERT_TRUE(r.StoreStripe(dir_, 0, *stripe).ok());
  });
  ExpectFoundAndMended("counts its entries wrongly");
  Damage([&](RecordStore& r) {
    auto stripe = r.LoadStripe(kRootInode, 0);
    stripe->subdirectories = 0;
    ASSERT_TRUE(r.StoreStripe(kRootInode, 0, *stripe).ok());
  });
  ExpectFoundAndMended("counts its entries wrongly");
}

TEST_F(FsCheckTest, MendsAWrongCharge) {
  DamageInode(file_, [](InodeRecord& r) { r.charged_bytes = 1; });
  ExpectFoundAndMended("is charged 1 bytes, not 8192");
  DamageInode(small_, [](InodeRecord& r) { r.charged_bytes = 1; });
  ExpectFoundAndMended("is charged 1 bytes, not 512");
}

TEST_F(FsCheckTest, NoChargeIsMoreThanADiskCanHold) {
  // Else usage could not be added up.
  DamageInode(file_, [](InodeRecord& r) { r.preallocated = {{{8}, {uint64_t{1} << 50}}}; });
  ExpectFoundAndMended("has fields that contradict each other");
  EXPECT_TRUE(InodeOf(file_).preallocated.empty());
  InodeNumber orphan;
  {
    const auto fs = Mount();
    orphan = Create(*fs, kRootInode, "orphan", std::string(30 * kBlock, 'o'));
    ASSERT_TRUE(fs->Unlink(context_, kRootInode, "orphan").ok());
  }
  DamageInode(orphan, [](InodeRecord& r) {
    EXPECT_EQ(r.nlink, 0u);
    r.charged_bytes = UINT64_MAX / 2;
  });
  ExpectFoundAndMended("is charged 9223372036854775807 bytes, not 122880");
}

TEST_F(FsCheckTest, MendsAWrongUsageCount) {
  for (const UsageRecord& wrong : {UsageRecord{1, 4, true}, UsageRecord{2 * kBlock + 512, 3, true},
                                   UsageRecord{1 << 30, 4, true}, UsageRecord{1, 100, false},
                                   UsageRecord{1 << 30, 3, false}}) {
    Put(schema_->Usage(), wrong.Encode());
    ExpectFoundAndMended("wrong usage count");
  }
  Put(schema_->Usage(), "x");
  ExpectFoundAndMended("wrong usage count");
  Delete(schema_->Usage());
  ExpectFoundAndMended("wrong usage count");
  Put(schema_->Usage(), UsageRecord{1 << 30, 100, false}.Encode());
  EXPECT_EQ(Run(false).finding_count, 0u) << "an upper bound is right";
}

TEST_F(FsCheckTest, MendsANextInodeNumberThatIsWrong) {
  for (uint64_t next : {uint64_t{2}, small_.value}) {
    Put(schema_->NextInode(), EncodeNextInode(next));
    ExpectFoundAndMended("the next inode number is in use");
  }
  Put(schema_->NextInode(), "\x01");
  ExpectFoundAndMended("the next inode number is in use");
  Delete(schema_->NextInode());
  ExpectFoundAndMended("the next inode number is in use");
  Put(schema_->NextInode(), EncodeNextInode(UINT64_MAX));
  ExpectFoundAndMended("the next inode number is beyond all that can be");
  const auto fs = Mount();
  EXPECT_GT(Create(*fs, kRootInode, "new", "").value, small_.value);
}

// --- leftovers and other keys ---

TEST_F(FsCheckTest, QueuesAnOrphanThatIsNotQueued) {
  DamageInode(small_, [](InodeRecord& r) { r.nlink = 0; });
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.DeleteDentry(kRootInode, "small").ok());
    // A leftover of another kind is none for an orphan.
    ASSERT_TRUE(r.AddLeftover(small_, LeftoverKind::kClear).ok());
  });
  ExpectFoundAndMended("waits for work that is not queued");
  {
    const auto fs = Mount();
    while (*fs->RunBackgroundStep()) {
    }
  }
  EXPECT_EQ(ValueOf(schema_->Inode(small_)), "nothing");
  ExpectClean();
}

TEST_F(FsCheckTest, QueuesClearsThatAreNotQueued) {
  DamageInode(file_, [](InodeRecord& r) {
    r.clear_epoch = 1;
    r.pending_clears = {{{{1}, {2}}, 1}};
  });
  ExpectFoundAndMended("waits for work that is not queued");
  {
    const auto fs = Mount();
    while (*fs->RunBackgroundStep()) {
    }
  }
  EXPECT_TRUE(InodeOf(file_).pending_clears.empty());
  EXPECT_EQ(ValueOf(schema_->Block(file_, {1})), "nothing");
  ExpectClean();
}

TEST_F(FsCheckTest, DeletesLeftoversThatAreNone) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.AddLeftover(small_, LeftoverKind::kOrphan).ok());
    ASSERT_TRUE(r.AddLeftover({777}, LeftoverKind::kOrphan).ok());
    ASSERT_TRUE(r.AddLeftover({778}, LeftoverKind::kClear).ok());  // harmless
  });
  EXPECT_EQ(Run(false).finding_count, 2u);
  ExpectFoundAndMended("orphan that is none");
  Put(schema_->Leftover(7, file_), "\x01\x09");
  ExpectFoundAndMended("malformed leftover");
  Put(std::string(schema_->Leftover(7, file_).view()) + "x", "\x01\x01");
  ExpectFoundAndMended("malformed leftover");
}

TEST_F(FsCheckTest, DeletesKeysThatNoReleaseOfTheseFeaturesHas) {
  Put(std::string("\0other", 6), "");
  Put("\x07what", "");
  Put("\x0bwhat", "");
  Put("\xf0last", "");
  EXPECT_EQ(Run(false).finding_count, 4u);
  ExpectFoundAndMended("unknown key");
}

TEST_F(FsCheckTest, DeletesWhatSessionsLeftThatAreNotThere) {
  Put("\x03what", "");
  ExpectFoundAndMended("hold of nobody or on nothing");
  Put(schema_->Hold(file_, 7), "\x01");
  ExpectFoundAndMended("hold of nobody or on nothing");
  Put("\x06what", "");
  ExpectFoundAndMended("corrupt session");
  Put(schema_->Session(7), "\x01");
  ExpectFoundAndMended("corrupt session");
  Put(schema_->Usage(7), ReservationRecord{1, 1, 1, 1}.Encode());
  ExpectFoundAndMended("reservation of nobody");
  Put(schema_->SettledUsage(), SettledRecord{1, 1, true, 0}.Encode());
  ExpectFoundAndMended("wrong usage count");
  Put(schema_->SettledUsage(), "\x01");
  ExpectFoundAndMended("wrong usage count");
}

TEST_F(FsCheckTest, FindsNothingWrongWithASession) {
  Put(schema_->Session(7), SessionRecord{}.Encode());
  Put(schema_->Hold(file_, 7), "\x01");
  Put(schema_->Usage(7), ReservationRecord{1 << 20, 100, 0, 0}.Encode());
  Put(schema_->SettledUsage(), SettledRecord{0, 0, true, 0}.Encode());
  EXPECT_EQ(Run(false).finding_count, 0u);
  // Less than what is in use.
  Put(schema_->SettledUsage(), SettledRecord{-(int64_t{1} << 30), 0, true, 0}.Encode());
  EXPECT_EQ(Run(false).finding_count, 1u);
}

TEST_F(FsCheckTest, MendsTheNextInodeNumberOfAShard) {
  const uint64_t first = uint64_t{3} << Schema::kInodeShardBits;
  Put(schema_->NextInode(3), EncodeNextInode(first + 10));
  EXPECT_EQ(Run(false).finding_count, 0u);
  for (const uint64_t wrong : {first - 1, uint64_t{1} << 62}) {
    Put(schema_->NextInode(3), EncodeNextInode(wrong));
    ExpectFoundAndMended("the next inode number");
  }
}

TEST_F(FsCheckTest, MendsTheKeyOfMoves) {
  Put(schema_->Tree(), "junk");
  ExpectFoundAndMended("corrupt value of the tree's key");
}

TEST_F(FsCheckTest, DeletesMalformedInodeKeys) {
  const std::string inode = ValueOf(schema_->Inode(small_));
  Put(schema_->Inode({0}), inode);
  ExpectFoundAndMended("malformed inode key");
  Put(schema_->Inode({UINT64_MAX}), inode);
  ExpectFoundAndMended("malformed inode key");
  Put(std::string(schema_->Inode(small_).view()) + "x", inode);
  ExpectFoundAndMended("malformed inode key");
}

}  // namespace
}  // namespace tifs::fs
