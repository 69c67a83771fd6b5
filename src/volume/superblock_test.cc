#include "volume/superblock.h"

#include <gtest/gtest.h>

#include "volume/guarded_device.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

Superblock Some(uint64_t device_bytes = 64 << 20) {
  Superblock superblock{.uuid = {1, 2, 3}, .extent_unit_bytes = 64 << 10, .name = "name"};
  superblock.generation = 7;
  superblock.formatted_ns = 12345;
  superblock.closed_at_sequence = 99;
  superblock.owner = "owner";
  EXPECT_TRUE(LayOut(superblock, device_bytes, 0, 0).ok());
  return superblock;
}

TEST(SuperblockTest, IsReadAsItWasWritten) {
  const Superblock superblock = Some();
  for (const uint64_t offset : {uint64_t{0}, superblock.second_offset}) {
    const std::string block = EncodeSuperblock(superblock, offset);
    ASSERT_EQ(block.size(), kBlockBytes);
    EXPECT_EQ(DecodeSuperblock(block, offset).value(), superblock);
    EXPECT_EQ(CodeOf(DecodeSuperblock(block, offset + kBlockBytes)), ErrorCode::kCorrupt);
    // What it says lies in the first logical block, whatever its size.
    EXPECT_EQ(block.find_first_not_of('\0', 512), std::string::npos);
  }
}

TEST(SuperblockTest, EveryFlippedBitIsNoticed) {
  const std::string block = EncodeSuperblock(Some(), 0);
  for (size_t bit = 0; bit < kBlockBytes * 8; ++bit) {
    std::string flipped = block;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(DecodeSuperblock(flipped, 0).ok()) << bit;
  }
}

TEST(SuperblockTest, AreasThatMakeNoSenseAreRefusedWithARightChecksum) {
  const Superblock good = Some();
  const auto refused = [](const Superblock& superblock) {
    return CodeOf(DecodeSuperblock(EncodeSuperblock(superblock, 0), 0)) == ErrorCode::kCorrupt;
  };
  std::vector<Superblock> bad(15, good);
  bad[0].uuid = {};
  bad[1].generation = 0;
  bad[2].extent_unit_bytes = 3 << 10;
  bad[3].extent_unit_bytes = uint64_t{1} << 40;
  bad[4].device_bytes = UINT64_MAX - 4095;
  bad[5].device_bytes = good.second_offset;
  bad[6].journal_blocks = 31;
  bad[7].journal_blocks = UINT64_MAX / 4096;
  bad[8].journal_offsets[1] = good.journal_offsets[0] + kBlockBytes;
  bad[9].checkpoint_offsets[2] = UINT64_MAX - 4095;
  bad[10].checkpoint_offsets[0] += 512;
  bad[11].checkpoint_blocks = 0;
  bad[12].second_offset = 0;
  bad[13].journal_generation = good.generation + 1;
  bad[14].journal_from_sequence = 0;
  for (size_t i = 0; i < bad.size(); ++i) EXPECT_TRUE(refused(bad[i])) << i;
}

TEST(SuperblockTest, NewerVersionsAndFeaturesAreToldApartFromDamage) {
  Superblock superblock = Some();
  superblock.incompatible = Superblock::kSparseFiles;
  EXPECT_TRUE(DecodeSuperblock(EncodeSuperblock(superblock, 0), 0).ok());
  superblock.incompatible = 4;
  EXPECT_EQ(CodeOf(DecodeSuperblock(EncodeSuperblock(superblock, 0), 0)), ErrorCode::kNotSupported);
  EXPECT_EQ(CodeOf(DecodeSuperblock(std::string(kBlockBytes, '\0'), 0)), ErrorCode::kNotFound);
}

TEST(SuperblockTest, DataIsWhatNoAreaHas) {
  for (const uint64_t device_bytes :
       {uint64_t{1} << 20, (uint64_t{5} << 20) + 12'288, uint64_t{1} << 30, uint64_t{1} << 44}) {
    const Superblock superblock = Some(device_bytes);
    uint64_t bytes = 0;
    for (const UnitRange& region : superblock.DataRegions()) {
      const uint64_t begin = region.start * superblock.extent_unit_bytes;
      const uint64_t end = region.end() * superblock.extent_unit_bytes;
      EXPECT_LE(end, superblock.second_offset);
      for (const uint64_t journal : superblock.journal_offsets) {
        EXPECT_TRUE(end <= journal || begin >= journal + superblock.journal_blocks * kBlockBytes);
      }
      for (const uint64_t slot : superblock.checkpoint_offsets) {
        EXPECT_TRUE(end <= slot || begin >= slot + superblock.checkpoint_blocks * kBlockBytes);
      }
      bytes += end - begin;
    }
    // At most two units are lost at each of the areas' edges.
    const uint64_t metadata = 2 * superblock.journal_blocks * kBlockBytes +
                              3 * superblock.checkpoint_blocks * kBlockBytes;
    EXPECT_GE(bytes + metadata + 6 * superblock.extent_unit_bytes + (192 << 10), device_bytes);
  }
}

// At any instant one copy is whole: the other is flushed before it is touched.
TEST(SuperblockTest, CopiesAreWrittenOneAfterTheOther) {
  const Superblock superblock = Some();
  block::MemDeviceOptions options;
  options.size_bytes = 64 << 20;
  auto disk = block::MemDevice::Open(options).value();
  std::vector<uint64_t> writes;  // how many there were at each flush
  TestDisk::Faults faults;
  TestDisk counting(*disk, faults);
  GuardedDevice guarded(counting, [&](FlushKind) {
    writes.push_back(faults.write_count);
    return false;
  });
  ASSERT_TRUE(WriteSuperblocks(guarded, superblock, 1).ok());
  EXPECT_EQ(writes, (std::vector<uint64_t>{1, 2}));
  const SuperblockCopies copies = ReadSuperblocks(*disk).value();
  EXPECT_EQ(copies.best, superblock);
  EXPECT_EQ(copies.faults[0] + copies.faults[1], "");
}

TEST(SuperblockTest, TheNewerCopyCounts) {
  block::MemDeviceOptions options;
  options.size_bytes = 64 << 20;
  auto disk = block::MemDevice::Open(options).value();
  Superblock superblock = Some();
  const uint64_t second = superblock.second_offset;
  ASSERT_TRUE(disk->Write(0, EncodeSuperblock(superblock, 0)).ok());
  superblock.generation = 8;
  ASSERT_TRUE(disk->Write(second, EncodeSuperblock(superblock, second)).ok());
  EXPECT_EQ(ReadSuperblocks(*disk)->best.generation, 8u);
  EXPECT_EQ(ReadSuperblocks(*disk)->best_copy, 1u);
  // Of another volume: the first one counts.
  superblock.uuid = {9};
  ASSERT_TRUE(disk->Write(second, EncodeSuperblock(superblock, second)).ok());
  EXPECT_EQ(ReadSuperblocks(*disk)->best.generation, 7u);
  EXPECT_NE(ReadSuperblocks(*disk)->faults[1], "");
}

}  // namespace
}  // namespace tifs::volume
