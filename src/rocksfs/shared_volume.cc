#include "rocksfs/shared_volume.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/coding.h"
#include "base/log.h"
#include "block/device_name.h"
#include "block/open_device.h"
#include "block/scheduled_device.h"
#include "volume/stored_profile.h"

namespace tifs::rocksfs {

// A volume and how many share it. Opened and closed under `mutex`, so that who comes while the last
// one closes waits, instead of finding the device busy.
struct SharedVolume::Slot {
  Mutex mutex;
  std::unique_ptr<volume::Volume> volume GUARDED_BY(mutex);
  block::IoScheduler* scheduler GUARDED_BY(mutex) = nullptr;  // the device's, which volume owns
  size_t shares GUARDED_BY(mutex) = 0;

  Mutex names_mutex;
  std::set<std::string> locked_names GUARDED_BY(names_mutex);
};

namespace {

// Which device it is, whatever its name: a disk by its number, a file by its inode.
Result<std::string> DeviceKey(const block::DeviceName& name) {
  if (name.kind == block::DeviceKind::kMemory || name.kind == block::DeviceKind::kSpdk) {
    return name.text;
  }
  struct stat found;
  if (stat(name.path.c_str(), &found) != 0) {
    return ErrorFromErrno(errno, "open volume", name.text);
  }
  if (S_ISBLK(found.st_mode)) return "disk " + std::to_string(found.st_rdev);
  return "file " + std::to_string(found.st_dev) + " " + std::to_string(found.st_ino);
}

std::string OwnerText() {
  std::array<char, 128> host{};
  gethostname(host.data(), host.size() - 1);
  return std::string(program_invocation_short_name).substr(0, 64) + " (pid " +
         std::to_string(getpid()) + ") on " + host.data();
}

// Who has the device open, as its superblock says; empty if that cannot be told.
std::string OwnerOf(std::string_view device) {
  const auto looked = block::OpenDevice(device, {.read_only = true, .exclusive = false});
  if (!looked) return "";
  const auto identity = volume::Volume::ReadIdentity(**looked);
  return identity ? EscapeForLog(identity->owner) : "";
}

// The kernel takes down what a killed process had a little after the process is gone.
Result<std::unique_ptr<block::BlockDevice>> OpenWhenFree(const std::string& device) {
  constexpr int kAttempts = 20;
  for (int attempt = 1;; ++attempt) {
    auto opened = block::OpenDevice(device);
    if (opened || opened.error().code() != ErrorCode::kBusy || attempt == kAttempts) return opened;
    SystemClock().SleepFor(std::chrono::milliseconds(50));
  }
}

struct OpenedVolume {
  std::unique_ptr<volume::Volume> volume;
  block::IoScheduler* scheduler;
};

Result<OpenedVolume> OpenVolume(const block::DeviceName& name) {
  auto device = OpenWhenFree(name.text);
  if (!device) {
    if (device.error().code() != ErrorCode::kBusy) return std::move(device).error();
    const std::string owner = OwnerOf(name.text);
    if (owner.empty()) return std::move(device).error();
    return Error(ErrorCode::kBusy, "open volume", name.text + " is in use by " + owner);
  }
  if (name.kind == block::DeviceKind::kMemory) {
    TRY(volume::Volume::Format(**device, {.name = "memory"}, SystemClock()));
  }
  auto scheduled = std::make_unique<block::ScheduledDevice>(*std::move(device), SystemClock());
  block::IoScheduler& scheduler = scheduled->scheduler();
  // Holes in a file cost its file system a transaction each, at the hole and when it is written
  // again, and flushes of the file wait for them.
  const bool discard = name.kind != block::DeviceKind::kFile;
  auto volume =
      TRY(volume::Volume::Open(std::move(scheduled), {.owner = OwnerText(), .discard = discard}));
  ScheduleByProfile(name.text, *volume, scheduler);
  for (const std::string& warning : volume->Warnings()) {
    LogWarning("{}: {}; run: tifs volume check --repair {}", name.text, warning, name.text);
  }
  return OpenedVolume{std::move(volume), &scheduler};
}

}  // namespace

void ScheduleByProfile(const std::string& device, volume::Volume& volume,
                       block::IoScheduler& scheduler) {
  const auto profile = volume::LoadDeviceProfile(volume);
  if (profile && !*profile) return;
  Status configured =
      profile ? scheduler.Configure({.profile = **profile}) : Status(profile.error().Clone());
  if (configured) return;
  LogWarning("{}: no I/O is scheduled: {}; run: tifs volume bench --save {}", EscapeForLog(device),
             configured.error().ToString(), EscapeForLog(device));
}

SharedVolume::SharedVolume(std::shared_ptr<Slot> slot, volume::Volume& volume,
                           block::IoScheduler* scheduler)
    : slot_(std::move(slot)), volume_(&volume), scheduler_(scheduler) {}

std::shared_ptr<SharedVolume> SharedVolume::Of(std::unique_ptr<volume::Volume> volume,
                                               block::IoScheduler* scheduler) {
  auto slot = std::make_shared<Slot>();
  volume::Volume& open = *volume;
  MutexLock lock(slot->mutex);
  slot->volume = std::move(volume);
  slot->shares = 1;
  return std::shared_ptr<SharedVolume>(new SharedVolume(slot, open, scheduler));
}

SharedVolume::~SharedVolume() {
  MutexLock lock(slot_->mutex);
  if (--slot_->shares != 0) return;
  const Status closed = slot_->volume->Close();
  // Nobody is left to be told otherwise. What was synced is safe.
  if (!closed) LogWarning("closing a volume: {}", closed.error().ToString());
  slot_->volume.reset();
}

bool SharedVolume::Lock(const std::string& name) {
  MutexLock lock(slot_->names_mutex);
  return slot_->locked_names.insert(name).second;
}

void SharedVolume::Unlock(const std::string& name) {
  MutexLock lock(slot_->names_mutex);
  slot_->locked_names.erase(name);
}

Result<std::shared_ptr<SharedVolume::Slot>> OpenVolumes::SlotOf(std::string_view device) {
  const std::string key = TRY(DeviceKey(TRY(block::ParseDeviceName(device))));
  MutexLock lock(mutex_);
  std::erase_if(slots_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<SharedVolume::Slot>& known = slots_[key];
  std::shared_ptr<SharedVolume::Slot> slot = known.lock();
  if (!slot) known = slot = std::make_shared<SharedVolume::Slot>();
  return slot;
}

Result<std::shared_ptr<SharedVolume>> OpenVolumes::Open(std::string_view device) {
  const auto slot = TRY(SlotOf(device));
  MutexLock lock(slot->mutex);
  if (!slot->volume) {
    OpenedVolume opened = TRY(OpenVolume(TRY(block::ParseDeviceName(device))));
    slot->volume = std::move(opened.volume);
    slot->scheduler = opened.scheduler;
  }
  ++slot->shares;
  return std::shared_ptr<SharedVolume>(new SharedVolume(slot, *slot->volume, slot->scheduler));
}

}  // namespace tifs::rocksfs
