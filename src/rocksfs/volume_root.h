#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/sync.h"
#include "rocksfs/shared_volume.h"
#include "volume/root.h"

namespace tifs::rocksfs {

// A root of a shared volume that is made when something is first written to it. All calls are safe
// from any thread.
class VolumeRoot {
 public:
  VolumeRoot(std::shared_ptr<SharedVolume> volume, std::string name)
      : volume_(std::move(volume)), name_(std::move(name)) {}

  // Null if there is none. kInvalid for a name that is none, and what reading the volume may fail
  // with.
  Result<volume::Root*> Find() { return Open(false); }
  Result<volume::Root*> Make() { return Open(true); }

  const std::string& name() const { return name_; }
  const std::shared_ptr<SharedVolume>& volume() const { return volume_; }

 private:
  Result<volume::Root*> Open(bool create);

  const std::shared_ptr<SharedVolume> volume_;
  const std::string name_;
  std::atomic<volume::Root*> opened_{nullptr};
  Mutex mutex_;
  std::unique_ptr<volume::Root> root_ GUARDED_BY(mutex_);
};

}  // namespace tifs::rocksfs
