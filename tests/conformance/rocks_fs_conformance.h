#pragma once

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "rocksfs/rocks_file_system.h"
#include "sim/power_cut_fs.h"

namespace tifs::rocksfs {

// What rocksdb::FileSystem promises, over RocksDB's own file systems and ours.
enum class FileSystemKind : uint8_t {
  kPosix,
  kMemory,
  kVolumeInMemory,   // over Posix
  kVolumeInFile,     // over Posix
  kVolumeSimulated,  // over the simulated file system
};
// How the file that a case is about is called, which decides where ours puts it.
enum class NameKind : uint8_t { kTable, kManifest, kLog, kOther };

class RocksFsConformance : public testing::TestWithParam<std::tuple<FileSystemKind, NameKind>> {
 protected:
  RocksFsConformance();
  ~RocksFsConformance() override;

  rocksdb::FileSystem& fs() { return *fs_; }
  FileSystemKind kind() const { return std::get<0>(GetParam()); }
  // Whether files under test lie on a volume.
  bool IsOnVolume() const {
    return kind() >= FileSystemKind::kVolumeInMemory && std::get<1>(GetParam()) < NameKind::kLog;
  }
  const std::string& directory() const { return directory_; }
  // A name of the kind under test, in `folder` below the directory ("" itself).
  std::string Path(int number, const std::string& folder = "") const;
  static std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  // Closed and synced.
  void Write(const std::string& path, const std::string& bytes);
  // By a sequential file; "(missing)", or "(error …)".
  std::string Read(const std::string& path);
  std::unique_ptr<rocksdb::FSWritableFile> Create(const std::string& path);
  std::unique_ptr<rocksdb::FSRandomAccessFile> OpenRandom(const std::string& path);
  std::string ReadAt(const rocksdb::FSRandomAccessFile& file, uint64_t offset, size_t size);
  uint64_t SizeOf(const std::string& path);
  std::vector<std::string> List(const std::string& path);  // sorted

  const rocksdb::IOOptions io_;
  const rocksdb::FileOptions options_;

 private:
  void OpenVolume(const std::string& device);

  std::string temporary_;
  std::string directory_;
  std::unique_ptr<rocksdb::Env> memory_env_;
  std::unique_ptr<sim::PowerCutDisk> base_disk_;
  OpenVolumes volumes_;
  std::shared_ptr<rocksdb::FileSystem> fs_;
};

// Bytes that tell where they are.
std::string Bytes(size_t size, uint32_t seed);

#define EXPECT_IO_OK(expression)                         \
  do {                                                   \
    const rocksdb::IOStatus io_status = (expression);    \
    EXPECT_TRUE(io_status.ok()) << io_status.ToString(); \
  } while (false)
#define ASSERT_IO_OK(expression)                         \
  do {                                                   \
    const rocksdb::IOStatus io_status = (expression);    \
    ASSERT_TRUE(io_status.ok()) << io_status.ToString(); \
  } while (false)

}  // namespace tifs::rocksfs
