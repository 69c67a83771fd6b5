#include "rocksfs/registry.h"

#include <gtest/gtest.h>
#include <rocksdb/convenience.h>
#include <rocksdb/file_system.h>
#include <rocksdb/utilities/object_registry.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/clock.h"
#include "block/open_device.h"
#include "rocksfs/shared_volume.h"
#include "volume/stored_profile.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::FileSystem;

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    temporary_ = std::filesystem::temp_directory_path() / "tifs-registry-XXXXXX";
    EXPECT_NE(mkdtemp(temporary_.data()), nullptr);
    config_.registry = rocksdb::ObjectRegistry::NewInstance();
    EXPECT_EQ(RegisterVolumeFileSystem(*config_.registry->AddLibrary("test"), volumes_), 1);
  }
  ~RegistryTest() override { std::filesystem::remove_all(temporary_); }

  std::string Disk(const std::string& name, bool formatted = true) {
    const std::string path = temporary_ + "/" + name;
    std::ofstream(path).close();
    std::filesystem::resize_file(path, 8 << 20);
    if (formatted) {
      const auto device = block::OpenDevice("file:" + path);
      EXPECT_TRUE(volume::Volume::Format(**device, {}, SystemClock()).ok());
    }
    return "file:" + path;
  }
  std::shared_ptr<FileSystem> Open(const std::string& device, const std::string& parameters) {
    std::shared_ptr<FileSystem> opened;
    status_ = FileSystem::CreateFromString(config_, "tifs-volume://" + device + "?" + parameters,
                                           &opened);
    return opened;
  }
  std::string Base() const { return "&base=" + temporary_; }
  void Write(FileSystem& fs, const std::string& path, const std::string& text) {
    EXPECT_TRUE(rocksdb::WriteStringToFile(&fs, text, path, true).ok());
  }
  std::string Read(FileSystem& fs, const std::string& path) {
    std::string text;
    return rocksdb::ReadFileToString(&fs, path, &text).ok() ? text : "(missing)";
  }

  std::string temporary_;
  const std::shared_ptr<OpenVolumes> volumes_ = std::make_shared<OpenVolumes>();
  rocksdb::ConfigOptions config_;
  rocksdb::Status status_;
};

TEST_F(RegistryTest, OpensByUri) {
  const auto fs = Open(Disk("disk"), "root=kv" + Base());
  ASSERT_NE(fs, nullptr) << status_.ToString();
  Write(*fs, "/1.sst", "on the volume");
  EXPECT_EQ(Read(*fs, "/1.sst"), "on the volume");
  EXPECT_FALSE(std::filesystem::exists(temporary_ + "/1.sst"));
  Write(*fs, "/1.log", "on the base");
  EXPECT_TRUE(std::filesystem::exists(temporary_ + "/1.log"));
}

TEST_F(RegistryTest, AProfileOnTheVolumeTurnsItsSchedulerOn) {
  const std::string disk = Disk("disk");
  const auto is_scheduled = [&](const std::string& parameters) {
    const auto fs = Open(disk, "root=kv" + Base() + parameters);
    EXPECT_NE(fs, nullptr) << status_.ToString();
    const auto share = volumes_->Open(disk);
    return (*share)->scheduler()->enabled();
  };
  EXPECT_FALSE(is_scheduled(""));
  {
    const auto share = *volumes_->Open(disk);
    ASSERT_TRUE(volume::SaveDeviceProfile(share->volume(), {.read_iops = 1000,
                                                            .read_bytes_per_s = 1'000'000,
                                                            .write_iops = 1000,
                                                            .write_bytes_per_s = 1'000'000,
                                                            .latency_goal_ns = 1'000'000})
                    .ok());
  }
  EXPECT_TRUE(is_scheduled(""));
  EXPECT_FALSE(is_scheduled("&scheduler=off"));
  EXPECT_TRUE(is_scheduled("&scheduler=on"));
  // One that is damaged does not keep anybody from the volume.
  {
    const auto fs = Open(disk, "root=.tifs" + Base());
    const auto share = *volumes_->Open(disk);
    const auto root = *share->volume().OpenRoot(block::DeviceProfile::kRoot, false);
    ASSERT_TRUE(root->Truncate(block::DeviceProfile::kFile, 30).ok());
  }
  EXPECT_FALSE(is_scheduled(""));
}

TEST_F(RegistryTest, RegistersOnce) {
  const auto library = config_.registry->AddLibrary("other");
  EXPECT_EQ(RegisterVolumeFileSystem(*library, std::make_shared<OpenVolumes>()), 1);
  EXPECT_EQ(RegisterVolumeFileSystem(*library, std::make_shared<OpenVolumes>()), 0);
}

TEST_F(RegistryTest, OneDeviceIsOneVolumeUnderAllItsNames) {
  const std::string disk = Disk("disk");
  std::filesystem::create_symlink(disk.substr(5), temporary_ + "/alias");
  const auto first = Open(disk, "root=kv" + Base());
  const auto same = Open("file:" + temporary_ + "/alias", "root=kv" + Base());
  const auto other = Open(disk, "root=raft" + Base());
  ASSERT_TRUE(first && same && other) << status_.ToString();
  Write(*first, "/1.sst", "kv's");
  Write(*other, "/1.sst", "raft's");
  EXPECT_EQ(Read(*same, "/1.sst"), "kv's");
  EXPECT_EQ(Read(*other, "/1.sst"), "raft's");
}

TEST_F(RegistryTest, ClosesWithTheLastUserAndOpensAgain) {
  const std::string disk = Disk("disk");
  for (int round = 0; round < 3; ++round) {
    const auto fs = Open(disk, "root=kv" + Base());
    const auto other = Open(disk, "root=raft" + Base());
    ASSERT_TRUE(fs && other) << status_.ToString();
    EXPECT_EQ(Read(*fs, "/1.sst"), round == 0 ? "(missing)" : "kept");
    Write(*fs, "/1.sst", "kept");
  }
  auto device = block::OpenDevice(disk);
  ASSERT_TRUE(device.ok());
  const auto volume = volume::Volume::Open(*std::move(device), {});
  ASSERT_TRUE(volume.ok());
  EXPECT_TRUE((*volume)->Identity().was_closed);
}

TEST_F(RegistryTest, DisksInMemoryAreKnownByTheirNames) {
  const auto first = Open("mem:8MiB", "root=kv" + Base());
  const auto second = Open("mem:8MiB", "root=kv" + Base());
  ASSERT_TRUE(first && second) << status_.ToString();
  Write(*first, "/1.sst", "shared");
  EXPECT_EQ(Read(*second, "/1.sst"), "shared");
}

TEST_F(RegistryTest, ARootIsMadeByItsFirstWrite) {
  const std::string disk = Disk("disk");
  {
    const auto fs = Open(disk, "root=typo" + Base());
    EXPECT_EQ(Read(*fs, "/1.sst"), "(missing)");
    std::vector<std::string> names;
    EXPECT_TRUE(fs->GetChildren("/", {}, &names, nullptr).ok());
  }
  auto device = block::OpenDevice(disk);
  const auto volume = volume::Volume::Open(*std::move(device), {});
  EXPECT_TRUE((*volume)->Roots().empty());
}

TEST_F(RegistryTest, WithoutItsVolumeNothingOpens) {
  const std::pair<std::string, std::string> cases[] = {
      {"file:" + temporary_ + "/missing", "root=kv" + Base()},
      {Disk("blank", false), "root=kv" + Base()},
      {Disk("good"), "root=" + Base()},
      {Disk("good"), "root=a%2fb" + Base()},
      {Disk("good"), "root=kv&base=" + temporary_ + "/missing"},
      {"spdk:pci=0", "root=kv" + Base()},
  };
  for (const auto& [device, parameters] : cases) {
    EXPECT_EQ(Open(device, parameters), nullptr) << device << " " << parameters;
    EXPECT_FALSE(status_.ok());
  }
}

TEST_F(RegistryTest, SaysWhoHasItOpen) {
  const std::string disk = Disk("disk");
  const auto theirs = block::OpenDevice(disk);
  const auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(**theirs),
                                           {.owner = "another one (pid 17)"});
  ASSERT_TRUE(volume.ok());
  EXPECT_EQ(Open(disk, "root=kv" + Base()), nullptr);
  EXPECT_NE(status_.ToString().find("another one (pid 17)"), std::string::npos)
      << status_.ToString();
}

}  // namespace
}  // namespace tifs::rocksfs
