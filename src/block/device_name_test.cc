#include "block/device_name.h"

#include <gtest/gtest.h>

#include <string>

namespace tifs::block {
namespace {

TEST(DeviceNameTest, KnowsTheFourForms) {
  const auto disk = ParseDeviceName("/dev/disk/by-id/nvme-1");
  ASSERT_TRUE(disk.ok());
  EXPECT_EQ(disk.value().kind, DeviceKind::kBlock);
  EXPECT_EQ(disk.value().path, "/dev/disk/by-id/nvme-1");

  const auto file = ParseDeviceName("file:/var/lib/a b%20?.img");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file.value().kind, DeviceKind::kFile);
  EXPECT_EQ(file.value().path, "/var/lib/a b%20?.img") << "nothing is decoded";
  EXPECT_EQ(file.value().text, "file:/var/lib/a b%20?.img");
  EXPECT_EQ(ParseDeviceName("file:///x.img").value().path, "/x.img");

  const auto memory = ParseDeviceName("mem:64MiB");
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(memory.value().kind, DeviceKind::kMemory);
  EXPECT_EQ(memory.value().size_bytes, 64u << 20);

  const auto spdk = ParseDeviceName("spdk:trtype=PCIe,traddr=0000:04:00.0");
  ASSERT_TRUE(spdk.ok());
  EXPECT_EQ(spdk.value().kind, DeviceKind::kSpdk);
  EXPECT_EQ(spdk.value().parameters, "trtype=PCIe,traddr=0000:04:00.0");
}

TEST(DeviceNameTest, ReadsSizesWithUnits) {
  const auto size = [](const char* text) { return ParseDeviceName(text).value().size_bytes; };
  EXPECT_EQ(size("mem:4096"), 4096u);
  EXPECT_EQ(size("mem:4096B"), 4096u);
  EXPECT_EQ(size("mem:4K"), 4096u);
  EXPECT_EQ(size("mem:4k"), 4096u);
  EXPECT_EQ(size("mem:4KiB"), 4096u);
  EXPECT_EQ(size("mem:4KB"), 4000u);
  EXPECT_EQ(size("mem:3G"), uint64_t{3} << 30);
  EXPECT_EQ(size("mem:1.5K"), 1536u);
  EXPECT_EQ(size("mem:1TB"), 1'000'000'000'000u);
}

TEST(DeviceNameTest, RefusesWhatIsNoDevice) {
  for (const char* text : {"", "x", "/dev/", "/x.img", "file:", "file:x.img", "file://host/x",
                           "mem:", "mem:x", "mem:4X", "mem:4KiX", "mem:-1", "mem:1.5",
                           "mem:99999999999999999999", "mem:99999999999T", "nvme:0"}) {
    const auto name = ParseDeviceName(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.error().code(), ErrorCode::kInvalid) << text;
  }
  EXPECT_FALSE(ParseDeviceName(std::string_view("file:/a\0b", 9)).ok());
}

TEST(DeviceNameTest, SaysWhatWouldBeRight) {
  const auto path = ParseDeviceName("/srv/x.img");
  ASSERT_FALSE(path.ok());
  EXPECT_NE(path.error().detail().find("file:/srv/x.img"), std::string_view::npos);
}

TEST(DeviceNameTest, IsEncodedAsAParameter) {
  const std::string device = "file:/a&b?c#d%e f\n";
  EXPECT_EQ(EncodeDeviceParameter(device), "file:/a%26b%3Fc%23d%25e%20f%0A");
  EXPECT_EQ(EncodeDeviceParameter("/dev/nvme1n1"), "/dev/nvme1n1");
  EXPECT_EQ(DecodeDeviceParameter(EncodeDeviceParameter(device)).value(), device);
  EXPECT_EQ(DecodeDeviceParameter("%2fdev%2Fsda").value(), "/dev/sda");
  EXPECT_EQ(DecodeDeviceParameter("plain").value(), "plain");
}

TEST(DeviceNameTest, RefusesEscapesThatAreNone) {
  for (const char* text : {"%", "%2", "a%zz", "a%2", "%00"}) {
    EXPECT_FALSE(DecodeDeviceParameter(text).ok()) << text;
  }
}

}  // namespace
}  // namespace tifs::block
