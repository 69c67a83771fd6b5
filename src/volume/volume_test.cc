#include "volume/volume.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <thread>

#include "base/random.h"
#include "volume/superblock.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class VolumeLifeTest : public VolumeTest {};

TEST_F(VolumeLifeTest, ClosingAndKillingKeepTheTables) {
  for (int round = 0; round < 6; ++round) {
    const std::string name = "f" + std::to_string(round);
    Write(name, Pattern(10'000 * round, round));
    if (round % 2 == 0) {
      Reopen();
    } else {
      Kill();
    }
    for (int i = 0; i <= round; ++i) {
      ASSERT_EQ(Read("f" + std::to_string(i)), Pattern(10'000 * i, i));
    }
  }
  EXPECT_TRUE(volume_->Warnings().empty());
}

TEST_F(VolumeLifeTest, TheJournalGoesAroundManyTimes) {
  std::map<std::string, std::string> model;
  Random random(23);
  uint64_t checkpoints = 0;
  for (int i = 0; i < 4'000; ++i) {
    const std::string name = "f" + std::to_string(random.Below(50));
    if (random.OneIn(4) && model.contains(name)) {
      ASSERT_TRUE(root_->Unlink(name).ok());
      model.erase(name);
    } else {
      const std::string bytes = Pattern(random.Below(3'000), i);
      auto file = Create(name);
      ASSERT_TRUE(file->Append(bytes).ok());
      ASSERT_TRUE(file->Sync().ok());
      model[name] += bytes;
      if (model[name].size() > 30'000) {
        ASSERT_TRUE(file->Truncate(17).ok());
        ASSERT_TRUE(file->Sync().ok());
        model[name].resize(17);
      }
    }
    if (i % 500 == 499) {
      ASSERT_TRUE(root_->SyncDirectory("").ok());
      checkpoints += volume_->Counts().checkpoints;
      if (random.OneIn(2)) {
        Kill();
      } else {
        Reopen();
      }
      ASSERT_EQ(root_->List("")->size(), model.size());
      for (const auto& [path, bytes] : model) ASSERT_EQ(Read(path), bytes) << path;
    }
  }
  EXPECT_GT(checkpoints, 20u);
}

TEST_F(VolumeLifeTest, AFullVolumeIsCleanAndRecovers) {
  const uint64_t free_bytes = volume_->Usage().free_bytes;
  auto file = Create("big");
  ASSERT_TRUE(file->Append(std::string(free_bytes - 3 * unit_bytes_, 'b')).ok());
  ASSERT_TRUE(file->Sync().ok());
  const uint64_t size = file->size_bytes();
  EXPECT_EQ(CodeOf(file->Append(std::string(5 * unit_bytes_, 'c'))), ErrorCode::kNoSpace);
  EXPECT_EQ(file->size_bytes(), size);
  EXPECT_FALSE(volume_->Latched());
  Write("small", "still fits");
  ASSERT_TRUE(file->Append(std::string(unit_bytes_, 'd')).ok());
  EXPECT_EQ(CodeOf(file->Append(std::string(3 * unit_bytes_, 'c'))), ErrorCode::kNoSpace);
  file.reset();
  // What was deleted a moment ago, and nobody synced since, can be had.
  ASSERT_TRUE(root_->Unlink("big").ok());
  Write("next", std::string(free_bytes - 2 * unit_bytes_, 'n'));
  EXPECT_EQ(Read("small"), "still fits");
  EXPECT_EQ(volume_->Usage().free_bytes, unit_bytes_);
}

TEST_F(VolumeLifeTest, AFailedWriteLatchesForGood) {
  Write("f", "synced");
  auto file = Create("g");
  ASSERT_TRUE(file->Append("lost").ok());
  faults_.writes = true;
  EXPECT_EQ(CodeOf(file->Sync()), ErrorCode::kIo);
  faults_.writes = false;
  ASSERT_TRUE(volume_->Latched().has_value());
  const uint64_t written = faults_.write_count;
  EXPECT_EQ(CodeOf(file->Sync()), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(file->Append("x")), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(file->Truncate(0)), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(root_->Unlink("f")), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(root_->Open("h", {.write = true, .create = true})), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(root_->SyncDirectory("")), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(volume_->Checkpoint()), ErrorCode::kReadOnly);
  EXPECT_EQ(Read("f"), "synced");
  file.reset();
  root_.reset();
  EXPECT_FALSE(volume_->Close().ok());
  EXPECT_EQ(faults_.write_count, written);
  volume_.reset();
  Open();
  EXPECT_EQ(Read("f"), "synced");
}

// Bytes that could not be written must not leave others' in their place.
TEST_F(VolumeLifeTest, WhatALatchedVolumeCouldNotWriteCannotBeRead) {
  const uint64_t free_bytes = volume_->Usage().free_bytes;
  Write("old", std::string(free_bytes, 'S'));
  ASSERT_TRUE(root_->Unlink("old").ok());
  auto file = Create("f");
  ASSERT_TRUE(file->Append(std::string(100'000, 'n')).ok());
  faults_.writes = true;
  EXPECT_FALSE(file->Close().ok());
  faults_.writes = false;
  file.reset();
  EXPECT_EQ(Read("f").find('S'), std::string::npos);
}

TEST_F(VolumeLifeTest, ASnapshotSeesWhatWasSyncedAndWritesNothing) {
  Write("f", Pattern(70'000, 1));
  auto file = Create("MANIFEST");
  std::string manifest;
  for (int i = 0; i < 20; ++i) {
    manifest += Pattern(700, i);
    ASSERT_TRUE(file->Append(std::string_view(manifest).substr(manifest.size() - 700)).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  const uint64_t written = faults_.write_count;
  auto snapshot = Volume::OpenSnapshot(Disk());
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().ToString();
  auto root = (*snapshot)->OpenRoot("kv", true).value();
  auto copy = root->Open("MANIFEST", {}).value();
  EXPECT_EQ(Read(*copy), manifest);
  EXPECT_EQ(root->Stat("f")->size_bytes, 70'000u);
  EXPECT_EQ(CodeOf(root->Unlink("f")), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(root->Open("f", {.write = true})), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf((*snapshot)->OpenRoot("new", true)), ErrorCode::kReadOnly);
  EXPECT_EQ((*snapshot)->Usage().files, 2u);
  EXPECT_EQ((*snapshot)->Identity().owner, "volume_test");
  copy.reset();
  root.reset();
  snapshot->reset();
  EXPECT_EQ(faults_.write_count, written);
}

TEST_F(VolumeLifeTest, GrowsWithTheDevice) {
  Write("f", Pattern(1'000'000, 1));
  const uint64_t total = volume_->Usage().total_bytes;
  EXPECT_EQ(volume_->Grow().value(), disk_->size_bytes());
  ASSERT_TRUE(disk_->Resize(96 << 20).ok());
  EXPECT_EQ(volume_->Grow().value(), 96u << 20);
  EXPECT_GE(volume_->Usage().total_bytes, total + (64 << 20) - 2 * unit_bytes_);
  Write("big", Pattern(70'000'000, 2));
  Kill();
  EXPECT_EQ(Read("big"), Pattern(70'000'000, 2));
  // Both copies are where they belong.
  const SuperblockCopies copies = ReadSuperblocks(*disk_).value();
  EXPECT_EQ(copies.faults[0] + copies.faults[1], "");
  ASSERT_TRUE(disk_->Resize(64 << 20).ok());
  EXPECT_EQ(CodeOf(volume_->Grow()), ErrorCode::kInvalid);
  root_.reset();
  volume_.reset();
  ASSERT_TRUE(disk_->RefreshSize().ok());
  EXPECT_EQ(CodeOf(Volume::Open(Disk(), options_)), ErrorCode::kInvalid);
}

TEST_F(VolumeLifeTest, TheIdentityIsKept) {
  const VolumeIdentity identity = volume_->Identity();
  EXPECT_EQ(identity.name, "test");
  EXPECT_TRUE(identity.was_closed);
  Kill();
  EXPECT_EQ(volume_->Identity().uuid, identity.uuid);
  EXPECT_FALSE(volume_->Identity().was_closed);
  EXPECT_EQ(volume_->Identity().generation, identity.generation + 1);
  EXPECT_EQ(Volume::ReadIdentity(*disk_)->owner, "volume_test");
}

TEST_F(VolumeLifeTest, FormattingRefusesNonsense) {
  EXPECT_EQ(CodeOf(Volume::Format(*disk_, {.extent_unit_bytes = 3'000}, clock_)),
            ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(Volume::Format(*disk_, {.name = std::string(65, 'x')}, clock_)),
            ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(Volume::Format(*disk_, {.journal_bytes = uint64_t{1} << 40}, clock_)),
            ErrorCode::kInvalid);
  block::MemDeviceOptions small;
  small.size_bytes = 512 << 10;
  auto device = block::MemDevice::Open(small).value();
  EXPECT_EQ(CodeOf(Volume::Format(*device, {}, clock_)), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(Volume::ReadIdentity(*device)), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(Volume::Open(std::move(device), options_)), ErrorCode::kNotFound);
  EXPECT_EQ(Volume::ReadIdentity(*disk_)->name, "test");
}

TEST_F(VolumeLifeTest, FreedExtentsAreDiscardedAfterTheirRecord) {
  Write("f", Pattern(3'000'000, 1));
  ASSERT_TRUE(root_->Unlink("f").ok());
  EXPECT_EQ(faults_.discarded_bytes, 0u);
  ASSERT_TRUE(root_->SyncDirectory("").ok());
  EXPECT_GE(faults_.discarded_bytes, 3'000'000u);
}

TEST_F(VolumeLifeTest, MetadataThatDoesNotFitIsRefusedAndDeletingWorks) {
  std::vector<std::string> names;
  ErrorCode code = ErrorCode::kConflict;
  for (int i = 0; code == ErrorCode::kConflict; ++i) {
    names.push_back(std::string(200, 'n') + std::to_string(i));
    auto file = root_->Open(names.back(), {.write = true, .create = true});
    if (!file) code = file.error().code();
    ASSERT_LT(i, 10'000);
  }
  EXPECT_EQ(code, ErrorCode::kNoSpace);
  names.pop_back();
  ASSERT_TRUE(volume_->Checkpoint().ok());
  Kill();
  EXPECT_EQ(root_->List("")->size(), names.size());
  EXPECT_EQ(CodeOf(root_->Link(names[0], std::string(255, 'x'))), ErrorCode::kNoSpace);
  EXPECT_EQ(CodeOf(root_->Rename("../x", "y")), ErrorCode::kInvalid);
  ASSERT_TRUE(root_->Unlink(names[0]).ok());
  ASSERT_TRUE(root_->Unlink(names[1]).ok());
  Create("fits again");
}

// Threads of several roots, with the background thread: the figures and bytes hold.
TEST_F(VolumeLifeTest, ThreadsWorkSideBySide) {
  root_.reset();
  ASSERT_TRUE(volume_->Close().ok());
  volume_.reset();
  options_.background = true;
  options_.clock = &SystemClock();
  options_.commit_interval_ms = 1;
  Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      auto root = volume_->OpenRoot("r" + std::to_string(t % 2), true).value();
      ASSERT_TRUE(root->MakeDirectories(std::to_string(t)).ok());
      Random random(t);
      for (int i = 0; i < 150; ++i) {
        const std::string name = std::to_string(t) + "/" + std::to_string(random.Below(8));
        const std::string bytes = Pattern(random.Below(200'000), i);
        auto file = root->Open(name, {.write = true, .create = true, .truncate = true});
        ASSERT_TRUE(file.ok()) << file.error().ToString();
        ASSERT_TRUE((*file)->Append(bytes).ok());
        if (random.OneIn(2)) {
          ASSERT_TRUE((*file)->Sync().ok());
        }
        std::string out(bytes.size(), '?');
        ASSERT_EQ((*file)->ReadAt(0, out).value(), bytes.size());
        ASSERT_EQ(out, bytes);
        if (random.OneIn(4)) {
          ASSERT_TRUE(root->Unlink(name).ok());
        }
        if (random.OneIn(4)) (void)root->Rename(name, name + "x");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(volume_->Sync().ok());
  EXPECT_TRUE(volume_->Verify().ok());
  Kill();
  EXPECT_TRUE(volume_->Verify().ok());
}

class ManyFilesTest : public VolumeTest {
 protected:
  ManyFilesTest() : VolumeTest(uint64_t{8} << 30, 4 << 10) {}
};

// Memory: below 300 bytes a file and 40 an extent. (The time is the bench's to measure.)
TEST_F(ManyFilesTest, AHundredThousandFilesAreOpenedWithLittleMemory) {
  constexpr int kFiles = 100'000;
  for (int i = 0; i < kFiles; ++i) {
    auto file = Create(std::to_string(1'000'000 + i) + ".sst");
    ASSERT_TRUE(file->Append("x").ok());
  }
  ASSERT_TRUE(volume_->Sync().ok());
  root_.reset();
  ASSERT_TRUE(volume_->Close().ok());
  volume_.reset();
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  const auto start = std::chrono::steady_clock::now();
  Open();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
  std::printf("opened in %.3f s, %.1f bytes a file\n", took.count(),
              static_cast<double>(used) / kFiles);
  EXPECT_EQ(volume_->Usage().files, static_cast<uint64_t>(kFiles));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(used / kFiles, 340u);  // one extent each
#endif
}

}  // namespace
}  // namespace tifs::volume
