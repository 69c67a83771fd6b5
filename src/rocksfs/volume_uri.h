#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::rocksfs {

// tifs-volume://DEVICE?root=NAME&base=DIR&scheduler=off
struct VolumeUri {
  static constexpr std::string_view kScheme = "tifs-volume://";

  std::string device;  // a DEVICE (block/device_name.h)
  std::string root;
  std::string base = "/";
  // Whether the I/O is scheduled by the profile that the volume keeps. It is one for all who have
  // the volume: off if anybody wants it off.
  bool scheduler = true;
};

// DEVICE runs to the first '?'; values may have %XX for `& ? # %` and all else. kInvalid says what
// is wrong. Opens and looks up nothing.
Result<VolumeUri> ParseVolumeUri(std::string_view text);

}  // namespace tifs::rocksfs
