#include "rocksfs/registry.h"

#include <gtest/gtest.h>
#include <rocksdb/convenience.h>
#include <rocksdb/file_system.h>
#include <rocksdb/utilities/object_registry.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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

TEST_F(RegistryTest, SettingsAreChangedAndReadByName) {
  const auto fs =
      Open(Disk("disk"), "root=kv&compaction.max_bytes_per_s=50MiB&flush.weight=5" + Base());
  ASSERT_NE(fs, nullptr) << status_.ToString();
  const auto read = [&](const std::string& name) {
    std::string value;
    const rocksdb::Status status = fs->GetOption(config_, name, &value);
    return status.ok() ? value : status.ToString();
  };
  EXPECT_EQ(read("scheduler"), "on");
  EXPECT_EQ(read("compaction.max_bytes_per_s"), "52428800");
  EXPECT_EQ(read("flush.weight"), "5");
  EXPECT_TRUE(fs->ConfigureFromString(config_, "flush.weight=6").ok());
  EXPECT_TRUE(fs->ConfigureFromString(config_, "scheduler=off;compaction.max_iops=100").ok());
  EXPECT_EQ(read("scheduler"), "off");
  EXPECT_EQ(read("flush.weight"), "6");
  EXPECT_EQ(read("compaction.max_iops"), "100");
  EXPECT_FALSE(fs->ConfigureFromString(config_, "flush.weight=0").ok());
  EXPECT_FALSE(fs->ConfigureFromString(config_, "flush.wait=1").ok());
  EXPECT_EQ(read("flush.weight"), "6");
  EXPECT_NE(read("flush.wait"), "");
  Write(*fs, "/1.sst", "counted");
  EXPECT_EQ(read("io").find("instance.foreground.writes 0\n"), std::string::npos) << read("io");
  EXPECT_NE(read("io").find("instance.compaction.writes 0\n"), std::string::npos) << read("io");
}

TEST_F(RegistryTest, PartsOfTheTreeLieOnOtherVolumes) {
  const std::string other = Disk("other");
  const auto fs = Open(Disk("disk"), "root=kv" + Base() + "&at=/slow&volume=" + other +
                                         "&at=/slow/fast&volume=" + Disk("third") + "&root=r");
  ASSERT_NE(fs, nullptr) << status_.ToString();
  ASSERT_TRUE(fs->CreateDirIfMissing("/slow/fast", {}, nullptr).IsIOError());
  for (const char* path : {"/slow", "/slow/fast", "/slower"}) {
    ASSERT_TRUE(fs->CreateDirIfMissing(path, {}, nullptr).ok()) << path;
  }
  const std::vector<std::string> paths = {"/1.sst", "/slow/2.sst", temporary_ + "/slow/fast/3.sst",
                                          "/slower/../slow/../4.sst", "/slower/5.sst"};
  for (const std::string& path : paths) Write(*fs, path, path);
  for (const std::string& path : paths) EXPECT_EQ(Read(*fs, path), path);
  const auto on = [&](const std::string& disk, const std::string& root) {
    const auto share = *volumes_->Open(disk);
    std::vector<std::string> names;
    const auto opened = share->volume().OpenRoot(root, false);
    EXPECT_TRUE(opened.ok());
    for (const char* directory : {"", "slow", "slow/fast", "slower"}) {
      const auto entries = (*opened)->List(directory);
      if (!entries) continue;
      for (const auto& entry : *entries) {
        if (entry.name.ends_with(".sst")) names.push_back(entry.name);
      }
    }
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(on("file:" + temporary_ + "/disk", "kv"), (Names{"1.sst", "4.sst", "5.sst"}));
  EXPECT_EQ(on(other, "kv"), Names{"2.sst"});
  EXPECT_EQ(on("file:" + temporary_ + "/third", "r"), Names{"3.sst"});

  EXPECT_TRUE(fs->RenameFile("/1.sst", "/slow/1.sst", {}, nullptr).IsNotSupported());
  EXPECT_TRUE(fs->LinkFile("/1.sst", "/slow/1.sst", {}, nullptr).IsNotSupported());
  EXPECT_TRUE(fs->RenameFile("/slow", "/slowly", {}, nullptr).IsNotSupported());
  EXPECT_TRUE(fs->RenameFile("/slow/2.sst", "/slow/6.sst", {}, nullptr).ok());
  EXPECT_EQ(Read(*fs, "/slow/6.sst"), "/slow/2.sst");
  Names names;
  EXPECT_TRUE(fs->GetChildren("/slow", {}, &names, nullptr).ok());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (Names{"6.sst", "fast"}));

  EXPECT_TRUE(fs->ConfigureFromString(config_, "migration.weight@/slow=9").ok());
  std::string here, there;
  EXPECT_TRUE(fs->GetOption(config_, "migration.weight", &here).ok());
  EXPECT_TRUE(fs->GetOption(config_, "migration.weight@/slow/x", &there).ok());
  EXPECT_EQ(here + " " + there, "50 9");
}

TEST_F(RegistryTest, PartsMustBeApart) {
  const std::string first = Disk("disk"), other = Disk("other");
  const std::vector<std::string> cases = {"/", "/./", "/a&volume=" + other + "&at=/b/../a"};
  for (const std::string& at : cases) {
    EXPECT_EQ(Open(first, "root=kv" + Base() + "&at=" + at + "&volume=" + other), nullptr) << at;
    EXPECT_FALSE(status_.ok());
  }
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
