#include "volume/read_ahead.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

constexpr size_t kPiece = ReadAhead::kLeastBytes;

class ReadAheadTest : public VolumeTest {
 protected:
  // So many threads that one is idle whenever a test wants one.
  ReadAheadTest() : VolumeTest(256 << 20) { options_.transfer_threads = 64; }

  // Reads behind the readers' backs may come late, but they come.
  void AwaitReads(uint64_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (faults_.read_count < count && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(faults_.read_count, count);
  }

  // The whole file, in pieces of `size`.
  std::string ReadOnward(File& file, size_t size) {
    std::string bytes;
    std::string piece(size, '?');
    while (true) {
      const auto count = file.ReadOnward(bytes.size(), piece);
      EXPECT_TRUE(count.ok());
      if (!count || *count == 0) return bytes;
      bytes.append(piece, 0, *count);
    }
  }
};

TEST_F(ReadAheadTest, GivesWhatReadAtGives) {
  const std::string bytes = Pattern(5'000'001, 1);
  Write("f", bytes);
  auto file = root_->Open("f", {}).value();
  for (const size_t size : {kPiece, kPiece + 4096, size_t{300'001}, size_t{3} << 20}) {
    EXPECT_EQ(ReadOnward(*file, size), bytes) << size;
  }
}

TEST_F(ReadAheadTest, EveryByteIsReadOnce) {
  Write("f", Pattern(8 * kPiece, 2));
  auto file = root_->Open("f", {}).value();
  const uint64_t before = faults_.read_count;
  ReadOnward(*file, kPiece);
  EXPECT_EQ(faults_.read_count - before, 8u);
}

TEST_F(ReadAheadTest, ReadersBeyondTheRoomTakeNothingFromOthers) {
  constexpr size_t kReaders = 2 * ReadAhead::kMostPieces;
  const std::string bytes = Pattern(4 * kPiece, 3);
  std::vector<std::unique_ptr<File>> files;
  for (size_t i = 0; i < kReaders; ++i) {
    const std::string name = "f" + std::to_string(i);
    Write(name, bytes);
    files.push_back(root_->Open(name, {}).value());
  }
  const uint64_t before = faults_.read_count;
  std::string piece(kPiece, '?');
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    for (const auto& file : files) {
      ASSERT_TRUE(file->ReadOnward(at, piece).ok());
      ASSERT_EQ(piece, bytes.substr(at, kPiece));
    }
  }
  EXPECT_EQ(faults_.read_count - before, kReaders * 4);
}

TEST_F(ReadAheadTest, AbandonedPiecesGiveWay) {
  const std::string bytes = Pattern(2 * kPiece, 4);
  std::string piece(kPiece, '?');
  std::vector<std::unique_ptr<File>> files;
  for (size_t i = 0; i < ReadAhead::kMostPieces + 1; ++i) {
    const std::string name = "f" + std::to_string(i);
    Write(name, bytes);
    files.push_back(root_->Open(name, {}).value());
  }
  const uint64_t start = faults_.read_count;
  for (size_t i = 0; i < ReadAhead::kMostPieces; ++i) {
    ASSERT_TRUE(files[i]->ReadOnward(0, piece).ok());
  }
  for (uint64_t i = 0; i < ReadAhead::kPatienceReads; ++i) {
    ASSERT_TRUE(files.back()->ReadOnward(kPiece, piece).ok());  // nothing follows
  }
  AwaitReads(start + 2 * ReadAhead::kMostPieces + ReadAhead::kPatienceReads);
  ASSERT_TRUE(files.back()->ReadOnward(0, piece).ok());
  AwaitReads(start + 2 * ReadAhead::kMostPieces + ReadAhead::kPatienceReads + 2);
}

TEST_F(ReadAheadTest, AWriterIsSeenAtOnce) {
  Write("f", std::string(4 * kPiece, 'o'));
  auto reader = root_->Open("f", {}).value();
  std::string piece(kPiece, '?');
  ASSERT_TRUE(reader->ReadOnward(0, piece).ok());
  auto writer = root_->Open("f", {.write = true}).value();
  ASSERT_TRUE(writer->WriteAt(kPiece, "new").ok());
  ASSERT_TRUE(reader->ReadOnward(kPiece, piece).ok());
  EXPECT_EQ(piece.substr(0, 4), "newo");
  ASSERT_TRUE(writer->WriteAt(2 * kPiece, "newer").ok());
  ASSERT_TRUE(reader->ReadOnward(2 * kPiece, piece).ok());
  EXPECT_EQ(piece.substr(0, 6), "newero");
}

TEST_F(ReadAheadTest, AFailureIsAnsweredWhereItIsAskedFor) {
  const std::string bytes = Pattern(3 * kPiece, 5);
  Write("f", bytes);
  auto file = root_->Open("f", {}).value();
  faults_.reads = true;
  std::string piece(kPiece, '?');
  EXPECT_FALSE(file->ReadOnward(0, piece).ok());
  faults_.reads = false;
  // What failed behind the reader's back is read again.
  ASSERT_TRUE(file->ReadOnward(kPiece, piece).ok());
  EXPECT_EQ(piece, bytes.substr(kPiece, kPiece));
}

}  // namespace
}  // namespace tifs::volume
