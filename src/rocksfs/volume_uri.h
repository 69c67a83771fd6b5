#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::rocksfs {

// tifs-volume://DEVICE?root=NAME&base=DIR
struct VolumeUri {
  static constexpr std::string_view kScheme = "tifs-volume://";

  std::string device;  // a DEVICE (block/device_name.h)
  std::string root;
  std::string base = "/";
};

// DEVICE runs to the first '?'; values may have %XX for `& ? # %` and all else. kInvalid says what
// is wrong. Opens and looks up nothing.
Result<VolumeUri> ParseVolumeUri(std::string_view text);

}  // namespace tifs::rocksfs
