#include "volume/volume_check.h"

#include <gtest/gtest.h>

#include <cstring>

#include "volume/journal_record.h"
#include "volume/superblock.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class VolumeCheckTest : public VolumeTest {
 protected:
  void SetUp() override {
    VolumeTest::SetUp();
    for (int i = 0; i < 30; ++i) Write("f" + std::to_string(i), Pattern(20'000, i));
    ASSERT_TRUE(volume_->Checkpoint().ok());
    for (int i = 30; i < 36; ++i) Write("f" + std::to_string(i), Pattern(300, i));
    superblock_ = ReadSuperblocks(*disk_)->best;
    Stop();
  }
  // As a kill.
  void Stop() {
    faults_.writes = true;
    root_.reset();
    volume_.reset();
    faults_.writes = false;
  }
  CheckReport Check(CheckOptions options = {}) {
    options.clock = &clock_;
    auto report = VolumeCheck::Run(Disk(), options);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? std::move(*report) : CheckReport{};
  }
  void Flip(uint64_t offset) {
    std::string block(kBlockBytes, '\0');
    ASSERT_TRUE(disk_->Read(RoundDown(offset, kBlockBytes), block).ok());
    block[offset % kBlockBytes] = static_cast<char>(block[offset % kBlockBytes] ^ 0x10);
    ASSERT_TRUE(disk_->Write(RoundDown(offset, kBlockBytes), block).ok());
  }
  void ExpectAllThere() {
    Open();
    EXPECT_TRUE(volume_->Warnings().empty());
    for (int i = 0; i < 36; ++i) {
      ASSERT_EQ(Read("f" + std::to_string(i)), Pattern(i < 30 ? 20'000 : 300, i));
    }
    Stop();
  }
  uint64_t JournalBlock(size_t copy, uint64_t sequence) const {
    return superblock_.journal_offsets[copy] + sequence % superblock_.journal_blocks * kBlockBytes;
  }
  uint64_t Slot(uint64_t number) const { return superblock_.checkpoint_offsets[number % 3]; }

  // Of the journal.
  uint64_t LastSequence() {
    uint64_t last = 0;
    for (uint64_t i = 0; i < superblock_.journal_blocks; ++i) {
      const uint64_t offset = JournalBlock(0, i);
      std::string block(kBlockBytes, '\0');
      EXPECT_TRUE(disk_->Read(offset, block).ok());
      const ParsedBlock parsed = ParseBlock(block, BlockKind::kJournal, superblock_.uuid, offset);
      if (parsed.fault == BlockFault::kNone) last = std::max(last, parsed.header.sequence);
    }
    return last;
  }
  void ExpectRepair(std::string_view named, uint64_t offset) {
    Flip(offset);
    CheckReport report = Check();
    ASSERT_EQ(report.findings.size(), 1u) << named;
    EXPECT_EQ(report.findings[0].severity, Finding::Severity::kWarning);
    EXPECT_NE(report.findings[0].text.find(named), std::string::npos) << report.findings[0].text;
    EXPECT_FALSE(report.is_sound());
    report = Check({.repair = true});
    EXPECT_TRUE(report.is_repaired);
    EXPECT_TRUE(Check().findings.empty());
    ExpectAllThere();
  }

  Superblock superblock_;
};

TEST_F(VolumeCheckTest, ASoundVolumeIsSound) {
  const uint64_t written = faults_.write_count;
  const CheckReport report = Check();
  EXPECT_TRUE(report.is_sound());
  EXPECT_EQ(report.files, 36u);
  EXPECT_EQ(report.directories, 1u);
  EXPECT_EQ(report.used_bytes, 36 * unit_bytes_);
  EXPECT_EQ(faults_.write_count, written);
  Check({.repair = true});
  EXPECT_EQ(faults_.write_count, written);
}

// One bad block: named, got over, and made good by a repair.
TEST_F(VolumeCheckTest, ABadFirstSuperblock) { ExpectRepair("superblock copy 0", 20); }

TEST_F(VolumeCheckTest, ABadSecondSuperblock) {
  ExpectRepair("superblock copy 1", superblock_.second_offset + 100);
}

TEST_F(VolumeCheckTest, ABadJournalBlockInTheFirstCopy) {
  ExpectRepair("bad in one copy", JournalBlock(0, LastSequence() - 3) + 80);
}

TEST_F(VolumeCheckTest, ABadJournalBlockInTheSecondCopy) {
  ExpectRepair("bad in one copy", JournalBlock(1, LastSequence() - 1) + 4000);
}

TEST_F(VolumeCheckTest, ABadCheckpointIsNamedAndTheOneBeforeUsed) {
  // The newest complete one: the journal says that it was complete.
  uint64_t newest = 0;
  for (uint64_t offset : superblock_.checkpoint_offsets) {
    std::string block(kBlockBytes, '\0');
    ASSERT_TRUE(disk_->Read(offset, block).ok());
    const ParsedBlock parsed = ParseBlock(block, BlockKind::kCheckpoint, superblock_.uuid, offset);
    if (parsed.fault == BlockFault::kNone) newest = std::max(newest, parsed.header.sequence);
  }
  Flip(Slot(newest) + 1000);
  CheckReport report = Check();
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_NE(report.findings[0].text.find("is damaged"), std::string::npos);
  report = Check({.repair = true});
  EXPECT_TRUE(report.is_repaired);
  EXPECT_TRUE(Check().findings.empty());
  ExpectAllThere();
}

TEST_F(VolumeCheckTest, DamageInBothCopiesIsNeverCutSilently) {
  const uint64_t sequence = LastSequence() - 4;
  Flip(JournalBlock(0, sequence) + 70);
  Flip(JournalBlock(1, sequence) + 70);
  auto opened = Volume::Open(Disk(), options_);
  ASSERT_EQ(CodeOf(opened), ErrorCode::kCorrupt);
  EXPECT_NE(opened.error().ToString().find("block " + std::to_string(sequence)), std::string::npos)
      << opened.error().ToString();
  CheckReport report = Check({.repair = true});
  EXPECT_FALSE(report.is_repaired);
  ASSERT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kCorrupt);
  // Only if somebody asks for it.
  report = Check({.repair = true, .cut_damaged_journal = true});
  EXPECT_TRUE(report.is_repaired);
  Open();
  EXPECT_EQ(Read("f0"), Pattern(20'000, 0));
  EXPECT_FALSE(root_->Stat("f35").ok());
  Write("after", "it goes on");
  Kill();
  EXPECT_EQ(Read("after"), "it goes on");
  EXPECT_TRUE(volume_->Warnings().empty());
}

TEST_F(VolumeCheckTest, AMissingEndIsNoticedAfterACleanClosing) {
  Open();
  Write("last", "x");
  root_.reset();
  ASSERT_TRUE(volume_->Close().ok());
  volume_.reset();
  const uint64_t end = ReadSuperblocks(*disk_)->best.closed_at_sequence;
  ASSERT_GT(end, 1u);
  Flip(JournalBlock(0, end - 1) + 70);
  Flip(JournalBlock(1, end - 1) + 70);
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kCorrupt);
  EXPECT_FALSE(Check().is_sound());
}

TEST_F(VolumeCheckTest, AnotherProgramsFirstBlockIsNotOverwrittenUnasked) {
  std::string foreign(kBlockBytes, 'P');
  ASSERT_TRUE(disk_->Write(0, foreign).ok());
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kCorrupt);
  std::string still(kBlockBytes, '\0');
  ASSERT_TRUE(disk_->Read(0, still).ok());
  EXPECT_EQ(still, foreign);
  EXPECT_TRUE(Volume::OpenSnapshot(Disk()).ok());
  EXPECT_TRUE(Check({.repair = true}).is_repaired);
  ExpectAllThere();
}

// As a bug of ours would leave it: all is whole but what the records say.
TEST_F(VolumeCheckTest, FilesThatShareExtentsCanStillBeReadOneByOne) {
  const UnitRange shared{superblock_.DataRegions().back().end() - 1, 1};
  const uint64_t unit_bytes = superblock_.extent_unit_bytes;
  const std::string bytes(unit_bytes, 's');
  ASSERT_TRUE(disk_->Write(shared.start * unit_bytes, bytes).ok());
  std::string payload;
  for (const char* name : {"f3", "f4"}) {
    auto looked = Volume::OpenSnapshot(Disk());
    ASSERT_TRUE(looked.ok());
    const uint64_t inode = (*(*looked)->OpenRoot("kv", false))->Stat(name)->inode;
    EncodeRecord(FileRecord{.inode = inode,
                            .size_bytes = unit_bytes,
                            .modified_ns = 1,
                            .in_place_bytes = unit_bytes,
                            .from_unit = 0,
                            .extents = {shared},
                            .tail = ""},
                 payload);
  }
  BlockHeader header{.kind = BlockKind::kJournal,
                     .uuid = superblock_.uuid,
                     .offset_bytes = 0,
                     .sequence = LastSequence() + 1,
                     .generation = superblock_.generation,
                     .mark = LastSequence() + 1,
                     .payload_bytes = static_cast<uint32_t>(payload.size()),
                     .flags = BlockHeader::kFirst | BlockHeader::kLast};
  for (size_t copy = 0; copy < 2; ++copy) {
    std::string block(kBlockBytes, '\0');
    std::memcpy(block.data() + kHeaderBytes, payload.data(), payload.size());
    header.offset_bytes = JournalBlock(copy, header.sequence);
    SealBlock(header, std::span<char, kBlockBytes>(block.data(), kBlockBytes));
    ASSERT_TRUE(disk_->Write(header.offset_bytes, block).ok());
  }
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kCorrupt);
  EXPECT_FALSE(Check({.repair = true}).is_sound());

  volume_ = *Volume::OpenSnapshot(Disk());
  root_ = *volume_->OpenRoot("kv", false);
  EXPECT_EQ(volume_->Warnings().size(), 1u);
  EXPECT_EQ(Read("f3"), bytes);
  EXPECT_EQ(Read("f4"), bytes);
  EXPECT_EQ(Read("f5"), Pattern(20'000, 5));
  EXPECT_EQ(Read("f35"), Pattern(300, 35));
  Stop();
}

TEST_F(VolumeCheckTest, BothSuperblocksBadIsAnError) {
  Flip(20);
  Flip(superblock_.second_offset + 20);
  EXPECT_EQ(CodeOf(VolumeCheck::Run(Disk(), {})), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kCorrupt);
}

TEST_F(VolumeCheckTest, UnknownFeaturesAndVersionsAreRefused) {
  const auto put = [&](const Superblock& superblock) {
    ASSERT_TRUE(disk_->Write(0, EncodeSuperblock(superblock, 0)).ok());
    const uint64_t second = superblock.second_offset;
    ASSERT_TRUE(disk_->Write(second, EncodeSuperblock(superblock, second)).ok());
  };
  Superblock changed = superblock_;
  changed.incompatible = 2 * Superblock::kSparseFiles;
  put(changed);
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kNotSupported);
  EXPECT_EQ(CodeOf(Volume::OpenSnapshot(Disk())), ErrorCode::kNotSupported);
  changed = superblock_;
  changed.read_only_compatible = 1;
  put(changed);
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kNotSupported);
  EXPECT_TRUE(Volume::OpenSnapshot(Disk()).ok());
  EXPECT_EQ(CodeOf(VolumeCheck::Run(Disk(), {})), ErrorCode::kNotSupported);
  changed = superblock_;
  changed.compatible = 1;
  put(changed);
  EXPECT_TRUE(Volume::Open(Disk(), options_).ok());
  EXPECT_EQ(CodeOf(VolumeCheck::Run(Disk(), {})), ErrorCode::kNotSupported);
}

}  // namespace
}  // namespace tifs::volume
