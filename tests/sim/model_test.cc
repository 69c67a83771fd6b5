// Random sequences of operations run on the file system and on the model: the same results, the
// same errnos, the same trees and contents, and nothing for fs::Check to find afterwards.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/operation.h"
#include "tests/sim/shrink.h"
#include "tests/sim/test_options.h"
#include "tests/sim/world.h"

namespace tifs::sim {
namespace {

using Engine = WorldOptions::Engine;

constexpr FaultRates kLostAnswers{.unavailable_permille = 20,
                                  .conflict_permille = 100,
                                  .undetermined_happened_permille = 50,
                                  .undetermined_lost_permille = 50,
                                  .undetermined_late_permille = 50,
                                  .determine_unavailable_permille = 300};

std::vector<Operation> Sequence(uint64_t seed, uint64_t length, const Profile& profile) {
  Random random(seed);
  std::vector<Operation> operations;
  for (uint64_t i = 0; i < length; ++i) operations.push_back(Generate(random, profile));
  return operations;
}

// `runs` sequences, when short and when long.
void ExpectAgreement(WorldOptions world, const Profile& profile, uint64_t when_short,
                     uint64_t when_long) {
  const uint64_t steps = Options().steps.value_or(300);
  const uint64_t runs = Options().Runs(when_short, when_long);
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t seed = Options().Seed(i);
    world.fault_seed = seed;
    const std::vector<Operation> operations = Sequence(seed, steps, profile);
    const auto run = [&](const std::vector<Operation>& sequence) {
      return RunInWorld(world, sequence);
    };
    if (!run(operations).empty()) {
      FAIL() << DescribeFailure(world.name, seed, operations, run);
    }
  }
}

TEST(ModelTest, AgreesWithSmallBlocks) {
  WorldOptions world{.name = "4 KiB blocks", .block_size_bytes = 4096};
  ExpectAgreement(world, world.DefaultProfile(), 60, 4000);
}

TEST(ModelTest, AgreesWithLargeBlocks) {
  WorldOptions world{.name = "64 KiB blocks"};
  ExpectAgreement(world, world.DefaultProfile(), 40, 3000);
}

TEST(ModelTest, AgreesOnPermissions) {
  WorldOptions world{.name = "permissions",
                     .block_size_bytes = 4096,
                     .cache_mode = fs::CacheMode::kStrict,
                     .check_permissions = true};
  Profile profile = world.DefaultProfile();
  profile.names = 6;
  profile.contents = 3;
  profile.attributes = 5;
  profile.xattrs = 3;
  ExpectAgreement(world, profile, 60, 4000);
}

TEST(ModelTest, AgreesOnNames) {
  WorldOptions world{.name = "names", .block_size_bytes = 4096};
  Profile profile = world.DefaultProfile();
  profile.contents = 1;
  profile.attributes = 1;
  profile.xattrs = 0;
  ExpectAgreement(world, profile, 60, 4000);
}

// Truncates, punches and writes with the background clearer stopped anywhere between its steps: old
// bytes never show, live ones never go. Large files of few names, so that much is left to clear.
Profile ClearerProfile(const WorldOptions& world) {
  Profile profile = world.DefaultProfile();
  profile.names = 1;
  profile.contents = 14;
  profile.attributes = 0;
  profile.xattrs = 0;
  profile.special_files = false;
  profile.bulk = true;
  return profile;
}

TEST(ModelTest, OldBytesNeverShowWhereverTheClearerIsPaused) {
  WorldOptions world{.name = "clearer", .block_size_bytes = 4096};
  ExpectAgreement(world, ClearerProfile(world), 20, 4000);
}

TEST(ModelTest, OldBytesNeverShowInADataFile) {
  WorldOptions world{.name = "clearer of extents", .extents = true, .block_size_bytes = 4096};
  ExpectAgreement(world, ClearerProfile(world), 20, 4000);
}

TEST(ModelTest, AgreesWithADataFile) {
  WorldOptions world{.name = "extents", .extents = true};
  ExpectAgreement(world, world.DefaultProfile(), 40, 3000);
}

TEST(ModelTest, AgreesWithADataFileUnderFaults) {
  WorldOptions world{.name = "extents and faults", .extents = true, .block_size_bytes = 4096};
  world.faults = kLostAnswers;
  ExpectAgreement(world, world.DefaultProfile(), 40, 3000);
}

TEST(ModelTest, AgreesUnderConflictsAndLostAnswers) {
  WorldOptions world{.name = "faults", .block_size_bytes = 4096};
  world.faults = kLostAnswers;
  ExpectAgreement(world, world.DefaultProfile(), 40, 3000);
}

TEST(ModelTest, AReadErrorFailsTheOperationAndChangesNothing) {
  WorldOptions world{.name = "read errors", .block_size_bytes = 4096};
  world.faults = {.read_io_permille = 20};
  ExpectAgreement(world, world.DefaultProfile(), 30, 2000);
}

TEST(ModelTest, LimitsAnswerNoSpaceAndChangeNothing) {
  WorldOptions world{
      .name = "limits", .block_size_bytes = 4096, .capacity_bytes = 1 << 20, .max_inodes = 12};
  Profile profile = world.DefaultProfile();
  profile.zero_range = false;
  ExpectAgreement(world, profile, 40, 3000);
}

TEST(ModelTest, AgreesOverRocksDb) {
  WorldOptions world{.name = "rocks", .engine = Engine::kRocks};
  ExpectAgreement(world, world.DefaultProfile(), 10, 500);
}

// The same property as a RapidCheck one: it chooses the sequence, call by call, and shrinks it.
TEST(ModelTest, AgreesOnWhatRapidCheckChooses) {
  const WorldOptions world{.name = "rapidcheck", .block_size_bytes = 4096};
  const Profile profile = world.DefaultProfile();
  const bool held = rc::check("a sequence agrees with the model", [&] {
    const auto seeds = *rc::gen::scale(3, rc::gen::arbitrary<std::vector<uint64_t>>());
    std::vector<Operation> operations;
    for (const uint64_t seed : seeds) {
      Random random(seed);
      operations.push_back(Generate(random, profile));
    }
    const std::string why = RunInWorld(world, operations);
    if (why.empty()) return;
    std::string text;
    for (const Operation& operation : operations) text += "  " + operation.ToString() + "\n";
    RC_FAIL(text + why);
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace tifs::sim
