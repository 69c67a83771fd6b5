// What is done with open files.
#include <algorithm>
#include <vector>

#include "rocksfs/io_status.h"
#include "rocksfs/rocksdb_version.h"
#include "tests/conformance/rocks_fs_conformance.h"

namespace tifs::rocksfs {
namespace {

TEST_P(RocksFsConformance, ReadsWhatWasAppended) {
  for (const size_t size : {0, 1, 511, 4096, 5000, 262'144, 700'001}) {
    const std::string bytes = Bytes(size, 1);
    const auto file = Create(Path(1));
    for (size_t begin = 0, step = 1; begin < size; begin += step, step = step * 3 + 1) {
      const std::string piece = bytes.substr(begin, step);
      ASSERT_IO_OK(file->Append(piece, io_, nullptr));
      EXPECT_IO_OK(file->Flush(io_, nullptr));
    }
    EXPECT_IO_OK(file->Sync(io_, nullptr));
    EXPECT_IO_OK(file->Close(io_, nullptr));
    EXPECT_EQ(Read(Path(1)), bytes) << size;
    EXPECT_EQ(SizeOf(Path(1)), size);
  }
}

TEST_P(RocksFsConformance, ReadsFromAnywhere) {
  const std::string bytes = Bytes(50'000, 2);
  Write(Path(1), bytes);
  const auto file = OpenRandom(Path(1));
  for (const uint64_t offset : {0, 1, 511, 512, 4095, 4096, 30'000, 49'999}) {
    for (const size_t size : {1, 511, 512, 4096, 4097, 20'000}) {
      EXPECT_EQ(ReadAt(*file, offset, size), bytes.substr(offset, size)) << offset << " " << size;
    }
  }
  EXPECT_EQ(ReadAt(*file, 50'000, 10), "");
  EXPECT_EQ(ReadAt(*file, 60'000, 10), "");
}

TEST_P(RocksFsConformance, ReadsManyRangesAtOnce) {
  const std::string bytes = Bytes(300'000, 3);
  Write(Path(1), bytes);
  const auto file = OpenRandom(Path(1));
  for (const size_t count : {1, 5, 32, 33, 100}) {
    std::vector<rocksdb::FSReadRequest> requests(count);
    std::vector<std::string> scratch(count, std::string(2'000, '?'));
    for (size_t i = 0; i < count; ++i) {
      requests[i].offset = (i * 7'919) % 299'000;
      requests[i].len = 1 + (i * 37) % 2'000;
      requests[i].scratch = scratch[i].data();
    }
    ASSERT_IO_OK(file->MultiRead(requests.data(), count, io_, nullptr));
    for (const auto& request : requests) {
      EXPECT_IO_OK(request.status);
      EXPECT_EQ(request.result.ToString(), bytes.substr(request.offset, request.len));
    }
  }
}

TEST_P(RocksFsConformance, ReadsAsynchronously) {
  if (kind() == FileSystemKind::kPosix) GTEST_SKIP() << "Debian's RocksDB has no io_uring";
  const std::string bytes = Bytes(300'000, 4);
  Write(Path(1), bytes);
  const auto file = OpenRandom(Path(1));
  struct Read {
    rocksdb::FSReadRequest request;
    std::string scratch = std::string(40'000, '?');
    std::string found;
    int calls = 0;
    void* handle = nullptr;
    rocksdb::IOHandleDeleter deleter;
  };
  std::vector<Read> reads(20);
  const ReadCallback callback = [](const rocksdb::FSReadRequest& done, void* argument) {
    Read& read = *static_cast<Read*>(argument);
    read.found = done.status.ok() ? done.result.ToString() : done.status.ToString();
    ++read.calls;
  };
  for (size_t i = 0; i < reads.size(); ++i) {
    reads[i].request.offset = i * 14'000 + i % 2;
    reads[i].request.len = 40'000;
    reads[i].request.scratch = reads[i].scratch.data();
    ASSERT_IO_OK(file->ReadAsync(reads[i].request, io_, callback, &reads[i], &reads[i].handle,
                                 &reads[i].deleter, nullptr));
  }
  std::vector<void*> polled, aborted;
  for (size_t i = 0; i < reads.size(); ++i) {
    if (reads[i].handle != nullptr) (i % 5 == 4 ? aborted : polled).push_back(reads[i].handle);
  }
  EXPECT_IO_OK(fs().AbortIO(aborted));
  EXPECT_IO_OK(fs().Poll(polled, polled.size()));
  // Nothing is delivered twice. RocksDB's callbacks free what it allocated for the read.
  for (auto* const handles : {&polled, &aborted}) {
    EXPECT_IO_OK(fs().AbortIO(*handles));
    EXPECT_IO_OK(fs().Poll(*handles, handles->size()));
  }
  for (size_t i = 0; i < reads.size(); ++i) {
    const bool was_aborted = reads[i].handle != nullptr && i % 5 == 4;
    EXPECT_EQ(reads[i].found, was_aborted ? rocksdb::IOStatus::Aborted().ToString()
                                          : bytes.substr(i * 14'000 + i % 2, 40'000))
        << i;
    EXPECT_EQ(reads[i].calls, 1) << i;
    if (reads[i].handle != nullptr) reads[i].deleter(reads[i].handle);
  }
}

TEST_P(RocksFsConformance, SkipsInASequentialFile) {
  const std::string bytes = Bytes(20'000, 5);
  Write(Path(1), bytes);
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  ASSERT_IO_OK(fs().NewSequentialFile(Path(1), options_, &file, nullptr));
  std::string scratch(100, '?');
  rocksdb::Slice result;
  ASSERT_IO_OK(file->Read(100, io_, &result, scratch.data(), nullptr));
  EXPECT_EQ(result.ToString(), bytes.substr(0, 100));
  ASSERT_IO_OK(file->Skip(9'000));
  ASSERT_IO_OK(file->Read(100, io_, &result, scratch.data(), nullptr));
  EXPECT_EQ(result.ToString(), bytes.substr(9'100, 100));
}

TEST_P(RocksFsConformance, SequentialReaderSeesWhatIsAppendedLater) {
  const auto file = Create(Path(1));
  ASSERT_IO_OK(file->Append("first", io_, nullptr));
  EXPECT_IO_OK(file->Flush(io_, nullptr));
  std::unique_ptr<rocksdb::FSSequentialFile> reader;
  ASSERT_IO_OK(fs().NewSequentialFile(Path(1), options_, &reader, nullptr));
  std::string scratch(100, '?');
  rocksdb::Slice result;
  ASSERT_IO_OK(reader->Read(100, io_, &result, scratch.data(), nullptr));
  EXPECT_EQ(result.ToString(), "first");
  ASSERT_IO_OK(file->Append("second", io_, nullptr));
  EXPECT_IO_OK(file->Flush(io_, nullptr));
  ASSERT_IO_OK(reader->Read(100, io_, &result, scratch.data(), nullptr));
  EXPECT_EQ(result.ToString(), "second");
}

TEST_P(RocksFsConformance, DirectReadsGiveTheSame) {
  if (kind() == FileSystemKind::kPosix || kind() == FileSystemKind::kMemory) {
    GTEST_SKIP() << "asks for what the machine's file system may not have";
  }
  const std::string bytes = Bytes(50'000, 6);
  Write(Path(1), bytes);
  rocksdb::FileOptions direct;
  direct.use_direct_reads = true;
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  const auto opened = fs().NewRandomAccessFile(Path(1), direct, &file, nullptr);
  if (!opened.ok()) GTEST_SKIP() << "the base has no direct I/O here";
  const size_t alignment = file->GetRequiredBufferAlignment();
  const std::unique_ptr<char, decltype(&free)> memory(
      static_cast<char*>(aligned_alloc(4096, 16'384)), &free);
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{8 * alignment}, 50'000 / alignment * alignment}) {
    rocksdb::Slice result;
    ASSERT_IO_OK(file->Read(offset, 16'384, io_, &result, memory.get(), nullptr));
    EXPECT_EQ(result.ToString(), bytes.substr(offset, 16'384));
  }
}

TEST_P(RocksFsConformance, AMissingFileIsMissing) {
  std::unique_ptr<rocksdb::FSSequentialFile> sequential;
  std::unique_ptr<rocksdb::FSRandomAccessFile> random;
  uint64_t number;
  EXPECT_TRUE(IsMissing(fs().NewSequentialFile(Path(9), options_, &sequential, nullptr)));
  EXPECT_EQ(sequential, nullptr);
  EXPECT_TRUE(IsMissing(fs().NewRandomAccessFile(Path(9), options_, &random, nullptr)));
  EXPECT_EQ(random, nullptr);
  EXPECT_TRUE(IsMissing(fs().GetFileSize(Path(9), io_, &number, nullptr)));
  EXPECT_TRUE(IsMissing(fs().GetFileModificationTime(Path(9), io_, &number, nullptr)));
  EXPECT_TRUE(IsMissing(fs().DeleteFile(Path(9), io_, nullptr)));
  EXPECT_TRUE(IsMissing(fs().RenameFile(Path(9), Path(8), io_, nullptr)));
  EXPECT_TRUE(fs().FileExists(Path(9), io_, nullptr).IsNotFound());
}

TEST_P(RocksFsConformance, AFileInAMissingDirectoryIsNotMade) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's has no directories";
  std::unique_ptr<rocksdb::FSWritableFile> file;
  EXPECT_FALSE(fs().NewWritableFile(Path(1, "missing"), options_, &file, nullptr).ok());
  EXPECT_EQ(file, nullptr);
}

TEST_P(RocksFsConformance, ANewFileReplacesTheOld) {
  Write(Path(1), "a long old one");
  Write(Path(1), "new");
  EXPECT_EQ(Read(Path(1)), "new");
  EXPECT_EQ(List(directory()).size(), 1u);
}

TEST_P(RocksFsConformance, ReopenedFilesAreAppendedTo) {
  for (const std::string expected : {"one", "oneone", "oneoneone"}) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    ASSERT_IO_OK(fs().ReopenWritableFile(Path(1), options_, &file, nullptr));
    ASSERT_IO_OK(file->Append("one", io_, nullptr));
    EXPECT_IO_OK(file->Close(io_, nullptr));
    EXPECT_EQ(Read(Path(1)), expected);
  }
}

TEST_P(RocksFsConformance, AReusedFileHasTheNewNameAndBytes) {
  Write(Path(1), "old");
  std::unique_ptr<rocksdb::FSWritableFile> file;
  ASSERT_IO_OK(fs().ReuseWritableFile(Path(2), Path(1), options_, &file, nullptr));
  ASSERT_IO_OK(file->Append("longer than it was", io_, nullptr));
  EXPECT_IO_OK(file->Close(io_, nullptr));
  EXPECT_EQ(Read(Path(1)), "(missing)");
  EXPECT_EQ(Read(Path(2)), "longer than it was");
}

TEST_P(RocksFsConformance, WritesAtRandom) {
  // RocksDB's own do not make the file, whatever the header says.
  Write(Path(1), "");
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  ASSERT_IO_OK(fs().NewRandomRWFile(Path(1), options_, &file, nullptr));
  std::string expected = Bytes(20'000, 7);
  ASSERT_IO_OK(file->Write(0, expected, io_, nullptr));
  for (const size_t offset : {0, 100, 4'000, 8'192, 19'995}) {
    const std::string piece = Bytes(5, static_cast<uint32_t>(offset) + 8);
    ASSERT_IO_OK(file->Write(offset, piece, io_, nullptr));
    expected.replace(offset, 5, piece);
  }
  std::string scratch(expected.size(), '?');
  rocksdb::Slice result;
  ASSERT_IO_OK(file->Read(0, scratch.size(), io_, &result, scratch.data(), nullptr));
  EXPECT_EQ(result.ToString(), expected);
  EXPECT_IO_OK(file->Sync(io_, nullptr));
  EXPECT_IO_OK(file->Fsync(io_, nullptr));
  EXPECT_IO_OK(file->Close(io_, nullptr));
  EXPECT_EQ(Read(Path(1)), expected);
}

TEST_P(RocksFsConformance, PositionedAppendsRewriteTheTail) {
  if (kind() == FileSystemKind::kPosix || kind() == FileSystemKind::kMemory) {
    GTEST_SKIP() << "only with direct I/O, or not at all";
  }
  const auto file = Create(Path(1));
  const std::string bytes = Bytes(12'288, 9);
  ASSERT_IO_OK(file->PositionedAppend(bytes.substr(0, 4'096), 0, io_, nullptr));
  ASSERT_IO_OK(file->PositionedAppend(bytes.substr(0, 8'192), 0, io_, nullptr));
  ASSERT_IO_OK(file->PositionedAppend(bytes.substr(4'096), 4'096, io_, nullptr));
  ASSERT_IO_OK(file->Truncate(9'000, io_, nullptr));
  EXPECT_IO_OK(file->Fsync(io_, nullptr));
  EXPECT_IO_OK(file->Close(io_, nullptr));
  EXPECT_EQ(Read(Path(1)), bytes.substr(0, 9'000));
}

TEST_P(RocksFsConformance, TruncatesByName) {
  const std::string bytes = Bytes(10'000, 10);
  Write(Path(1), bytes);
  const auto truncated = fs().Truncate(Path(1), 3'333, io_, nullptr);
  if (truncated.IsNotSupported() && !IsOnVolume()) GTEST_SKIP() << "Posix cannot";
  ASSERT_IO_OK(truncated);
  EXPECT_EQ(Read(Path(1)), bytes.substr(0, 3'333));
}

TEST_P(RocksFsConformance, PreallocationDoesNotMoveTheEnd) {
  const auto file = Create(Path(1));
  file->SetPreallocationBlockSize(1 << 20);
  file->PrepareWrite(0, 100, io_, nullptr);
  EXPECT_IO_OK(file->Allocate(0, 4 << 20, io_, nullptr));
  ASSERT_IO_OK(file->Append("short", io_, nullptr));
  EXPECT_IO_OK(file->RangeSync(0, 5, io_, nullptr));
  EXPECT_IO_OK(file->Sync(io_, nullptr));
  EXPECT_EQ(SizeOf(Path(1)), 5u);
  EXPECT_EQ(Read(Path(1)), "short");
  EXPECT_IO_OK(file->Close(io_, nullptr));
  EXPECT_EQ(SizeOf(Path(1)), 5u);
}

TEST_P(RocksFsConformance, HintsChangeNothing) {
  const auto file = Create(Path(1));
  file->SetWriteLifeTimeHint(rocksdb::Env::WLTH_LONG);
  // Posix keeps it only where the kernel takes it.
  if (IsOnVolume()) EXPECT_EQ(file->GetWriteLifeTimeHint(), rocksdb::Env::WLTH_LONG);
  file->SetIOPriority(rocksdb::Env::IO_HIGH);
  EXPECT_EQ(file->GetIOPriority(), rocksdb::Env::IO_HIGH);
  ASSERT_IO_OK(file->Append("bytes", io_, nullptr));
  EXPECT_IO_OK(file->Close(io_, nullptr));
  const auto reader = OpenRandom(Path(1));
  reader->Hint(rocksdb::FSRandomAccessFile::kSequential);
  const auto prefetched = reader->Prefetch(0, 5, io_, nullptr);
  EXPECT_TRUE(prefetched.ok() || prefetched.IsNotSupported()) << prefetched.ToString();
  EXPECT_EQ(ReadAt(*reader, 0, 5), "bytes");
}

TEST_P(RocksFsConformance, ReadersOfADeletedFileGoOn) {
  const std::string bytes = Bytes(10'000, 11);
  Write(Path(1), bytes);
  const auto file = OpenRandom(Path(1));
  ASSERT_IO_OK(fs().DeleteFile(Path(1), io_, nullptr));
  Write(Path(2), Bytes(10'000, 12));
  EXPECT_EQ(ReadAt(*file, 0, 10'000), bytes);
  EXPECT_EQ(Read(Path(1)), "(missing)");
}

TEST_P(RocksFsConformance, UniqueIdsAreTheFilesOwn) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's has none";
  if (kind() == FileSystemKind::kVolumeSimulated) GTEST_SKIP() << "the simulated base has none";
  const auto id_of = [this](const std::string& path) {
    std::string id(64, '\0');
    id.resize(OpenRandom(path)->GetUniqueId(id.data(), id.size()));
    return id;
  };
  Write(Path(1), "one");
  Write(Path(2), "two");
  EXPECT_FALSE(id_of(Path(1)).empty());
  EXPECT_EQ(id_of(Path(1)), id_of(Path(1)));
  EXPECT_NE(id_of(Path(1)), id_of(Path(2)));
  EXPECT_FALSE(id_of(Path(2)).starts_with(id_of(Path(1))));
}

}  // namespace
}  // namespace tifs::rocksfs
