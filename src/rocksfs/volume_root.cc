#include "rocksfs/volume_root.h"

namespace tifs::rocksfs {

Result<volume::Root*> VolumeRoot::Open(bool create) {
  if (volume::Root* root = opened_.load(std::memory_order_acquire)) return root;
  MutexLock lock(mutex_);
  if (!root_) {
    auto root = volume_->volume().OpenRoot(name_, create);
    if (!root) {
      if (!create && root.error().code() == ErrorCode::kNotFound) {
        return static_cast<volume::Root*>(nullptr);
      }
      return std::move(root).error();
    }
    root_ = *std::move(root);
    opened_.store(root_.get(), std::memory_order_release);
  }
  return root_.get();
}

}  // namespace tifs::rocksfs
