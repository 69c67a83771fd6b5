#include "tests/crash/rocks_world.h"

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "sim/power_cut_fs.h"
#include "volume/volume_check.h"

namespace tifs::rocksfs {
namespace {

constexpr uint64_t kDeviceBytes = 32 << 20;
const std::string kBase = "/base";
const std::string kStill = "still";  // a root, and its file

std::string StillBytes() {
  std::string bytes(100'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('A' + i * 7 % 31);
  return bytes;
}

void MakeStillRoot(block::BlockDevice& device) {
  auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(device),
                                     {.owner = "crash test", .background = false});
  CHECK(volume.ok());
  {
    auto root = (*volume)->OpenRoot(kStill, true);
    CHECK(root.ok());
    auto file = (*root)->Open(kStill, {.write = true, .create = true});
    CHECK(file.ok() && (*file)->Append(StillBytes()).ok() && (*file)->Sync().ok());
  }
  CHECK((*volume)->Close().ok());
}

}  // namespace

RocksWorld::RocksWorld(const RocksWorldOptions& options, uint64_t seed)
    : options_(options),
      random_(seed),
      device_({.size_bytes = kDeviceBytes, .seed = seed}, power_),
      base_(power_) {
  CHECK(volume::Volume::Format(device_, {.name = "crash", .extent_unit_bytes = 4096}, SystemClock())
            .ok());
  MakeStillRoot(device_);
  CHECK(base_.MakeDirectory(kBase).ok());
  for (const char* name : {"kv", "raft"}) {
    instances_.emplace_back(kBase, name, random_.Next());
    // RocksDB does not sync the directory that it makes its own in.
    CHECK(base_.MakeDirectory(kBase + "/" + name).ok());
  }
  CHECK(base_.SyncDirectory(kBase).ok());
  CHECK(base_.SyncDirectory("/").ok());
  base_.LieAboutSync(options_.lie_about_base);
}

RocksWorld::~RocksWorld() { CloseAll(); }

void RocksWorld::CloseAll() {
  for (RocksInstance& instance : instances_) instance.Close();
  envs_.clear();
  volume_.reset();
}

std::string RocksWorld::CheckVolume() {
  const auto report =
      volume::VolumeCheck::Run(std::make_unique<block::ForwardingDevice>(device_), {});
  if (!report) return "volume check: " + report.error().ToString();
  return report->findings.empty() ? "" : "volume check: " + report->findings[0].text;
}

// Every root has what is its own.
std::string RocksWorld::CheckRoots() {
  for (const RocksInstance& instance : instances_) {
    const auto root = volume_->volume().OpenRoot(instance.name(), false);
    if (!root) continue;
    const auto entries = (*root)->List("");
    if (!entries) return entries.error().ToString();
    for (const volume::DirectoryEntry& entry : *entries) {
      if (!entry.name.starts_with(instance.name())) {
        return "the root " + instance.name() + " has " + entry.name;
      }
    }
  }
  const auto root = volume_->volume().OpenRoot(kStill, false);
  if (!root) return "the root that nobody touches: " + root.error().ToString();
  const auto file = (*root)->Open(kStill, {});
  if (!file) return "the file that nobody touches: " + file.error().ToString();
  const std::string expected = StillBytes();
  std::string bytes(expected.size() + 1, '\0');
  const auto size = (*file)->ReadAt(0, bytes);
  if (!size) return "the file that nobody touches: " + size.error().ToString();
  bytes.resize(*size);
  return bytes == expected ? "" : "the file that nobody touches has changed";
}

std::string RocksWorld::OpenAll() {
  // Small, so that tables are written in many pieces, behind RocksDB's back.
  volume::VolumeOptions options{.owner = "crash test", .write_buffer_bytes = 16 << 10};
  if (options_.skip_flush) {
    options.skip_flush = [kind = *options_.skip_flush](volume::FlushKind wanted) {
      return wanted == kind;
    };
  }
  auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(device_), options);
  if (!volume) return "the volume does not open: " + volume.error().ToString();
  if (!(*volume)->Warnings().empty()) return "a warning: " + (*volume)->Warnings()[0];
  if (const Status sound = (*volume)->Verify(); !sound) return sound.error().ToString();
  volume_ = SharedVolume::Of(*std::move(volume));
  for (RocksInstance& instance : instances_) {
    auto opened = RocksFileSystem::Open(volume_, std::make_shared<sim::PowerCutFs>(base_),
                                        {.root = instance.name(), .base_directory = kBase});
    if (!opened) return "no file system: " + opened.error().ToString();
    envs_.push_back(
        rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(*std::move(opened))));
    if (std::string why = instance.Open(*envs_.back()); !why.empty()) return why;
  }
  return "";
}

std::string RocksWorld::OpenAndCheck() {
  if (std::string why = CheckVolume(); !why.empty()) return why;
  if (std::string why = OpenAll(); !why.empty()) return why;
  for (RocksInstance& instance : instances_) {
    if (std::string why = instance.Check(); !why.empty()) return why;
  }
  return CheckRoots();
}

std::string RocksWorld::RunUntilCut() {
  // Sometimes already in the opening, or while what is there is looked at.
  const bool early = random_.OneIn(3);
  if (early) power_.CutAfter(1 + random_.Below(200));
  std::string why = OpenAndCheck();
  if (why.empty() && !early) power_.CutAfter(1 + random_.Below(600));
  while (why.empty()) {
    why = instances_[random_.Below(instances_.size())].Step();
    // A cut in the background does not fail every step.
    if (why.empty() && power_.IsOff()) why = "the power is off";
  }
  if (!power_.IsOff()) return why;
  CloseAll();
  power_.TurnOn(random_);
  return "";
}

}  // namespace tifs::rocksfs
