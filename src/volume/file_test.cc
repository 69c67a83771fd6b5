#include "volume/file.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class FileTest : public VolumeTest {};

TEST_F(FileTest, SyncedBytesComeBackAfterAKill) {
  const std::string bytes = Pattern(300'001, 1);
  Write("a.sst", bytes);
  Kill();
  EXPECT_EQ(Read("a.sst"), bytes);
}

TEST_F(FileTest, SmallSyncsComeBackAfterAKill) {
  auto file = Create("MANIFEST");
  std::string all;
  for (int i = 0; i < 300; ++i) {
    const std::string piece = Pattern(1 + i % 200, i);
    ASSERT_TRUE(file->Append(piece).ok());
    ASSERT_TRUE(file->Sync().ok());
    all += piece;
    if (i % 50 == 49) {
      file.reset();
      Kill();
      ASSERT_EQ(Read("MANIFEST"), all) << i;
      file = Create("MANIFEST");
    }
  }
}

TEST_F(FileTest, ASmallSyncIsOneFlush) {
  auto file = Create("MANIFEST");
  ASSERT_TRUE(file->Append("first").ok());
  ASSERT_TRUE(file->Sync().ok());
  const uint64_t writes = faults_.write_count;
  const uint64_t flushes = volume_->Counts().flushes;
  ASSERT_TRUE(file->Append("second").ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(volume_->Counts().flushes - flushes, 1u);
  EXPECT_EQ(faults_.write_count - writes, 2u);  // both copies of the journal
  // Nothing new, nothing to do.
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(volume_->Counts().flushes - flushes, 1u);
}

TEST_F(FileTest, UnsyncedBytesAreReadAtOnce) {
  auto file = Create("f");
  const std::string bytes = Pattern(1'000'000, 3);
  std::string_view rest = bytes;
  Random random(5);
  while (!rest.empty()) {
    const size_t size = std::min<size_t>(rest.size(), 1 + random.Below(50'000));
    ASSERT_TRUE(file->Append(rest.substr(0, size)).ok());
    rest.remove_prefix(size);
    const size_t so_far = bytes.size() - rest.size();
    std::string part(1 + random.Below(70'000), '?');
    const uint64_t offset = random.Below(so_far);
    const size_t read = file->ReadAt(offset, part).value();
    ASSERT_EQ(read, std::min(part.size(), so_far - offset));
    ASSERT_EQ(part.substr(0, read), bytes.substr(offset, read));
  }
  EXPECT_EQ(Read(*file), bytes);
  EXPECT_EQ(Read("f"), bytes);
}

TEST_F(FileTest, ReadsEndWhereTheFileEnds) {
  Write("f", "hello");
  auto file = root_->Open("f", {}).value();
  char out[16];
  std::ranges::fill(out, '#');
  EXPECT_EQ(file->ReadAt(2, out).value(), 3u);
  EXPECT_EQ(std::string_view(out, 4), "llo#");
  EXPECT_EQ(file->ReadAt(5, out).value(), 0u);
  EXPECT_EQ(file->ReadAt(UINT64_MAX, out).value(), 0u);
}

TEST_F(FileTest, OverwritesAndGapsAreAsInAString) {
  auto file = Create("f");
  std::string model;
  Random random(17);
  for (int step = 0; step < 2'000; ++step) {
    const uint64_t offset = random.Below(model.size() + 5'000);
    const std::string piece = Pattern(random.Below(9'000), step);
    switch (random.Below(6)) {
      case 0:
        ASSERT_TRUE(file->Append(piece).ok());
        model += piece;
        break;
      case 1:
      case 2:
        ASSERT_TRUE(file->WriteAt(offset, piece).ok());
        if (piece.empty()) break;
        model.resize(std::max(model.size(), offset + piece.size()));
        model.replace(offset, piece.size(), piece);
        break;
      case 3:
        if (random.OneIn(4)) {
          ASSERT_TRUE(file->Truncate(offset).ok());
          model.resize(offset);
        }
        break;
      case 4:
        if (random.OneIn(3)) {
          ASSERT_TRUE(file->Sync().ok());
        }
        break;
      default:
        if (random.OneIn(20)) {
          file.reset();
          if (random.OneIn(2)) Reopen();
          file = Create("f");
        }
    }
    ASSERT_EQ(file->size_bytes(), model.size());
    if (step % 10 == 0) {
      ASSERT_EQ(Read(*file), model) << step;
    }
    if (model.size() > 2'000'000) {
      ASSERT_TRUE(file->Truncate(100).ok());
      model.resize(100);
    }
  }
  EXPECT_EQ(Read(*file), model);
}

TEST_F(FileTest, PreallocationNeverMovesTheEnd) {
  auto file = Create("f");
  ASSERT_TRUE(file->Append("x").ok());
  ASSERT_TRUE(file->Allocate(5'000'000).ok());
  EXPECT_EQ(file->size_bytes(), 1u);
  EXPECT_GE(file->Stat().allocated_bytes, 5'000'000u);
  ASSERT_TRUE(file->Sync().ok());
  Kill();
  EXPECT_EQ(Read("f"), "x");
  EXPECT_EQ(root_->Stat("f")->allocated_bytes, unit_bytes_);
}

TEST_F(FileTest, ClosingGivesPreallocatedSpaceBack) {
  const uint64_t free_before = volume_->Usage().free_bytes;
  auto file = Create("f");
  ASSERT_TRUE(file->Allocate(5'000'000).ok());
  EXPECT_LT(volume_->Usage().free_bytes, free_before);
  ASSERT_TRUE(file->Append("x").ok());
  ASSERT_TRUE(file->Close().ok());
  EXPECT_EQ(volume_->Usage().free_bytes, free_before - unit_bytes_);
}

// Rule 1 of what blobfs taught: what was there before is not to be read by anyone.
TEST_F(FileTest, RecycledSpaceIsNeverReadable) {
  const uint64_t free_bytes = volume_->Usage().free_bytes;
  for (int i = 0; i < 4; ++i) {
    Write(std::to_string(i), std::string(free_bytes / 4 - unit_bytes_, 'S'));
  }
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(root_->Unlink(std::to_string(i)).ok());
  auto file = Create("new");
  ASSERT_TRUE(file->Allocate(free_bytes / 2).ok());
  ASSERT_TRUE(file->WriteAt(1'000'001, "end").ok());
  ASSERT_TRUE(file->Append("tail").ok());
  ASSERT_TRUE(file->Truncate(2'000'000).ok());
  for (const bool killed : {false, true}) {
    if (killed) {
      ASSERT_TRUE(file->Sync().ok());
      Kill();
      file = root_->Open("new", {}).value();
    }
    EXPECT_EQ(Read(*file).find('S'), std::string::npos);
    // Nor beyond the end, in the rest of the last block.
    std::string out(8192, '#');
    const size_t read = file->ReadAt(2'000'000 - 10, out).value();
    EXPECT_EQ(read, 10u);
    EXPECT_EQ(out.find('S'), std::string::npos);
  }
}

TEST_F(FileTest, MultiReadAnswersEachRequest) {
  const std::string bytes = Pattern(500'000, 9);
  auto file = Create("f");
  ASSERT_TRUE(file->Append(bytes).ok());
  std::string out(200'000, '?');
  std::vector<ReadRequest> requests;
  size_t at = 0;
  for (const auto& [offset, size] : {std::pair<uint64_t, size_t>{0, 4096},
                                     {1, 1},
                                     {4095, 2},
                                     {100'000, 70'000},
                                     {65'536, 65'536},
                                     {499'990, 100},
                                     {600'000, 5},
                                     {7, 0}}) {
    requests.push_back({.offset_bytes = offset, .out = std::span(out).subspan(at, size)});
    at += size;
  }
  ASSERT_TRUE(file->MultiRead(requests).ok());
  for (const ReadRequest& request : requests) {
    const std::string wanted = request.offset_bytes < bytes.size()
                                   ? bytes.substr(request.offset_bytes, request.out.size())
                                   : "";
    ASSERT_EQ(*request.done, wanted.size());
    EXPECT_EQ(std::string_view(request.out.data(), wanted.size()), wanted);
  }
}

TEST_F(FileTest, AsyncReadsKeepWhatTheyReadFromReuse) {
  const std::string bytes = Pattern(1'000'000, 4);
  Write("f", bytes);
  auto file = root_->Open("f", {.write = true}).value();
  std::string out(400'000, '?');
  auto read = file->PrepareRead(500'001, out).value();
  // Cut and reused, while the read has not been submitted.
  ASSERT_TRUE(file->Truncate(10).ok());
  ASSERT_TRUE(file->Sync().ok());
  const uint64_t free_bytes = volume_->Usage().free_bytes;
  Write("other", std::string(free_bytes - unit_bytes_, 'o'));
  auto queue = volume_->device().OpenQueue(16).value();
  std::vector<block::IoRequest*> requests, done(16);
  for (block::IoRequest& request : read->requests()) requests.push_back(&request);
  ASSERT_EQ(queue->Submit(requests), requests.size());
  ASSERT_EQ(queue->Poll(requests.size(), done), requests.size());
  EXPECT_EQ(read->Finish().value(), out.size());
  EXPECT_EQ(out, bytes.substr(500'001, out.size()));
  read.reset();
  EXPECT_EQ(CodeOf(root_->Unlink("none")), ErrorCode::kNotFound);
  ASSERT_TRUE(volume_->Sync().ok());
  EXPECT_GT(volume_->Usage().free_bytes + volume_->Usage().reclaimable_bytes, 900'000u);
}

TEST_F(FileTest, AHandleForReadingCannotWrite) {
  Write("f", "x");
  auto file = root_->Open("f", {}).value();
  EXPECT_EQ(CodeOf(file->Append("y")), ErrorCode::kBadHandle);
  EXPECT_EQ(CodeOf(file->Sync()), ErrorCode::kBadHandle);
  ASSERT_TRUE(file->Close().ok());
  char byte;
  EXPECT_EQ(CodeOf(file->ReadAt(0, {&byte, 1})), ErrorCode::kBadHandle);
}

TEST_F(FileTest, SizesThatNoFileCanHaveAreRefused) {
  auto file = Create("f");
  EXPECT_EQ(CodeOf(file->WriteAt(UINT64_MAX - 1, "abc")), ErrorCode::kFileTooBig);
  EXPECT_EQ(CodeOf(file->Truncate(UINT64_MAX)), ErrorCode::kFileTooBig);
  EXPECT_EQ(CodeOf(file->Allocate(uint64_t{1} << 61)), ErrorCode::kFileTooBig);
  EXPECT_EQ(CodeOf(file->Truncate(uint64_t{1} << 59)), ErrorCode::kNoSpace);
  EXPECT_EQ(file->size_bytes(), 0u);
}

TEST_F(FileTest, BytesThatWereNotSyncedBeforeClosingAreSyncedByTheVolume) {
  auto file = Create("f");
  ASSERT_TRUE(file->Append("closed").ok());
  ASSERT_TRUE(file->Close().ok());
  ASSERT_TRUE(volume_->Sync().ok());
  Kill();
  EXPECT_EQ(Read("f"), "closed");
}

// The record of a size must not become durable before the bytes, on whatever way.
TEST_F(FileTest, AReopenedFileThatWasNotSyncedIsFlushedBySync) {
  Write("f", "old");
  auto file = root_->Open("f", {.write = true}).value();
  ASSERT_TRUE(file->WriteAt(0, "new").ok());
  ASSERT_TRUE(file->Close().ok());
  file = root_->Open("f", {.write = true}).value();
  const uint64_t flushes = volume_->Counts().flushes;
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_GE(volume_->Counts().flushes, flushes + 2);
}

TEST_F(FileTest, WhoReadsADeletedFileReadsItAfterItsWriterHasClosed) {
  Write("old", std::string(4 * unit_bytes_, 'x'));  // somebody else's bytes in the extents
  ASSERT_TRUE(root_->Unlink("old").ok());
  ASSERT_TRUE(volume_->Sync().ok());
  auto writer = Create("f");
  ASSERT_TRUE(writer->Append("never synced").ok());
  auto reader = root_->Open("f", {}).value();
  ASSERT_TRUE(root_->Unlink("f").ok());
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_EQ(Read(*reader), "never synced");
}

}  // namespace
}  // namespace tifs::volume
