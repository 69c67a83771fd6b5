#include "volume/sparse_file.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kUnit = 64 << 10;

class SparseFileTest : public VolumeTest {
 protected:
  std::unique_ptr<SparseFile> OpenSparse(uint64_t keep_free_bytes = 0) {
    auto file = root_->OpenSparse(
        "blocks", {.write = true, .create = true, .keep_free_bytes = keep_free_bytes});
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? std::move(*file) : nullptr;
  }
  static std::string ReadPart(SparseFile& file, uint64_t offset, size_t size) {
    std::string bytes(size, '?');
    EXPECT_TRUE(file.ReadAt(offset, bytes).ok());
    return bytes;
  }
  uint64_t FreeBytes() {
    EXPECT_TRUE(volume_->Sync().ok());
    return volume_->Usage().free_bytes;
  }
  // Other files' bytes on all of the disk, then free again.
  void Dirty() {
    const uint64_t size = volume_->Usage().free_bytes;
    auto file = Create("dirt");
    const std::string dirt(1 << 20, 'X');
    for (uint64_t at = 0; at + dirt.size() <= size; at += dirt.size()) {
      ASSERT_TRUE(file->Append(dirt).ok());
    }
    ASSERT_TRUE(file->Sync().ok());
    file.reset();
    ASSERT_TRUE(root_->Unlink("dirt").ok());
    ASSERT_TRUE(volume_->Sync().ok());
  }
};

TEST_F(SparseFileTest, HolesAreZerosAndTakeNoSpace) {
  options_.discard = false;
  Reopen();
  Dirty();
  auto file = OpenSparse();
  const uint64_t free_bytes = FreeBytes();
  const std::string bytes = Pattern(5'000, 1);
  ASSERT_TRUE(file->WriteAt(100 * kUnit + 700, bytes).ok());
  EXPECT_EQ(file->size_bytes(), 100 * kUnit + 700 + 5'000);
  EXPECT_EQ(FreeBytes(), free_bytes - kUnit);
  EXPECT_EQ(ReadPart(*file, 0, 3 * kUnit), std::string(3 * kUnit, '\0'));
  EXPECT_EQ(ReadPart(*file, 100 * kUnit, kUnit),
            std::string(700, '\0') + bytes + std::string(kUnit - 5'700, '\0'));
  EXPECT_EQ(file->NextData(0), 100 * kUnit);
  EXPECT_EQ(file->NextData(100 * kUnit + 5), 100 * kUnit + 5);
  EXPECT_EQ(file->NextData(101 * kUnit), 101 * kUnit);
  // The rest of the unit was another file's.
  ASSERT_TRUE(file->WriteAt(101 * kUnit - 1, "e").ok());
  EXPECT_EQ(ReadPart(*file, 100 * kUnit + 5'700, kUnit - 5'701), std::string(kUnit - 5'701, '\0'));
}

TEST_F(SparseFileTest, WhatIsSyncedStaysAndWhatIsNotIsZeros) {
  options_.discard = false;
  Reopen();
  Dirty();
  auto file = OpenSparse();
  const std::string bytes = Pattern(3 * kUnit, 2);
  ASSERT_TRUE(file->WriteAt(kUnit + 10, bytes).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->WriteAt(20 * kUnit, bytes).ok());
  faults_.writes = true;
  file.reset();
  Kill();
  file = OpenSparse();
  EXPECT_EQ(file->size_bytes(), 4 * kUnit + 10);
  EXPECT_EQ(ReadPart(*file, kUnit, 4 * kUnit),
            std::string(10, '\0') + bytes + std::string(kUnit - 10, '\0'));
  EXPECT_EQ(ReadPart(*file, 20 * kUnit, kUnit), std::string(kUnit, '\0'));
}

TEST_F(SparseFileTest, ClosingKeepsWhatWasWritten) {
  auto file = OpenSparse();
  ASSERT_TRUE(file->WriteAt(7 * kUnit, "seven").ok());
  file.reset();
  Reopen();
  file = OpenSparse();
  EXPECT_EQ(ReadPart(*file, 7 * kUnit, 5), "seven");
}

TEST_F(SparseFileTest, DiscardingGivesSpaceBackAndReadsAsZeros) {
  auto file = OpenSparse();
  const uint64_t free_bytes = FreeBytes();
  ASSERT_TRUE(file->WriteAt(0, Pattern(8 * kUnit, 3)).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Discard(kUnit + 100, 3 * kUnit).ok());
  EXPECT_EQ(ReadPart(*file, kUnit + 100, 3 * kUnit), std::string(3 * kUnit, '\0'));
  EXPECT_EQ(ReadPart(*file, 0, kUnit + 100), Pattern(8 * kUnit, 3).substr(0, kUnit + 100));
  EXPECT_EQ(ReadPart(*file, 4 * kUnit + 100, kUnit),
            Pattern(8 * kUnit, 3).substr(4 * kUnit + 100, kUnit));
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(FreeBytes(), free_bytes - 6 * kUnit);
  file.reset();
  Reopen();
  file = OpenSparse();
  EXPECT_EQ(ReadPart(*file, kUnit + 100, 3 * kUnit), std::string(3 * kUnit, '\0'));
  EXPECT_EQ(file->NextData(2 * kUnit), 4 * kUnit);
  ASSERT_TRUE(file->Truncate(0).ok());
  EXPECT_EQ(FreeBytes(), free_bytes);
}

TEST_F(SparseFileTest, ADiscardThatIsNotDurableDoesNotGiveItsSpaceToOthers) {
  auto file = OpenSparse();
  const std::string bytes = Pattern(4 * kUnit, 4);
  ASSERT_TRUE(file->WriteAt(0, bytes).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Discard(0, 4 * kUnit).ok());
  // Nothing of this is synced, so none of it may lie where the file's bytes are.
  ASSERT_TRUE(file->WriteAt(10 * kUnit, std::string(4 * kUnit, 'n')).ok());
  faults_.writes = true;
  file.reset();
  Kill();
  file = OpenSparse();
  EXPECT_EQ(ReadPart(*file, 0, 4 * kUnit), bytes);
}

TEST_F(SparseFileTest, CutBytesDoNotComeBack) {
  auto file = OpenSparse();
  ASSERT_TRUE(file->WriteAt(0, std::string(3 * kUnit, 'a')).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Truncate(kUnit + 5).ok());
  EXPECT_EQ(file->size_bytes(), kUnit + 5);
  ASSERT_TRUE(file->WriteAt(3 * kUnit, "end").ok());
  EXPECT_EQ(ReadPart(*file, kUnit, 2 * kUnit), "aaaaa" + std::string(2 * kUnit - 5, '\0'));
  ASSERT_TRUE(file->Sync().ok());
  file.reset();
  Reopen();
  file = OpenSparse();
  EXPECT_EQ(ReadPart(*file, kUnit, 2 * kUnit), "aaaaa" + std::string(2 * kUnit - 5, '\0'));
}

// Bytes that were written in place beyond the end of the last sync, and survived a crash.
TEST_F(SparseFileTest, WhatACrashLeftBeyondTheEndDoesNotShow) {
  auto file = OpenSparse();
  ASSERT_TRUE(file->WriteAt(0, "short").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->WriteAt(1'000, "lost").ok());
  faults_.writes = true;
  file.reset();
  Kill();
  file = OpenSparse();
  EXPECT_EQ(file->size_bytes(), 5u);
  ASSERT_TRUE(file->WriteAt(2'000, "later").ok());
  EXPECT_EQ(ReadPart(*file, 0, 2'000), "short" + std::string(1'995, '\0'));
}

TEST_F(SparseFileTest, KeepsWhatOthersAreToHave) {
  const uint64_t keep = 8 << 20;
  auto file = OpenSparse(keep);
  const std::string bytes(1 << 20, 'k');
  uint64_t at = 0;
  Status written;
  for (; written.ok(); at += bytes.size()) written = file->WriteAt(at, bytes);
  EXPECT_EQ(written.error().code(), ErrorCode::kNoSpace);
  EXPECT_GE(volume_->Usage().free_bytes, keep);
  EXPECT_LT(volume_->Usage().free_bytes, keep + bytes.size());
  // In place, and after something was given back.
  EXPECT_TRUE(file->WriteAt(0, bytes).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Discard(0, bytes.size()).ok());
  EXPECT_TRUE(file->WriteAt(at, bytes).ok());
  // What is allocated is there for its range only.
  ASSERT_TRUE(file->Discard(at, bytes.size()).ok());
  EXPECT_TRUE(file->Allocate(2 * at, bytes.size()).ok());
  EXPECT_EQ(CodeOf(file->WriteAt(at, bytes)), ErrorCode::kNoSpace);
  EXPECT_EQ(ReadPart(*file, 2 * at, 10), std::string(10, '\0'));
  EXPECT_TRUE(file->WriteAt(2 * at, bytes).ok());
}

TEST_F(SparseFileTest, IsOneKindOfFileAndOpenedOnceAtATime) {
  auto file = OpenSparse();
  EXPECT_EQ(CodeOf(root_->OpenSparse("blocks", {})), ErrorCode::kBusy);
  EXPECT_EQ(CodeOf(root_->Open("blocks", {})), ErrorCode::kNotSupported);
  Create("plain");
  EXPECT_EQ(CodeOf(root_->OpenSparse("plain", {})), ErrorCode::kNotSupported);
  EXPECT_EQ(CodeOf(root_->OpenSparse("none", {})), ErrorCode::kNotFound);
  file.reset();
  auto reader = root_->OpenSparse("blocks", {});
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(CodeOf((*reader)->WriteAt(0, "x")), ErrorCode::kBadHandle);
}

TEST_F(SparseFileTest, ADeletedOneKeepsItsSpaceUntilItIsClosed) {
  const uint64_t free_bytes = FreeBytes();
  auto file = OpenSparse();
  ASSERT_TRUE(file->WriteAt(0, Pattern(4 * kUnit, 6)).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(root_->Unlink("blocks").ok());
  ASSERT_TRUE(file->WriteAt(4 * kUnit, "more").ok());
  ASSERT_TRUE(file->Discard(kUnit, kUnit).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(ReadPart(*file, 0, kUnit), Pattern(4 * kUnit, 6).substr(0, kUnit));
  EXPECT_EQ(FreeBytes(), free_bytes - 4 * kUnit);
  file.reset();
  EXPECT_EQ(FreeBytes(), free_bytes);
  Reopen();
  EXPECT_EQ(CodeOf(root_->Stat("blocks")), ErrorCode::kNotFound);
}

TEST_F(SparseFileTest, OverwritingSyncsWithOneFlush) {
  auto file = OpenSparse();
  ASSERT_TRUE(file->WriteAt(0, Pattern(4 * kUnit, 6)).ok());
  ASSERT_TRUE(file->Sync().ok());
  const VolumeCounts before = volume_->Counts();
  ASSERT_TRUE(file->WriteAt(100, "again").ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(volume_->Counts().flushes, before.flushes + 1);
  EXPECT_EQ(volume_->Counts().journal_records, before.journal_records);
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(volume_->Counts().flushes, before.flushes + 1);
}

TEST_F(SparseFileTest, ManyRunsGoIntoManyRecordsAndCheckpoints) {
  auto file = OpenSparse();
  for (uint64_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(file->WriteAt(2 * i * kUnit, std::to_string(i)).ok());
    if (i != 150) continue;
    ASSERT_TRUE(volume_->Checkpoint().ok());
  }
  ASSERT_TRUE(file->Sync().ok());
  file.reset();
  Kill();
  file = OpenSparse();
  ASSERT_TRUE(volume_->Checkpoint().ok());
  for (uint64_t i = 0; i < 300; i += 3) {
    ASSERT_TRUE(file->Discard(2 * i * kUnit, kUnit).ok());
  }
  ASSERT_TRUE(file->Sync().ok());
  file.reset();
  Kill();
  file = OpenSparse();
  for (uint64_t i = 0; i < 300; ++i) {
    const std::string text = i % 3 == 0 ? "" : std::to_string(i);
    ASSERT_EQ(ReadPart(*file, 2 * i * kUnit, 5), text + std::string(5 - text.size(), '\0')) << i;
  }
}

TEST_F(SparseFileTest, GrowsWhileElsewhereSpaceIsGivenBack) {
  constexpr uint64_t kPiece = 1'000;
  constexpr uint64_t kPieces = 4'000;
  auto file = OpenSparse();
  std::atomic<uint64_t> written{0};
  const std::jthread discarder([&] {
    while (written < kPieces) {
      // Up to the piece before the one that is being written.
      const uint64_t end = written == 0 ? 0 : (written - 1) * kPiece;
      const uint64_t size = std::min(end, 90 * kPiece);
      ASSERT_TRUE(file->Discard(end - size, size).ok());
    }
  });
  for (; written < kPieces; ++written) {
    ASSERT_TRUE(file->WriteAt(written * kPiece, std::string(kPiece, 'g')).ok());
    ASSERT_EQ(ReadPart(*file, written * kPiece, kPiece), std::string(kPiece, 'g'));
    ASSERT_EQ(file->size_bytes(), (written + 1) * kPiece);
  }
}

// Several threads, each with slots of its own; and against a copy in memory.
TEST_F(SparseFileTest, IsWhatItsUsersWrote) {
  constexpr uint64_t kSlot = 20 << 10;  // units are shared
  constexpr size_t kThreads = 3;
  constexpr size_t kSlots = 24;
  auto file = OpenSparse();
  std::vector<std::string> model(kThreads * kSlots, std::string(kSlot, '\0'));
  const auto work = [&](size_t thread) {
    Random random(thread + 1);
    for (int step = 0; step < 400; ++step) {
      const size_t slot = random.Below(kSlots) * kThreads + thread;
      std::string& bytes = model[slot];
      const uint64_t from = random.Below(kSlot);
      const uint64_t size = 1 + random.Below(kSlot - from);
      if (random.OneIn(4)) {
        ASSERT_TRUE(file->Discard(slot * kSlot, kSlot).ok());
        bytes.assign(kSlot, '\0');
      } else if (random.OneIn(10)) {
        ASSERT_TRUE(file->Sync().ok());
      } else {
        const std::string data = Pattern(size, static_cast<uint32_t>(step));
        ASSERT_TRUE(file->WriteAt(slot * kSlot + from, data).ok());
        bytes.replace(from, size, data);
      }
      ASSERT_EQ(ReadPart(*file, slot * kSlot, kSlot), bytes) << slot;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  }
  file.reset();
  Reopen();
  file = OpenSparse();
  for (size_t i = 0; i < model.size(); ++i) {
    ASSERT_EQ(ReadPart(*file, i * kSlot, kSlot), model[i]) << i;
  }
}

}  // namespace
}  // namespace tifs::volume
