#include "sim/power_cut_disk.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tifs::sim {
namespace {

std::string Contents(PowerCutDisk& disk, const std::string& path) {
  const auto file = disk.Open(path, {});
  if (!file) return "(none)";
  std::string bytes(*(*file)->Size(), '\0');
  EXPECT_TRUE((*file)->Read(0, bytes).ok());
  return bytes;
}

// What `path` holds after a cut, over many seeds.
std::set<std::string> Outcomes(const std::string& path,
                               const std::function<void(PowerCutDisk&)>& work) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    PowerCutDisk disk;
    work(disk);
    disk.CutAfter(0);
    Random random(seed);
    disk.PowerOn(random);
    outcomes.insert(Contents(disk, path));
  }
  return outcomes;
}

TEST(PowerCutDiskTest, WhatWasSyncedWithItsDirectorySurvives) {
  const auto outcomes = Outcomes("/f", [](PowerCutDisk& disk) {
    const auto file = disk.Open("/f", {.create = true});
    ASSERT_TRUE((*file)->Append("abc").ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
  });
  EXPECT_EQ(outcomes, std::set<std::string>{"abc"});
}

TEST(PowerCutDiskTest, AFileWhoseDirectoryWasNotSyncedMayBeGone) {
  const auto outcomes = Outcomes("/f", [](PowerCutDisk& disk) {
    const auto file = disk.Open("/f", {.create = true});
    ASSERT_TRUE((*file)->Append("abc").ok());
    ASSERT_TRUE((*file)->Sync().ok());
  });
  EXPECT_EQ(outcomes, (std::set<std::string>{"abc", "(none)"}));
}

TEST(PowerCutDiskTest, AnUnsyncedTailSurvivesWholeTornOrNotAtAll) {
  const auto outcomes = Outcomes("/f", [](PowerCutDisk& disk) {
    const auto file = disk.Open("/f", {.create = true});
    ASSERT_TRUE((*file)->Append("ab").ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE((*file)->Append("cd").ok());
  });
  EXPECT_TRUE(outcomes.contains("ab"));
  EXPECT_TRUE(outcomes.contains("abc"));
  EXPECT_TRUE(outcomes.contains("abcd"));
  EXPECT_GT(outcomes.size(), 4u) << "garbage in the tail never came";
  for (const std::string& outcome : outcomes) EXPECT_EQ(outcome.substr(0, 2), "ab");
}

TEST(PowerCutDiskTest, ARenameIsWholeAndHappenedOrNot) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    PowerCutDisk disk;
    for (const char* name : {"/old", "/new"}) {
      const auto file = disk.Open(name, {.create = true});
      ASSERT_TRUE((*file)->Append(name).ok());
      ASSERT_TRUE((*file)->Sync().ok());
    }
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE(disk.Rename("/new", "/old").ok());
    disk.CutAfter(0);
    Random random(seed);
    disk.PowerOn(random);
    outcomes.insert(Contents(disk, "/old") + " " + Contents(disk, "/new"));
  }
  EXPECT_EQ(outcomes, (std::set<std::string>{"/old /new", "/new (none)"}));
}

TEST(PowerCutDiskTest, ARemovedFileMayReappear) {
  const auto outcomes = Outcomes("/f", [](PowerCutDisk& disk) {
    const auto file = disk.Open("/f", {.create = true});
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE(disk.Remove("/f").ok());
  });
  EXPECT_EQ(outcomes, (std::set<std::string>{"", "(none)"}));
}

TEST(PowerCutDiskTest, EachUnsyncedEntryIsOnItsOwn) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    PowerCutDisk disk;
    ASSERT_TRUE(disk.Open("/a", {.create = true}).ok());
    ASSERT_TRUE(disk.Open("/b", {.create = true}).ok());
    disk.CutAfter(0);
    Random random(seed);
    disk.PowerOn(random);
    outcomes.insert(Contents(disk, "/a") + Contents(disk, "/b"));
  }
  EXPECT_EQ(outcomes.size(), 3u);  // both, none, or one: "(none)" either way round
}

TEST(PowerCutDiskTest, FailsFromTheChosenCallOnUntilThePowerIsBack) {
  PowerCutDisk disk;
  const auto file = disk.Open("/f", {.create = true});
  disk.CutAfter(2);
  EXPECT_TRUE((*file)->Append("a").ok());
  EXPECT_FALSE((*file)->Append("b").ok());
  EXPECT_FALSE((*file)->Size().ok());
  EXPECT_TRUE(disk.IsOff());
  EXPECT_FALSE(disk.Open("/f", {}).ok());
  Random random(1);
  disk.PowerOn(random);
  EXPECT_FALSE((*file)->Append("c").ok()) << "a file opened before the cut is dead";
  EXPECT_TRUE(disk.Open("/g", {.create = true}).ok());
}

TEST(PowerCutDiskTest, ASyncThatLiesSyncsNothing) {
  const auto outcomes = Outcomes("/f", [](PowerCutDisk& disk) {
    disk.LieAboutSync([](SyncKind kind, std::string_view path) {
      return kind == SyncKind::kFile && path == "/f";
    });
    const auto file = disk.Open("/f", {.create = true});
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    ASSERT_TRUE((*file)->Append("abc").ok());
    ASSERT_TRUE((*file)->Sync().ok());
    EXPECT_EQ(disk.syncs_lied_about(), 1u);
  });
  EXPECT_TRUE(outcomes.contains(""));
}

}  // namespace
}  // namespace tifs::sim
