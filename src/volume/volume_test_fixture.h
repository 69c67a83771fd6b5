#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "block/mem_device.h"
#include "volume/volume.h"

namespace tifs::volume {

// A disk in memory that asks for aligned memory, as a real one does, and can be made to fail.
class TestDisk : public block::ForwardingDevice {
 public:
  struct Faults {
    std::atomic<bool> writes = false;
    std::atomic<bool> reads = false;
    std::atomic<bool> hold_writes = false;  // they wait until it is false again
    std::atomic<uint64_t> read_count = 0;
    std::atomic<uint64_t> write_count = 0;
    std::atomic<uint64_t> discarded_bytes = 0;
  };

  TestDisk(block::BlockDevice& base, Faults& faults)
      : block::ForwardingDevice(base), faults_(faults) {}

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override {
    ++faults_.read_count;
    if (faults_.reads) return Error(ErrorCode::kIo, "test");
    return ForwardingDevice::DoRead(offset_bytes, out);
  }
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data,
                 block::Durability durability) override {
    ++faults_.write_count;
    faults_.hold_writes.wait(true);
    if (faults_.writes) return Error(ErrorCode::kIo, "test");
    return ForwardingDevice::DoWrite(offset_bytes, data, durability);
  }
  Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) override {
    faults_.discarded_bytes += size_bytes;
    return ForwardingDevice::DoDiscard(offset_bytes, size_bytes);
  }
  void DoRun(std::span<block::IoRequest> requests) override { BlockDevice::DoRun(requests); }

 private:
  Faults& faults_;
};

// A formatted volume on a disk in memory.
class VolumeTest : public testing::Test {
 protected:
  explicit VolumeTest(uint64_t device_bytes = 32 << 20, uint64_t unit_bytes = 64 << 10)
      : unit_bytes_(unit_bytes) {
    block::MemDeviceOptions options;
    options.size_bytes = device_bytes;
    options.capacity_bytes = 8 * device_bytes;
    disk_ = std::move(block::MemDevice::Open(options)).value();
    options_.background = false;
    options_.transfer_threads = 0;
    options_.clock = &clock_;
    options_.owner = "volume_test";
  }

  void SetUp() override {
    FormatOptions format{.name = "test", .extent_unit_bytes = unit_bytes_};
    ASSERT_TRUE(Volume::Format(*disk_, format, clock_).ok());
    Open();
  }
  void TearDown() override {
    if (volume_ && !volume_->Latched()) {
      const Status sound = volume_->Verify();
      EXPECT_TRUE(sound.ok()) << sound.error().ToString();
    }
  }

  std::unique_ptr<block::BlockDevice> Disk() { return std::make_unique<TestDisk>(*disk_, faults_); }
  void Open() {
    auto volume = Volume::Open(Disk(), options_);
    ASSERT_TRUE(volume.ok()) << volume.error().ToString();
    volume_ = std::move(*volume);
    auto root = volume_->OpenRoot("kv", true);
    ASSERT_TRUE(root.ok()) << root.error().ToString();
    root_ = std::move(*root);
  }
  // As after a clean stop.
  void Reopen() {
    root_.reset();
    ASSERT_TRUE(volume_->Close().ok());
    volume_.reset();
    Open();
  }
  // As after a kill: nothing more reaches the disk.
  void Kill() {
    faults_.writes = true;
    root_.reset();
    volume_.reset();
    faults_.writes = false;
    Open();
  }

  std::unique_ptr<File> Create(std::string_view path) {
    auto file = root_->Open(path, {.write = true, .create = true});
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? std::move(*file) : nullptr;
  }
  std::string Read(File& file) {
    std::string bytes(file.size_bytes(), '?');
    const auto read = file.ReadAt(0, bytes);
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    EXPECT_EQ(*read, bytes.size());
    return bytes;
  }
  std::string Read(std::string_view path) {
    auto file = root_->Open(path, {});
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? Read(**file) : "(none)";
  }
  void Write(std::string_view path, std::string_view bytes) {
    auto file = Create(path);
    ASSERT_TRUE(file->Append(bytes).ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(file->Close().ok());
  }

  const uint64_t unit_bytes_;
  ManualClock clock_;
  std::unique_ptr<block::MemDevice> disk_;
  TestDisk::Faults faults_;
  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Root> root_;
};

// Bytes that tell where they are.
inline std::string Pattern(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

inline ErrorCode CodeOf(const Status& status) {
  EXPECT_FALSE(status.ok());
  return status.ok() ? ErrorCode::kConflict : status.error().code();
}
template <typename T>
ErrorCode CodeOf(const Result<T>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? ErrorCode::kConflict : result.error().code();
}

}  // namespace tifs::volume
