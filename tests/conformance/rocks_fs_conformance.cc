#include "tests/conformance/rocks_fs_conformance.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>

#include "base/clock.h"
#include "block/open_device.h"
#include "rocksfs/io_status.h"
#include "sim/sim_block_device.h"

namespace tifs::rocksfs {
namespace {

constexpr uint64_t kDeviceBytes = 64 << 20;

std::string MakeTemporary() {
  std::string name = std::filesystem::temp_directory_path() / "tifs-rocksfs-XXXXXX";
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

void FormatFile(const std::string& path) {
  std::ofstream(path).close();
  std::filesystem::resize_file(path, kDeviceBytes);
  const auto device = block::OpenDevice("file:" + path);
  ASSERT_TRUE(device.ok()) << device.error().ToString();
  ASSERT_TRUE(volume::Volume::Format(**device, {.name = "test"}, SystemClock()).ok());
}

}  // namespace

std::string Bytes(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

RocksFsConformance::RocksFsConformance() : temporary_(MakeTemporary()) {
  directory_ = temporary_ + "/db";
  switch (kind()) {
    case FileSystemKind::kPosix: fs_ = rocksdb::FileSystem::Default(); break;
    case FileSystemKind::kMemory:
      memory_env_.reset(rocksdb::NewMemEnv(rocksdb::Env::Default()));
      fs_ = memory_env_->GetFileSystem();
      break;
    case FileSystemKind::kVolumeInMemory: OpenVolume("mem:64MiB"); break;
    case FileSystemKind::kVolumeInFile:
      FormatFile(temporary_ + "/disk");
      OpenVolume("file:" + temporary_ + "/disk");
      break;
    case FileSystemKind::kVolumeSimulated: {
      auto device =
          std::make_unique<sim::SimBlockDevice>(sim::SimDeviceOptions{.size_bytes = kDeviceBytes});
      EXPECT_TRUE(volume::Volume::Format(*device, {}, SystemClock()).ok());
      auto volume = volume::Volume::Open(std::move(device), {.owner = "test"});
      EXPECT_TRUE(volume.ok());
      base_disk_ = std::make_unique<sim::PowerCutDisk>();
      EXPECT_TRUE(base_disk_->MakeDirectory("/base").ok());
      directory_ = "/base/db";
      auto opened = RocksFileSystem::Open(SharedVolume::Of(*std::move(volume)),
                                          std::make_shared<sim::PowerCutFs>(*base_disk_),
                                          {.root = "kv", .base_directory = "/base"});
      EXPECT_TRUE(opened.ok());
      fs_ = *std::move(opened);
    }
  }
  EXPECT_IO_OK(fs_->CreateDirIfMissing(directory_, io_, nullptr));
}

RocksFsConformance::~RocksFsConformance() {
  fs_.reset();
  std::filesystem::remove_all(temporary_);
}

void RocksFsConformance::OpenVolume(const std::string& device) {
  auto volume = volumes_.Open(device);
  ASSERT_TRUE(volume.ok()) << volume.error().ToString();
  auto opened = RocksFileSystem::Open(*std::move(volume), rocksdb::FileSystem::Default(),
                                      {.root = "kv", .base_directory = temporary_});
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  fs_ = *std::move(opened);
}

std::string RocksFsConformance::Path(int number, const std::string& folder) const {
  std::array<char, 32> digits;
  std::snprintf(digits.data(), digits.size(), "%06d", number);
  const std::string in = directory_ + "/" + (folder.empty() ? "" : folder + "/");
  switch (std::get<1>(GetParam())) {
    case NameKind::kTable: return in + digits.data() + ".sst";
    case NameKind::kManifest: return in + "MANIFEST-" + digits.data();
    case NameKind::kLog: return in + digits.data() + ".log";
    case NameKind::kOther: return in + "file" + digits.data();
  }
  return in;
}

std::unique_ptr<rocksdb::FSWritableFile> RocksFsConformance::Create(const std::string& path) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  EXPECT_IO_OK(fs_->NewWritableFile(path, options_, &file, nullptr));
  return file;
}

void RocksFsConformance::Write(const std::string& path, const std::string& bytes) {
  const auto file = Create(path);
  ASSERT_NE(file, nullptr);
  EXPECT_IO_OK(file->Append(bytes, io_, nullptr));
  EXPECT_IO_OK(file->Sync(io_, nullptr));
  EXPECT_IO_OK(file->Close(io_, nullptr));
}

std::string RocksFsConformance::Read(const std::string& path) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  const rocksdb::IOStatus opened = fs_->NewSequentialFile(path, options_, &file, nullptr);
  if (IsMissing(opened)) return "(missing)";
  if (!opened.ok()) return "(error " + opened.ToString() + ")";
  std::string bytes;
  std::array<char, 10'000> scratch;
  while (true) {
    rocksdb::Slice piece;
    const auto read = file->Read(scratch.size(), io_, &piece, scratch.data(), nullptr);
    if (!read.ok()) return "(error " + read.ToString() + ")";
    bytes.append(piece.data(), piece.size());
    if (piece.size() < scratch.size()) return bytes;
  }
}

std::unique_ptr<rocksdb::FSRandomAccessFile> RocksFsConformance::OpenRandom(
    const std::string& path) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  EXPECT_IO_OK(fs_->NewRandomAccessFile(path, options_, &file, nullptr));
  return file;
}

std::string RocksFsConformance::ReadAt(const rocksdb::FSRandomAccessFile& file, uint64_t offset,
                                       size_t size) {
  std::string scratch(size, '?');
  rocksdb::Slice result;
  const auto read = file.Read(offset, size, io_, &result, scratch.data(), nullptr);
  return read.ok() ? result.ToString() : "(error " + read.ToString() + ")";
}

uint64_t RocksFsConformance::SizeOf(const std::string& path) {
  uint64_t size = UINT64_MAX;
  EXPECT_IO_OK(fs_->GetFileSize(path, io_, &size, nullptr));
  return size;
}

std::vector<std::string> RocksFsConformance::List(const std::string& path) {
  std::vector<std::string> names;
  EXPECT_IO_OK(fs_->GetChildren(path, io_, &names, nullptr));
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

std::string ParameterName(
    const testing::TestParamInfo<std::tuple<FileSystemKind, NameKind>>& info) {
  const char* kinds[] = {"Posix", "Memory", "VolumeInMemory", "VolumeInFile", "VolumeSimulated"};
  const char* names[] = {"Table", "Manifest", "Log", "Other"};
  return std::string(kinds[static_cast<int>(std::get<0>(info.param))]) +
         names[static_cast<int>(std::get<1>(info.param))];
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(
    FileSystems, RocksFsConformance,
    testing::Combine(testing::Values(FileSystemKind::kPosix, FileSystemKind::kMemory,
                                     FileSystemKind::kVolumeInMemory, FileSystemKind::kVolumeInFile,
                                     FileSystemKind::kVolumeSimulated),
                     testing::Values(NameKind::kTable, NameKind::kManifest, NameKind::kLog,
                                     NameKind::kOther)),
    ParameterName);

}  // namespace tifs::rocksfs
