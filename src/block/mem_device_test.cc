#include "block/mem_device.h"

#include <gtest/gtest.h>

#include <string>

namespace tifs::block {
namespace {

TEST(MemDeviceTest, RefusesSizesThatAreNoWholeBlocks) {
  EXPECT_EQ(MemDevice::Open({.size_bytes = 0}).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(MemDevice::Open({.size_bytes = 1000}).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(MemDevice::Open({.size_bytes = 4096, .block_bytes = 100}).error().code(),
            ErrorCode::kInvalid);
  EXPECT_EQ(MemDevice::Open({.size_bytes = 512, .block_bytes = 4096}).error().code(),
            ErrorCode::kInvalid);
}

TEST(MemDeviceTest, CannotBeLargerThanTheAddressSpace) {
  EXPECT_EQ(MemDevice::Open({.size_bytes = uint64_t{1} << 62}).error().code(),
            ErrorCode::kNoMemory);
}

TEST(MemDeviceTest, DiscardsFractionsOfAPageToo) {
  auto device = MemDevice::Open({.size_bytes = 64 << 10});
  ASSERT_TRUE(device.ok());
  const std::string ones(64 << 10, '\1');
  ASSERT_TRUE((*device)->Write(0, ones).ok());
  ASSERT_TRUE((*device)->Discard(512, 512).ok());
  ASSERT_TRUE((*device)->Discard(5 * 512, 40 * 512).ok());
  std::string expected = ones;
  expected.replace(512, 512, 512, '\0');
  expected.replace(5 * 512, 40 * 512, 40 * 512, '\0');
  std::string found(64 << 10, 'x');
  ASSERT_TRUE((*device)->Read(0, found).ok());
  EXPECT_TRUE(found == expected);
}

TEST(MemDeviceTest, GrowsUpToItsCapacityWithZeros) {
  auto opened = MemDevice::Open({.size_bytes = 4096, .capacity_bytes = 16384});
  ASSERT_TRUE(opened.ok());
  MemDevice& device = **opened;
  EXPECT_EQ(device.Resize(32768).error().code(), ErrorCode::kInvalid);
  ASSERT_TRUE(device.Resize(16384).ok());
  EXPECT_EQ(device.size_bytes(), 4096u) << "not before RefreshSize";
  ASSERT_EQ(*device.RefreshSize(), 16384u);
  std::string found(4096, 'x');
  ASSERT_TRUE(device.Read(12288, found).ok());
  EXPECT_EQ(found, std::string(4096, '\0'));

  ASSERT_TRUE(device.Write(12288, std::string(4096, 'y')).ok());
  ASSERT_TRUE(device.Resize(8192).ok());
  ASSERT_TRUE(device.Resize(16384).ok());
  ASSERT_TRUE(device.RefreshSize().ok());
  ASSERT_TRUE(device.Read(12288, found).ok());
  EXPECT_EQ(found, std::string(4096, '\0')) << "what a shrink cut off is gone";
}

}  // namespace
}  // namespace tifs::block
