#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sync.h"
#include "block/io_scheduler.h"
#include "volume/volume.h"

namespace tifs::rocksfs {

// Has `scheduler` go by the profile that the volume keeps; it stays as it is if there is none. One
// that cannot be used is said in the log: nobody is kept from a volume by it. `device` is for that.
void ScheduleByProfile(const std::string& device, volume::Volume& volume,
                       block::IoScheduler& scheduler);

// A share in a volume that several users of one process have open. The volume is closed when the
// last share is gone. All calls are safe from any thread.
class SharedVolume {
 private:
  struct Slot;

 public:
  // The only share in a volume that is in no OpenVolumes. `scheduler` is that of its device, if it
  // has one.
  static std::shared_ptr<SharedVolume> Of(std::unique_ptr<volume::Volume> volume,
                                          block::IoScheduler* scheduler = nullptr);
  ~SharedVolume();
  SharedVolume(const SharedVolume&) = delete;
  SharedVolume& operator=(const SharedVolume&) = delete;

  volume::Volume& volume() const { return *volume_; }
  // What schedules the transfers of all shares. It lets everything pass until it is configured: by
  // the profile that the volume keeps (volume/stored_profile.h), when it is opened, or by anybody
  // later. Null for a volume that came without one.
  block::IoScheduler* scheduler() const { return scheduler_; }

  // Excludes others with a share in this volume from `name`, until Unlock. False if it is taken.
  bool Lock(const std::string& name);
  void Unlock(const std::string& name);

 private:
  friend class OpenVolumes;
  SharedVolume(std::shared_ptr<Slot> slot, volume::Volume& volume, block::IoScheduler* scheduler);

  const std::shared_ptr<Slot> slot_;
  volume::Volume* const volume_;
  block::IoScheduler* const scheduler_;
};

// The volumes that are open in a process, so that those who name the same device share one. To be
// kept as long as its user likes: a volume outlives it if somebody has a share. All calls are safe
// from any thread; opening or closing one volume does not hold up another.
class OpenVolumes {
 public:
  // `device` is a DEVICE (block/device_name.h). Two names of one disk or file are one device; one
  // `mem:` is one disk of this OpenVolumes, formatted when it is opened.
  // Errors are those of block::OpenDevice and Volume::Open. kBusy names who has it open.
  Result<std::shared_ptr<SharedVolume>> Open(std::string_view device);

 private:
  Result<std::shared_ptr<SharedVolume::Slot>> SlotOf(std::string_view device);

  Mutex mutex_;
  std::map<std::string, std::weak_ptr<SharedVolume::Slot>> slots_ GUARDED_BY(mutex_);
};

}  // namespace tifs::rocksfs
