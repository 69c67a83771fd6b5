#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "block/io_settings.h"

namespace tifs::rocksfs {

// A part of the tree that lies on another volume.
struct VolumeBelow {
  std::string path;    // absolute; it and all below it
  std::string device;  // a DEVICE (block/device_name.h)
  std::string root;
};

// tifs-volume://DEVICE?root=NAME[&base=DIR][&SETTING=VALUE]...
//                     [&at=PATH&volume=DEVICE[&root=NAME]]...
struct VolumeUri {
  static constexpr std::string_view kScheme = "tifs-volume://";

  std::string device;  // a DEVICE (block/device_name.h)
  std::string root;
  std::string base = "/";
  // What the I/O on the first volume is scheduled by, where it is not the profile that the volume
  // keeps (block/io_settings.h). It is one for all who have the volume: the last who says counts.
  std::vector<block::IoSetting> settings;
  // In the order of the URI; no two have the same path. `root` is filled in.
  std::vector<VolumeBelow> below;
};

// DEVICE runs to the first '?'; values may have %XX for `& ? # %` and all else. What follows `at`
// is of that part, up to the next one. kInvalid says what is wrong. Opens and looks up nothing.
Result<VolumeUri> ParseVolumeUri(std::string_view text);

}  // namespace tifs::rocksfs
