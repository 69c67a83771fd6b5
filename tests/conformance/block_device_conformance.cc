#include "tests/conformance/block_device_conformance.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "block/mem_device.h"
#include "block/unique_fd.h"
#include "sim/sim_block_device.h"

namespace tifs::block {
namespace {

class MemUnderTest : public DeviceUnderTest {
 public:
  Result<std::unique_ptr<BlockDevice>> Open(DeviceOptions options) override {
    auto opened = MemDevice::Open({.size_bytes = kSizeBytes,
                                   .capacity_bytes = 2 * kSizeBytes,
                                   .read_only = options.read_only});
    if (!opened) return std::move(opened).error();
    device_ = opened.value().get();
    return std::unique_ptr<BlockDevice>(*std::move(opened));
  }
  bool Resize(uint64_t size_bytes) override { return device_->Resize(size_bytes).ok(); }
  std::string_view name() const override { return ""; }

 private:
  MemDevice* device_ = nullptr;
};

class SimUnderTest : public DeviceUnderTest {
 public:
  Result<std::unique_ptr<BlockDevice>> Open(DeviceOptions options) override {
    auto opened = std::make_unique<sim::SimBlockDevice>(
        sim::SimDeviceOptions{.size_bytes = kSizeBytes, .read_only = options.read_only});
    device_ = opened.get();
    return std::unique_ptr<BlockDevice>(std::move(opened));
  }
  bool Resize(uint64_t size_bytes) override {
    device_->Resize(size_bytes);
    return true;
  }
  std::string_view name() const override { return ""; }

 private:
  sim::SimBlockDevice* device_ = nullptr;
};

class FileUnderTest : public DeviceUnderTest {
 public:
  explicit FileUnderTest(IoBackend backend)
      : backend_(backend), path_(TemporaryFile(kSizeBytes)), name_("file:" + path_) {}
  ~FileUnderTest() override { unlink(path_.c_str()); }

  std::string Missing() const override {
    if (backend_ == IoBackend::kPread) return "";
    const auto device = OpenDevice(name_, {.exclusive = false, .backend = backend_});
    return device ? "" : "no io_uring here: " + device.error().ToString();
  }
  Result<std::unique_ptr<BlockDevice>> Open(DeviceOptions options) override {
    options.backend = backend_;
    return OpenDevice(name_, options);
  }
  bool Resize(uint64_t size_bytes) override {
    return truncate(path_.c_str(), static_cast<off_t>(size_bytes)) == 0;
  }
  std::string_view name() const override { return name_; }

 private:
  const IoBackend backend_;
  const std::string path_;
  const std::string name_;
};

// A file that the kernel shows as a disk. Needs root and a kernel with loop devices.
class LoopUnderTest : public DeviceUnderTest {
 public:
  LoopUnderTest() : path_(TemporaryFile(kSizeBytes)) {
    const UniqueFd file(open(path_.c_str(), O_RDWR | O_CLOEXEC));
    const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) {
      missing_ = std::string("no loop device: /dev/loop-control: ") + strerror(errno);
      return;
    }
    // Another process may take the number that we were told; then the next one is free.
    for (int attempt = 0; attempt < 20; ++attempt) {
      const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
      name_ = "/dev/loop" + std::to_string(number);
      loop_ = UniqueFd(open(name_.c_str(), O_RDWR | O_CLOEXEC));
      if (!loop_) break;
      if (ioctl(loop_.get(), LOOP_SET_FD, file.get()) == 0) return;
      if (errno != EBUSY) break;
    }
    missing_ = "no loop device: " + name_ + ": " + strerror(errno);
    loop_ = UniqueFd();
  }
  ~LoopUnderTest() override {
    if (loop_) ioctl(loop_.get(), LOOP_CLR_FD, 0);
    unlink(path_.c_str());
  }

  std::string Missing() const override { return missing_; }
  Result<std::unique_ptr<BlockDevice>> Open(DeviceOptions options) override {
    return OpenDevice(name_, options);
  }
  bool Resize(uint64_t size_bytes) override {
    return truncate(path_.c_str(), static_cast<off_t>(size_bytes)) == 0 &&
           ioctl(loop_.get(), LOOP_SET_CAPACITY) == 0;
  }
  std::string_view name() const override { return name_; }

 private:
  const std::string path_;
  std::string name_;
  std::string missing_;
  UniqueFd loop_;
};

const Kind kKinds[] = {
    {"Mem", []() -> std::unique_ptr<DeviceUnderTest> { return std::make_unique<MemUnderTest>(); }},
    {"Sim", []() -> std::unique_ptr<DeviceUnderTest> { return std::make_unique<SimUnderTest>(); }},
    {"FileUring",
     []() -> std::unique_ptr<DeviceUnderTest> {
       return std::make_unique<FileUnderTest>(IoBackend::kUring);
     }},
    {"FilePread",
     []() -> std::unique_ptr<DeviceUnderTest> {
       return std::make_unique<FileUnderTest>(IoBackend::kPread);
     }},
    {"Loop",
     []() -> std::unique_ptr<DeviceUnderTest> { return std::make_unique<LoopUnderTest>(); }},
};

INSTANTIATE_TEST_SUITE_P(All, BlockDeviceConformance, testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace

std::string TemporaryFile(uint64_t size_bytes) {
  const char* const directory = getenv("TMPDIR");
  std::string path = std::string(directory != nullptr ? directory : "/tmp") + "/block.XXXXXX";
  const UniqueFd fd(mkostemp(path.data(), O_CLOEXEC));
  CHECK(fd.get() >= 0);
  CHECK(ftruncate(fd.get(), static_cast<off_t>(size_bytes)) == 0);
  return path;
}

void BlockDeviceConformance::SetUp() {
  medium_ = GetParam().make();
  if (const std::string why = medium_->Missing(); !why.empty()) GTEST_SKIP() << why;
  Reopen({});
}

void BlockDeviceConformance::Reopen(const DeviceOptions& options) {
  device_.reset();
  auto opened = medium_->Open(options);
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  device_ = *std::move(opened);
}

DmaBuffer BlockDeviceConformance::Blank(uint64_t blocks) {
  auto buffer = device_->AllocateBuffer(blocks * block());
  CHECK(buffer.ok());
  std::ranges::fill(buffer.value().bytes(), '\x5a');
  return *std::move(buffer);
}

DmaBuffer BlockDeviceConformance::Filled(uint64_t blocks, uint64_t seed) {
  DmaBuffer buffer = Blank(blocks);
  Random random(seed);
  for (char& byte : buffer.bytes()) byte = static_cast<char>(random.Next());
  return buffer;
}

bool BlockDeviceConformance::IsZero(uint64_t offset_bytes, uint64_t size_bytes) {
  DmaBuffer found = Blank(size_bytes / block());
  EXPECT_TRUE(device_->Read(offset_bytes, found.bytes()).ok());
  return std::ranges::all_of(found.bytes(), [](char byte) { return byte == 0; });
}

}  // namespace tifs::block
