#pragma once

#include <iterator>
#include <string>

#include "base/random.h"
#include "tests/crash/volume_model.h"

namespace tifs::volume {

// Operations on a few files and directories, many of which fit together.
class RandomOps {
 public:
  explicit RandomOps(Random& random) : random_(random) {}

  VolumeOp Next() {
    static constexpr VolumeOp::Kind kKinds[] = {
        VolumeOp::Kind::kCreate,        VolumeOp::Kind::kCreate,
        VolumeOp::Kind::kAppend,        VolumeOp::Kind::kAppend,
        VolumeOp::Kind::kAppend,        VolumeOp::Kind::kAppend,
        VolumeOp::Kind::kWriteAt,       VolumeOp::Kind::kWriteAt,
        VolumeOp::Kind::kTruncate,      VolumeOp::Kind::kAllocate,
        VolumeOp::Kind::kSync,          VolumeOp::Kind::kSync,
        VolumeOp::Kind::kSync,          VolumeOp::Kind::kSync,
        VolumeOp::Kind::kClose,         VolumeOp::Kind::kClose,
        VolumeOp::Kind::kClose,         VolumeOp::Kind::kRename,
        VolumeOp::Kind::kRename,        VolumeOp::Kind::kLink,
        VolumeOp::Kind::kUnlink,        VolumeOp::Kind::kUnlink,
        VolumeOp::Kind::kMakeDirectory, VolumeOp::Kind::kRemoveDirectory,
        VolumeOp::Kind::kSyncDirectory, VolumeOp::Kind::kSyncVolume,
        VolumeOp::Kind::kCheckpoint,    VolumeOp::Kind::kReopenVolume};
    VolumeOp op{.kind = kKinds[random_.Below(std::size(kKinds))]};
    switch (op.kind) {
      case VolumeOp::Kind::kSyncVolume:
      case VolumeOp::Kind::kCheckpoint: return op;
      case VolumeOp::Kind::kReopenVolume:
        if (!random_.OneIn(3)) op.kind = VolumeOp::Kind::kCheckpoint;
        return op;
      case VolumeOp::Kind::kSyncDirectory: return op;
      case VolumeOp::Kind::kMakeDirectory:
      case VolumeOp::Kind::kRemoveDirectory: op.path = Directory(); return op;
      case VolumeOp::Kind::kRename:
        if (random_.OneIn(5)) {
          op.path = Directory();
          op.to = Directory();
          return op;
        }
        [[fallthrough]];
      case VolumeOp::Kind::kLink: op.to = Path(); break;
      case VolumeOp::Kind::kWriteAt: op.offset = Size(); [[fallthrough]];
      case VolumeOp::Kind::kAppend: op.size = 1 + Size(); break;
      case VolumeOp::Kind::kTruncate:
      case VolumeOp::Kind::kAllocate: op.size = Size(); break;
      default: break;
    }
    op.path = Path();
    return op;
  }

 private:
  std::string Directory() { return std::string(1, static_cast<char>('x' + random_.Below(3))); }
  std::string Path() {
    std::string name = "f" + std::to_string(random_.Below(4));
    // Long names make batches of several blocks.
    if (random_.OneIn(8)) name.append(240, 'n');
    return random_.OneIn(2) ? name : Directory() + "/" + name;
  }
  uint64_t Size() {
    switch (random_.Below(4)) {
      case 0: return random_.Below(300);
      case 1: return random_.Below(5) * 512;
      case 2: return random_.Below(6'000);
      default: return random_.Below(random_.OneIn(2) ? 4'100 : 20'000);
    }
  }

  Random& random_;
};

}  // namespace tifs::volume
