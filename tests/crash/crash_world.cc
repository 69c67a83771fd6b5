#include "tests/crash/crash_world.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/check.h"
#include "cli/volume_extent_device.h"
#include "fs/data/extent_blocks.h"
#include "fs/data/kv_blocks.h"
#include "fs/fs_check.h"
#include "rocksfs/rocks_file_system.h"
#include "sim/power_cut_fs.h"
#include "tests/sim/disk_extent_device.h"
#include "volume/volume.h"

namespace tifs::sim {
namespace {

constexpr const char* kVolume = "/volume";
constexpr const char* kStore = "/volume/store";

Profile CrashProfile(const CrashOptions& options) {
  Profile profile;
  profile.block_bytes = options.block_size_bytes;
  profile.far_bytes = uint64_t{1} << 40;
  profile.background = false;
  profile.names = 4;
  profile.contents = 7;
  profile.attributes = 1;
  return profile;
}

SimDeviceOptions DeviceOptions(uint64_t seed) {
  SimDeviceOptions options;
  options.size_bytes = 256 << 20;
  options.block_bytes = seed % 2 == 0 ? 512 : 4096;
  options.seed = seed;
  return options;
}

}  // namespace

CrashWorld::CrashWorld(const CrashOptions& options, uint64_t seed)
    : options_(options), random_(seed), disk_(power_), device_(DeviceOptions(seed), power_) {
  CHECK(disk_.MakeDirectory(kVolume).ok());
  CHECK(disk_.SyncDirectory("/").ok());
  for (uint32_t i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<CrashWorker>(i, clock_, options_.block_size_bytes));
  }
}

CrashWorld::~CrashWorld() { CloseAll(); }

Status CrashWorld::FormatVolume() {
  return volume::Volume::Format(device_, {.extent_unit_bytes = options_.extent_unit_bytes}, clock_);
}

Status CrashWorld::OpenVolume() {
  volume::VolumeOptions options;
  options.background = random_.OneIn(2);
  options.skip_flush = [this](volume::FlushKind kind) {
    const bool skipped = lies_ && options_.skip_flush && options_.skip_flush(kind);
    if (skipped) ++skipped_flushes_;
    return skipped;
  };
  volume_ = rocksfs::SharedVolume::Of(
      TRY(volume::Volume::Open(std::make_unique<block::ForwardingDevice>(device_), options)));
  root_ = TRY(volume_->volume().OpenRoot("tifs", /*create=*/true));
  return {};
}

Status CrashWorld::OpenStore() {
  kv::RocksOptions rocks;
  rocks.path = kStore;
  rocks.create = true;
  rocks.memory_bytes = 16 << 20;
  // Mostly what is written out or synced is so because of the test; else at any moment.
  const bool is_quiet = !random_.OneIn(4);
  const auto interval = is_quiet ? std::chrono::nanoseconds(std::chrono::hours(1))
                                 : std::chrono::nanoseconds(std::chrono::milliseconds(1));
  rocks.wal = {.flush_interval = interval, .sync_interval = 2 * interval};
  rocks.file_system = std::make_shared<PowerCutFs>(disk_);
  if (options_.volume) {
    TRY(OpenVolume());
    rocks.file_system = TRY(rocksfs::RocksFileSystem::Open(
        volume_, rocks.file_system, {.root = "tifs", .base_directory = kVolume, .uri = ""}));
    // As much as the model has.
    rocks.space = [] { return kv::SpaceUsage{uint64_t{1} << 50, uint64_t{1} << 50}; };
  }
  rocks.file_system_is_posix = random_.OneIn(2);
  store_ = TRY(kv::RocksKv::Open(rocks));
  return {};
}

Status CrashWorld::OpenFileSystem() {
  fs::FileSystemOptions mount;
  mount.sync = options_.sync_mount;
  mount.background_thread = random_.OneIn(2);
  std::unique_ptr<fs::BlockStore> blocks = std::make_unique<fs::KvBlocks>();
  if (options_.extents) {
    auto device = options_.volume ? cli::OpenVolumeExtentDevice(*root_, "blocks", {})
                                  : DiskExtentDevice::Open(disk_, kVolume, "blocks");
    blocks = std::make_unique<fs::ExtentBlocks>(TRY(std::move(device)), SystemClock());
  }
  // The system's clock: a background thread waits on it.
  file_system_ = TRY(fs::FileSystem::Open(*store_, SystemClock(), mount, std::move(blocks)));
  return {};
}

Status CrashWorld::Format() {
  if (options_.volume) TRY(FormatVolume());
  TRY(OpenStore());
  if (options_.volume) {
    (void)TRY(root_->OpenSparse("blocks", {.write = true, .create = true}));
    TRY(root_->SyncDirectory(""));
  }
  fs::FormatOptions format;
  format.block_size_bytes = options_.block_size_bytes;
  format.extents = options_.extents;
  TRY(fs::Format(*store_, clock_, format));
  TRY(OpenFileSystem());
  for (const auto& worker : workers_) TRY(worker->MakeDirectory(*file_system_));
  return file_system_->Sync();
}

void CrashWorld::CloseAll() {
  file_system_.reset();
  store_.reset();
  root_.reset();
  volume_.reset();
}

// Lets all workers work until the power goes, or they are done and all is closed in good order.
std::string CrashWorld::Work() {
  const uint64_t patience = random_.OneIn(3) ? 15 : random_.OneIn(2) ? 80 : 500;
  disk_.CutAfter(1 + random_.Below(patience));
  CrashWorker::Plan plan{.profile = CrashProfile(options_),
                         .operations = 1 + random_.Below(300),
                         .sync_mount = options_.sync_mount};
  std::vector<std::string> reasons(workers_.size());
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < workers_.size(); ++i) {
      threads.emplace_back([&, i, seed = random_.Next()] {
        Random random(seed);
        reasons[i] = workers_[i]->Work(*file_system_, disk_, random, plan);
      });
    }
  }
  for (const std::string& why : reasons) {
    if (!why.empty()) return why;
  }
  if (!random_.OneIn(3)) return {};
  if (file_system_->Close()) {
    for (const auto& worker : workers_) worker->NoteSynced();
  } else if (!disk_.IsOff()) {
    return "closing failed while the power was on";
  }
  return {};
}

void CrashWorld::LosePower() {
  disk_.CutAfter(0);
  CloseAll();
  disk_.PowerOn(random_);
}

std::string CrashWorld::Recover() {
  // The power may go while it recovers, too.
  if (random_.OneIn(3)) {
    disk_.CutAfter(1 + random_.Below(40));
    if (Status opened = OpenStore(); opened) (void)OpenFileSystem().ok();
    LosePower();
  }
  if (Status opened = OpenStore(); !opened) {
    return "the store does not open: " + opened.error().ToString();
  }
  const Result<fs::CheckReport> report = fs::Check(*store_, clock_, {});
  if (!report) return "check: " + report.error().ToString();
  if (!report->findings.empty()) return "check: " + report->findings[0].what;
  if (Status opened = OpenFileSystem(); !opened) {
    return "the file system does not open: " + opened.error().ToString();
  }
  for (const auto& worker : workers_) {
    if (std::string why = worker->Recover(*file_system_, options_.extents); !why.empty()) {
      return why;
    }
  }
  return {};
}

std::string CrashWorld::Run(uint64_t rounds) {
  if (Status formatted = Format(); !formatted) return formatted.error().ToString();
  disk_.LieAboutSync(options_.lie);
  lies_ = true;
  LosePower();
  for (uint64_t round = 0; round < rounds; ++round) {
    std::string why = Recover();
    if (why.empty()) why = Work();
    if (!why.empty()) return fmt::format("round {}: {}", round, why);
    LosePower();
  }
  return Recover();
}

}  // namespace tifs::sim
