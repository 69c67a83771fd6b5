// The volume on a disk that loses power: after any cut it opens, what was synced is there, and of
// the rest what was done first. Short sequences of operations exhaustively, long ones by seed.
//
// Shown to fail: leaving out the flushes of data, of the journal or of a checkpoint
// (VolumeCrashTest.*FindsMissingFlushes, part of every run).

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "tests/crash/random_volume_ops.h"
#include "tests/crash/volume_world.h"
#include "tests/sim/test_options.h"

namespace tifs::volume {
namespace {

using sim::Options;
using Kind = VolumeOp::Kind;

VolumeWorldOptions SmallDisk() {
  VolumeWorldOptions options;
  options.disk.size_bytes = 1 << 20;
  return options;
}

Tree StartTree() {
  return {{"a", {.bytes = std::string(300, 'A')}},
          {"d", {.is_directory = true}},
          {"d/big", {.bytes = std::string(9'000, 'B')}}};
}

// What short sequences are made of: each way of changing bytes and names, on few files.
std::vector<VolumeOp> Alphabet() {
  return {
      {.kind = Kind::kAppend, .path = "a", .size = 100},
      {.kind = Kind::kAppend, .path = "a", .size = 5'000},
      {.kind = Kind::kWriteAt, .path = "a", .offset = 50, .size = 700},
      {.kind = Kind::kTruncate, .path = "a", .size = 10},
      {.kind = Kind::kTruncate, .path = "a", .size = 4'500},
      {.kind = Kind::kAllocate, .path = "a", .size = 20'000},
      {.kind = Kind::kSync, .path = "a"},
      {.kind = Kind::kClose, .path = "a"},
      {.kind = Kind::kAppend, .path = "d/big", .size = 5'000},
      {.kind = Kind::kWriteAt, .path = "d/big", .offset = 4'000, .size = 3'000},
      {.kind = Kind::kTruncate, .path = "d/big", .size = 5'000},
      {.kind = Kind::kSync, .path = "d/big"},
      {.kind = Kind::kClose, .path = "d/big"},
      {.kind = Kind::kRename, .path = "a", .to = "d/big"},
      {.kind = Kind::kRename, .path = "d", .to = "e"},
      {.kind = Kind::kLink, .path = "a", .to = "b"},
      {.kind = Kind::kUnlink, .path = "a"},
      {.kind = Kind::kUnlink, .path = "d/big"},
      {.kind = Kind::kCreate, .path = "b"},
      {.kind = Kind::kAppend, .path = "b", .size = 9'000},
      {.kind = Kind::kSync, .path = "b"},
      {.kind = Kind::kSyncDirectory},
      {.kind = Kind::kSyncVolume},
      {.kind = Kind::kCheckpoint},
      {.kind = Kind::kReopenVolume},
  };
}

class VolumeCrashTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Lost power is in every line.
    ASSERT_TRUE(OpenLog({.sink = LogOptions::Sink::kFile, .file = "/dev/null"}).ok());
  }
};

// Sequences of `length` after `prefix`, every `stride`-th. Cuts are looked at within the last
// operation only: those before are of shorter sequences. What is wrong with the first that is.
std::string TrySequences(const VolumeWorldOptions& options, size_t length, size_t stride,
                         size_t samples, uint64_t& checks,
                         const std::vector<VolumeOp>& prefix = {}) {
  const std::vector<VolumeOp> alphabet = Alphabet();
  const sim::DiskImage image = MakeVolumeImage(options, StartTree());
  size_t count = 1;
  for (size_t i = 0; i < length; ++i) count *= alphabet.size();
  Random random(99);
  for (size_t sequence = 0; sequence < count; sequence += stride) {
    VolumeRun run(options, image, StartTree(), sequence);
    if (options.damages) run.DamageToo();
    std::string why = run.Begin();
    for (const VolumeOp& op : prefix) {
      if (why.empty()) why = run.Do(op);
    }
    size_t rest = sequence;
    for (size_t i = 0; i < length && why.empty(); ++i, rest /= alphabet.size()) {
      why = run.Do(alphabet[rest % alphabet.size()]);
    }
    if (why.empty() && !run.is_open()) why = "it does not open";
    if (why.empty()) why = run.CheckCuts(prefix.size() + length, samples, random);
    checks += run.checks();
    if (!why.empty()) return why;
  }
  return {};
}

TEST_F(VolumeCrashTest, ExhaustiveOpening) {
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(SmallDisk(), 0, 1, 256, checks), "");
  EXPECT_GT(checks, 4u);
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
}

TEST_F(VolumeCrashTest, ExhaustiveOneOperation) {
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(SmallDisk(), 1, 1, 64, checks), "");
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
}

TEST_F(VolumeCrashTest, ExhaustiveTwoOperations) {
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(SmallDisk(), 2, 1, Options().full_length ? 64 : 8, checks), "");
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
}

TEST_F(VolumeCrashTest, ExhaustiveThreeOperations) {
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(SmallDisk(), 3, 1, Options().full_length ? 16 : 3, checks), "");
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
}

// What is left in memory, or waits, by other ways than the three operations.
TEST_F(VolumeCrashTest, ExhaustiveTwoOperationsMore) {
  const std::vector<VolumeOp> prefixes[] = {
      {{.kind = Kind::kTruncate, .path = "a", .size = 10}, {.kind = Kind::kClose, .path = "a"}},
      {{.kind = Kind::kTruncate, .path = "d/big", .size = 5'000},
       {.kind = Kind::kClose, .path = "d/big"},
       {.kind = Kind::kAppend, .path = "d/big", .size = 100}},
      {{.kind = Kind::kAppend, .path = "a", .size = 100},
       {.kind = Kind::kSync, .path = "a"},
       {.kind = Kind::kClose, .path = "a"}},
      {{.kind = Kind::kWriteAt, .path = "a", .offset = 50, .size = 100},
       {.kind = Kind::kClose, .path = "a"}},
      {{.kind = Kind::kAppend, .path = "a", .size = 100},
       {.kind = Kind::kSync, .path = "a"},
       {.kind = Kind::kCheckpoint},
       {.kind = Kind::kAppend, .path = "a", .size = 100}},
      {{.kind = Kind::kUnlink, .path = "d/big"},
       {.kind = Kind::kCreate, .path = "b"},
       {.kind = Kind::kAppend, .path = "b", .size = 9'000}},
  };
  uint64_t checks = 0;
  for (const auto& prefix : prefixes) {
    EXPECT_EQ(TrySequences(SmallDisk(), 2, 1, Options().full_length ? 64 : 6, checks, prefix), "");
  }
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
}

// A disk with blocks of 4 KiB.
TEST_F(VolumeCrashTest, ExhaustiveTwoOperationsOnLargeBlocks) {
  VolumeWorldOptions options = SmallDisk();
  options.disk.block_bytes = 4096;
  options.extent_unit_bytes = 16 << 10;
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(options, 2, 1, 4, checks), "");
}

// One bad block of metadata, wherever it is, costs nothing, together with a crash either.
TEST_F(VolumeCrashTest, ExhaustiveTwoOperationsAndABadBlock) {
  VolumeWorldOptions options = SmallDisk();
  options.damages = true;
  uint64_t checks = 0;
  EXPECT_EQ(TrySequences(options, 2, 1, 8, checks), "");
}

TEST_F(VolumeCrashTest, ExhaustiveFindsMissingFlushes) {
  for (const FlushKind kind : {FlushKind::kData, FlushKind::kJournal, FlushKind::kCheckpoint}) {
    VolumeWorldOptions options = SmallDisk();
    options.skip_flush = kind;
    uint64_t checks = 0;
    EXPECT_NE(TrySequences(options, 3, 7, 16, checks), "") << static_cast<int>(kind);
  }
}

// --- by seed ---

VolumeWorldOptions LargerDisk() {
  VolumeWorldOptions options;
  options.disk.size_bytes = 3 << 20;
  return options;
}

// Rounds of operations, each from what a crash of the one before left. What is wrong, or nothing.
std::string TrySeed(const VolumeWorldOptions& options, uint64_t seed, uint64_t rounds,
                    uint64_t& checks) {
  Random random(seed);
  Tree tree = StartTree();
  sim::DiskImage image = MakeVolumeImage(options, tree);
  for (uint64_t round = 0; round < rounds; ++round) {
    VolumeRun run(options, image, tree, random.Next());
    if (options.damages) run.DamageToo();
    std::string why = run.Begin();
    RandomOps ops(random);
    const uint64_t steps = Options().steps.value_or(5 + random.Below(60));
    for (uint64_t step = 0; step < steps && why.empty(); ++step) why = run.Do(ops.Next());
    if (why.empty() && !run.is_open()) why = "it does not open";
    if (why.empty()) why = run.CheckRandomCuts(6, random, image, tree);
    checks += run.checks();
    if (!why.empty()) return "round " + std::to_string(round) + ": " + why;
  }
  return {};
}

std::string TrySeeds(const VolumeWorldOptions& options, uint64_t runs, uint64_t rounds) {
  uint64_t checks = 0;
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t seed = Options().Seed(i);
    std::string why = TrySeed(options, seed, rounds, checks);
    if (!why.empty()) return "--seed=" + std::to_string(seed) + ": " + why;
  }
  std::printf("%llu images\n", static_cast<unsigned long long>(checks));
  return {};
}

TEST_F(VolumeCrashTest, RandomSequences) {
  EXPECT_EQ(TrySeeds(LargerDisk(), Options().Runs(500, 20'000), 8), "");
}

TEST_F(VolumeCrashTest, RandomSequencesOnLargeBlocks) {
  VolumeWorldOptions options = LargerDisk();
  options.disk.block_bytes = 4096;
  options.disk.has_discard = false;
  EXPECT_EQ(TrySeeds(options, Options().Runs(100, 5'000), 8), "");
}

// What is appended is on its way to the disk on threads of its own, block by block.
TEST_F(VolumeCrashTest, RandomSequencesWrittenBehind) {
  VolumeWorldOptions options = LargerDisk();
  options.transfer_threads = 3;
  options.write_buffer_bytes = 4096;
  EXPECT_EQ(TrySeeds(options, Options().Runs(200, 10'000), 8), "");
}

TEST_F(VolumeCrashTest, RandomSequencesAndABadBlock) {
  VolumeWorldOptions options = LargerDisk();
  options.damages = true;
  EXPECT_EQ(TrySeeds(options, Options().Runs(300, 10'000), 8), "");
}

TEST_F(VolumeCrashTest, RandomFindsMissingFlushes) {
  for (const FlushKind kind : {FlushKind::kData, FlushKind::kJournal, FlushKind::kCheckpoint}) {
    VolumeWorldOptions options = LargerDisk();
    options.skip_flush = kind;
    EXPECT_NE(TrySeeds(options, 200, 4), "") << static_cast<int>(kind);
  }
}

}  // namespace
}  // namespace tifs::volume
