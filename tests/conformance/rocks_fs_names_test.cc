// What is done with names, directories and locks.
#include <algorithm>
#include <ctime>
#include <vector>

#include "rocksfs/io_status.h"
#include "tests/conformance/rocks_fs_conformance.h"

namespace tifs::rocksfs {
namespace {

TEST_P(RocksFsConformance, RenamesToAFreeName) {
  Write(Path(1), "bytes");
  ASSERT_IO_OK(fs().RenameFile(Path(1), Path(2), io_, nullptr));
  EXPECT_EQ(Read(Path(1)), "(missing)");
  EXPECT_EQ(Read(Path(2)), "bytes");
}

TEST_P(RocksFsConformance, RenamesOverAFile) {
  Write(Path(1), "new");
  Write(Path(2), "old");
  ASSERT_IO_OK(fs().RenameFile(Path(1), Path(2), io_, nullptr));
  EXPECT_EQ(Read(Path(1)), "(missing)");
  EXPECT_EQ(Read(Path(2)), "new");
  EXPECT_EQ(List(directory()), std::vector{NameOf(Path(2))});
}

TEST_P(RocksFsConformance, RenamesIntoAnotherDirectory) {
  ASSERT_IO_OK(fs().CreateDir(directory() + "/sub", io_, nullptr));
  Write(Path(1), "bytes");
  ASSERT_IO_OK(fs().RenameFile(Path(1), Path(2, "sub"), io_, nullptr));
  EXPECT_EQ(Read(Path(2, "sub")), "bytes");
}

TEST_P(RocksFsConformance, RenamesADirectoryWithItsFiles) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's has no directories";
  ASSERT_IO_OK(fs().CreateDir(directory() + "/old", io_, nullptr));
  Write(Path(1, "old"), "bytes");
  Write(directory() + "/old/CURRENT", "name");
  ASSERT_IO_OK(fs().RenameFile(directory() + "/old", directory() + "/new", io_, nullptr));
  EXPECT_EQ(Read(Path(1, "new")), "bytes");
  EXPECT_EQ(Read(directory() + "/new/CURRENT"), "name");
  EXPECT_EQ(Read(Path(1, "old")), "(missing)");
  EXPECT_EQ(List(directory()), std::vector<std::string>{"new"});
}

TEST_P(RocksFsConformance, DeletesAFile) {
  Write(Path(1), "bytes");
  EXPECT_IO_OK(fs().FileExists(Path(1), io_, nullptr));
  ASSERT_IO_OK(fs().DeleteFile(Path(1), io_, nullptr));
  EXPECT_TRUE(fs().FileExists(Path(1), io_, nullptr).IsNotFound());
  EXPECT_EQ(List(directory()), std::vector<std::string>{});
}

TEST_P(RocksFsConformance, LinksAreTheSameFile) {
  Write(Path(1), "bytes");
  ASSERT_IO_OK(fs().LinkFile(Path(1), Path(2), io_, nullptr));
  EXPECT_EQ(Read(Path(2)), "bytes");
  if (kind() != FileSystemKind::kMemory && kind() != FileSystemKind::kVolumeSimulated) {
    uint64_t links = 0;
    EXPECT_IO_OK(fs().NumFileLinks(Path(2), io_, &links, nullptr));
    EXPECT_EQ(links, 2u);
    bool same = false;
    EXPECT_IO_OK(fs().AreFilesSame(Path(1), Path(2), io_, &same, nullptr));
    EXPECT_TRUE(same);
    Write(Path(3), "bytes");
    EXPECT_IO_OK(fs().AreFilesSame(Path(1), Path(3), io_, &same, nullptr));
    EXPECT_FALSE(same);
  }
  ASSERT_IO_OK(fs().DeleteFile(Path(1), io_, nullptr));
  EXPECT_EQ(Read(Path(2)), "bytes");
}

TEST_P(RocksFsConformance, ALinkReplacesNothing) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's replaces";
  Write(Path(1), "one");
  Write(Path(2), "two");
  EXPECT_FALSE(fs().LinkFile(Path(1), Path(2), io_, nullptr).ok());
  EXPECT_EQ(Read(Path(2)), "two");
  EXPECT_FALSE(fs().LinkFile(Path(9), Path(3), io_, nullptr).ok());
  EXPECT_EQ(Read(Path(3)), "(missing)");
}

TEST_P(RocksFsConformance, ListsADirectory) {
  ASSERT_IO_OK(fs().CreateDir(directory() + "/sub", io_, nullptr));
  Write(Path(1), "1");
  Write(Path(2), "22");
  Write(directory() + "/CURRENT", "333");
  Write(Path(3, "sub"), "4444");
  std::vector<std::string> expected{NameOf(Path(1)), NameOf(Path(2)), "CURRENT", "sub"};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(List(directory()), expected);
  EXPECT_EQ(List(directory() + "/sub"), std::vector{NameOf(Path(3))});
}

TEST_P(RocksFsConformance, ListsSizes) {
  Write(Path(1), "1");
  Write(directory() + "/CURRENT", "333");
  std::vector<rocksdb::FileAttributes> children;
  ASSERT_IO_OK(fs().GetChildrenFileAttributes(directory(), io_, &children, nullptr));
  ASSERT_EQ(children.size(), 2u);
  for (const auto& child : children) {
    EXPECT_EQ(child.size_bytes, child.name == "CURRENT" ? 3u : 1u) << child.name;
  }
}

TEST_P(RocksFsConformance, AMissingDirectoryCannotBeListed) {
  std::vector<std::string> names;
  if (kind() != FileSystemKind::kMemory) {
    EXPECT_TRUE(IsMissing(fs().GetChildren(directory() + "/missing", io_, &names, nullptr)));
  }
  std::unique_ptr<rocksdb::FSDirectory> opened;
  if (kind() != FileSystemKind::kMemory) {
    EXPECT_FALSE(fs().NewDirectory(directory() + "/missing", io_, &opened, nullptr).ok());
    EXPECT_EQ(opened, nullptr);
  }
}

TEST_P(RocksFsConformance, MakesAndRemovesDirectories) {
  const std::string path = directory() + "/sub";
  bool is_directory = false;
  ASSERT_IO_OK(fs().CreateDir(path, io_, nullptr));
  EXPECT_FALSE(fs().CreateDir(path, io_, nullptr).ok());
  EXPECT_IO_OK(fs().CreateDirIfMissing(path, io_, nullptr));
  EXPECT_IO_OK(fs().FileExists(path, io_, nullptr));
  Write(Path(1, "sub"), "bytes");
  if (kind() != FileSystemKind::kMemory) {
    EXPECT_IO_OK(fs().IsDirectory(path, io_, &is_directory, nullptr));
    EXPECT_TRUE(is_directory);
    EXPECT_IO_OK(fs().IsDirectory(Path(1, "sub"), io_, &is_directory, nullptr));
    EXPECT_FALSE(is_directory);
    EXPECT_FALSE(fs().DeleteDir(path, io_, nullptr).ok());
    EXPECT_EQ(Read(Path(1, "sub")), "bytes");
  }
  ASSERT_IO_OK(fs().DeleteFile(Path(1, "sub"), io_, nullptr));
  ASSERT_IO_OK(fs().DeleteDir(path, io_, nullptr));
  EXPECT_TRUE(fs().FileExists(path, io_, nullptr).IsNotFound());
}

TEST_P(RocksFsConformance, SyncsADirectory) {
  Write(Path(1), "bytes");
  std::unique_ptr<rocksdb::FSDirectory> opened;
  ASSERT_IO_OK(fs().NewDirectory(directory(), io_, &opened, nullptr));
  EXPECT_IO_OK(opened->Fsync(io_, nullptr));
  EXPECT_IO_OK(opened->FsyncWithDirOptions(
      io_, nullptr, rocksdb::DirFsyncOptions(rocksdb::DirFsyncOptions::kNewFileSynced)));
  EXPECT_IO_OK(opened->Close(io_, nullptr));
}

TEST_P(RocksFsConformance, ALockExcludes) {
  const std::string path = directory() + "/LOCK";
  rocksdb::FileLock* first = nullptr;
  rocksdb::FileLock* second = nullptr;
  ASSERT_IO_OK(fs().LockFile(path, io_, &first, nullptr));
  EXPECT_FALSE(fs().LockFile(path, io_, &second, nullptr).ok());
  EXPECT_EQ(second, nullptr);
  ASSERT_IO_OK(fs().UnlockFile(first, io_, nullptr));
  ASSERT_IO_OK(fs().LockFile(path, io_, &first, nullptr));
  ASSERT_IO_OK(fs().UnlockFile(first, io_, nullptr));
}

TEST_P(RocksFsConformance, TellsTimesAndSpace) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's has its own time";
  const auto before = static_cast<uint64_t>(std::time(nullptr));
  Write(Path(1), "bytes");
  uint64_t seconds = 0, free_bytes = 0;
  EXPECT_IO_OK(fs().GetFileModificationTime(Path(1), io_, &seconds, nullptr));
  if (kind() != FileSystemKind::kVolumeSimulated) {
    EXPECT_GE(seconds + 2, before);
    EXPECT_LE(seconds, before + 600);
  }
  EXPECT_IO_OK(fs().GetFreeSpace(directory(), io_, &free_bytes, nullptr));
  EXPECT_GT(free_bytes, 1u << 20);
}

TEST_P(RocksFsConformance, ATestDirectoryCanBeUsed) {
  if (kind() == FileSystemKind::kVolumeSimulated) GTEST_SKIP() << "has no parent directories";
  std::string path;
  ASSERT_IO_OK(fs().GetTestDirectory(io_, &path, nullptr));
  const std::string name = path + "/conformance." + NameOf(Path(1));
  Write(name, "bytes");
  EXPECT_EQ(Read(name), "bytes");
  EXPECT_IO_OK(fs().DeleteFile(name, io_, nullptr));
}

TEST_P(RocksFsConformance, ALoggerWrites) {
  if (kind() == FileSystemKind::kVolumeSimulated) GTEST_SKIP() << "the simulated base has none";
  std::shared_ptr<rocksdb::Logger> logger;
  ASSERT_IO_OK(fs().NewLogger(directory() + "/LOG", io_, &logger, nullptr));
  rocksdb::Error(logger, "a line");
  logger->Flush();
  EXPECT_NE(Read(directory() + "/LOG").find("a line"), std::string::npos);
}

TEST_P(RocksFsConformance, PathsMayBeWrittenInSeveralWays) {
  if (kind() == FileSystemKind::kMemory) GTEST_SKIP() << "RocksDB's takes letters as they are";
  if (kind() == FileSystemKind::kVolumeSimulated) GTEST_SKIP() << "the simulated base, too";
  ASSERT_IO_OK(fs().CreateDir(directory() + "/sub", io_, nullptr));
  Write(Path(1), "bytes");
  EXPECT_EQ(Read(directory() + "//" + NameOf(Path(1))), "bytes");
  EXPECT_EQ(Read(directory() + "/./" + NameOf(Path(1))), "bytes");
  EXPECT_EQ(Read(directory() + "/sub/../" + NameOf(Path(1))), "bytes");
  EXPECT_IO_OK(fs().FileExists(directory() + "/", io_, nullptr));
}

}  // namespace
}  // namespace tifs::rocksfs
