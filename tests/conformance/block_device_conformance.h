#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "block/block_device.h"
#include "block/open_device.h"

// What block_device.h promises, for every kind of device. Add one to `Kinds()` in
// block_device_conformance.cc and the whole suite runs on it.
namespace tifs::block {

// A medium that can be opened again and again, and keeps its contents meanwhile.
class DeviceUnderTest {
 public:
  static constexpr uint64_t kSizeBytes = 8 << 20;

  virtual ~DeviceUnderTest() = default;
  // Why there is none on this machine; empty if there is.
  virtual std::string Missing() const { return ""; }
  virtual Result<std::unique_ptr<BlockDevice>> Open(DeviceOptions options) = 0;
  // The medium below grows or shrinks. False if this kind's cannot.
  virtual bool Resize(uint64_t size_bytes) = 0;
  // What a second opening meets while the first lives; empty if it gets a medium of its own.
  virtual std::string_view name() const = 0;  // for another process to open; empty: it cannot
};

struct Kind {
  const char* name;
  std::unique_ptr<DeviceUnderTest> (*make)();
};

// Where to make files; with direct I/O as far as this machine's temporary directory has it.
std::string TemporaryFile(uint64_t size_bytes);

class BlockDeviceConformance : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override;

  BlockDevice& device() { return *device_; }
  DeviceUnderTest& medium() { return *medium_; }
  void Reopen(const DeviceOptions& options);
  void Close() { device_.reset(); }
  uint64_t block() const { return device_->geometry().block_bytes; }

  // A buffer of whole blocks as the device wants it, filled with `seed`'s bytes.
  DmaBuffer Filled(uint64_t blocks, uint64_t seed);
  DmaBuffer Blank(uint64_t blocks);
  static bool Same(const DmaBuffer& a, const DmaBuffer& b) {
    return std::string_view(a.data(), a.size()) == std::string_view(b.data(), b.size());
  }
  bool IsZero(uint64_t offset_bytes, uint64_t size_bytes);

 private:
  std::unique_ptr<DeviceUnderTest> medium_;
  std::unique_ptr<BlockDevice> device_;
};

}  // namespace tifs::block
