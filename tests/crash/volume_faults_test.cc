// A volume on a disk that misbehaves: errors, lost and flipped writes of metadata, hostile images.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "tests/crash/random_volume_ops.h"
#include "tests/crash/volume_world.h"
#include "tests/sim/test_options.h"
#include "volume/superblock.h"
#include "volume/volume_check.h"

namespace tifs::volume {
namespace {

using sim::DeviceFault;
using sim::Options;

VolumeWorldOptions Disk() {
  VolumeWorldOptions options;
  options.disk.size_bytes = 3 << 20;
  return options;
}

Tree StartTree() {
  return {{"f0", {.bytes = std::string(700, 'A')}},
          {"x", {.is_directory = true}},
          {"x/f1", {.bytes = std::string(9'000, 'B')}}};
}

Superblock SuperblockOf(const sim::DiskImage& image) {
  sim::SimBlockDevice disk(Disk().disk, image);
  return ReadSuperblocks(disk)->best;
}

class VolumeFaultsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(OpenLog({.sink = LogOptions::Sink::kFile, .file = "/dev/null"}).ok());
  }

  // Runs operations with one fault, and then looks at what a loss of power leaves.
  std::string Try(uint64_t seed, const sim::FaultPlan& plan, uint64_t& met) {
    Random random(seed);
    static const sim::DiskImage image = MakeVolumeImage(Disk(), StartTree());
    VolumeRun run(Disk(), image, StartTree(), seed);
    std::string why = run.Begin();
    run.disk().Inject(plan);
    RandomOps ops(random);
    for (int step = 0; step < 40 && why.empty() && run.is_open(); ++step) why = run.Do(ops.Next());
    met += run.is_latched() || !run.is_open();
    run.disk().ClearFaults();
    if (why.empty()) why = run.CheckNow(4, random);
    return why.empty() ? "" : "--seed=" + std::to_string(seed) + ": " + why;
  }
};

// After a write or flush that failed nothing more is written, and what was synced is there.
TEST_F(VolumeFaultsTest, ErrorsLatch) {
  uint64_t met = 0;
  const uint64_t runs = Options().Runs(400, 20'000);
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t seed = Options().Seed(i);
    Random random(~seed);
    ASSERT_EQ(Try(seed,
                  {.kind = random.OneIn(2) ? block::IoKind::kWrite : block::IoKind::kFlush,
                   .fault = DeviceFault::kError,
                   .skip = random.Below(12)},
                  met),
              "");
  }
  EXPECT_GT(met, runs / 2);
}

// One write of metadata that is lost, or stores a wrong bit, though the disk says it was done.
TEST_F(VolumeFaultsTest, OneLostOrFlippedWriteOfMetadataCostsNothing) {
  const Superblock superblock = SuperblockOf(MakeVolumeImage(Disk(), StartTree()));
  const std::pair<uint64_t, uint64_t> areas[] = {
      {4096, superblock.checkpoint_offsets[0] + superblock.checkpoint_blocks * kBlockBytes},
      {superblock.checkpoint_offsets[1], superblock.second_offset}};
  uint64_t latched = 0;
  for (uint64_t i = 0; i < Options().Runs(400, 20'000); ++i) {
    const uint64_t seed = Options().Seed(i);
    Random random(~seed);
    const auto& [begin, end] = areas[random.Below(2)];
    ASSERT_EQ(Try(seed,
                  {.kind = block::IoKind::kWrite,
                   .fault = random.OneIn(2) ? DeviceFault::kLost : DeviceFault::kFlipped,
                   .skip = random.Below(6),
                   .begin_bytes = begin,
                   .end_bytes = end},
                  latched),
              "");
  }
  EXPECT_EQ(latched, 0u);
}

// --- hostile images ---

void FixChecksum(std::string& block) {
  const size_t checksum_at = block.starts_with("TiFSvol") ? 8 : 4;
  StoreLittleEndian(block.data() + checksum_at,
                    Crc32c(std::string_view(block).substr(checksum_at + 4)));
}

// Changes some bytes of a block and makes its checksum right again. Of those in use.
void Forge(std::string& block, Random& random) {
  const bool is_superblock = block.starts_with("TiFSvol");
  const size_t first = is_superblock ? 16 : random.OneIn(8) ? 8 : kHeaderBytes;
  const size_t used = is_superblock ? 500 : block.find_last_not_of('\0') + 1;
  for (uint64_t i = 1 + random.Below(3); i > 0; --i) {
    const size_t at = first + random.Below(used > first ? used - first : 8);
    const size_t width = std::min<size_t>(size_t{1} << random.Below(4), kBlockBytes - at);
    const uint64_t value = random.OneIn(2) ? random.Next() : random.Below(8);
    std::memcpy(block.data() + at, &value, width);
  }
  FixChecksum(block);
}

std::string BlockAt(const sim::DiskImage& image, uint64_t offset) {
  std::string block(kBlockBytes, '\0');
  image.Read(offset, block);
  return block;
}

// Blocks that opening relies on, each with the place of its copy, if it has one.
std::vector<std::pair<uint64_t, uint64_t>> NeededBlocks(const sim::DiskImage& image) {
  const Superblock superblock = SuperblockOf(image);
  std::vector<std::pair<uint64_t, uint64_t>> needed = {{0, superblock.second_offset}};
  uint64_t newest = 0;
  for (const uint64_t slot : superblock.checkpoint_offsets) {
    newest = std::max(newest, LoadLittleEndian<uint64_t>(BlockAt(image, slot).data() + 32));
  }
  const uint64_t slot = superblock.checkpoint_offsets[newest % 3];
  needed.emplace_back(slot, 0);
  const auto position = LoadLittleEndian<uint64_t>(BlockAt(image, slot).data() + kHeaderBytes);
  for (uint64_t i = 0; i < superblock.journal_blocks; ++i) {
    const uint64_t offset = superblock.journal_offsets[0] + i * kBlockBytes;
    const std::string block = BlockAt(image, offset);
    if (!block.starts_with("TiJB")) continue;
    if (LoadLittleEndian<uint64_t>(block.data() + 32) < position) continue;
    needed.emplace_back(offset, superblock.journal_offsets[1] + i * kBlockBytes);
  }
  return needed;
}

// What opens is used as any volume; it must never write outside of its own areas, and its figures
// must hold. Returns whether it opened.
bool UseHostile(const sim::DiskImage& image, uint64_t seed) {
  sim::SimBlockDevice disk(Disk().disk, image);
  ManualClock clock;
  (void)VolumeCheck::Run(std::make_unique<block::ForwardingDevice>(disk), {.clock = &clock});
  (void)Volume::OpenSnapshot(std::make_unique<block::ForwardingDevice>(disk));
  VolumeOptions options;
  options.background = false;
  options.clock = &clock;
  auto volume = Volume::Open(std::make_unique<block::ForwardingDevice>(disk), options);
  if (!volume) return false;
  EXPECT_TRUE((*volume)->Verify().ok()) << "seed " << seed;
  {
    auto root = (*volume)->OpenRoot("new", true);
    if (root) {
      auto file = (*root)->Open("f", {.write = true, .create = true});
      if (file) {
        (void)(*file)->Append(std::string(50'000, 'h'));
        (void)(*file)->Sync();
      }
    }
    Tree tree;
    (void)ReadTree(**volume, tree);
    EXPECT_TRUE((*volume)->Verify().ok()) << "seed " << seed;
  }
  // What was written over its own metadata would not close or open again.
  if ((*volume)->Latched()) return true;
  const bool closed = (*volume)->Close().ok();
  EXPECT_TRUE(closed) << "seed " << seed;
  volume->reset();
  auto again = Volume::Open(std::make_unique<block::ForwardingDevice>(disk), options);
  // A forged block of a generation to come can be found then, behind our end.
  EXPECT_TRUE(again.ok() || again.error().code() == ErrorCode::kCorrupt)
      << "seed " << seed << ": " << again.error().ToString();
  return true;
}

TEST_F(VolumeFaultsTest, HostileImagesAreErrorsOrVolumes) {
  VolumeRun run(Disk(), MakeVolumeImage(Disk(), StartTree()), StartTree(), 5);
  ASSERT_EQ(run.Begin(), "");
  Random ops_random(5);
  RandomOps ops(ops_random);
  for (int step = 0; step < 150; ++step) ASSERT_EQ(run.Do(ops.Next()), "");
  ASSERT_TRUE(run.is_open());
  const sim::DiskImage base = run.disk().Contents();
  const auto blocks = NeededBlocks(base);
  uint64_t opened = 0;
  const uint64_t runs = Options().Runs(4'000, 200'000);
  for (uint64_t i = 0; i < runs; ++i) {
    Random random(Options().Seed(i));
    sim::DiskImage image = base;
    for (uint64_t count = 1 + random.Below(2); count > 0; --count) {
      const auto& [offset, copy] = blocks[random.Below(blocks.size())];
      std::string block = BlockAt(image, offset);
      Forge(block, random);
      image.Write(offset, block);
      if (copy == 0) continue;
      // The copy says the same, but for its own place.
      const bool is_superblock = block.starts_with("TiFSvol");
      StoreLittleEndian(block.data() + (is_superblock ? 32 : 24), copy);
      FixChecksum(block);
      image.Write(copy, block);
    }
    opened += UseHostile(image, Options().Seed(i));
  }
  std::printf("%llu of %llu opened\n", static_cast<unsigned long long>(opened),
              static_cast<unsigned long long>(runs));
  EXPECT_GT(opened, runs / 100);
  EXPECT_LT(opened, runs - runs / 10);
}

}  // namespace
}  // namespace tifs::volume
