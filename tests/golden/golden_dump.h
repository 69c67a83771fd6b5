#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "fs/data/mem_extent_device.h"
#include "kv/mem_kv.h"

namespace tifs::golden {

// All that a store holds: its keys and values in order, and the bytes of the data file beside it.
//
// As text, a line each, so that a difference can be read; `#` begins a comment:
//   KEY VALUE       a pair, in hexadecimal digits
//   blocks SIZE     the data file's size in bytes
//   @OFFSET BYTES   some bytes of it; all others are zeros
// [XX*N] among the digits stands for N times the byte XX; a dash alone for no bytes.
struct Dump {
  std::vector<std::pair<std::string, std::string>> pairs;
  std::string blocks;

  std::string ToText() const;
  // kInvalid, with the number of the line.
  static Result<Dump> FromText(std::string_view text);

  static Result<Dump> Of(kv::Store& store, const fs::MemExtentDevice& device);
  Status Restore(kv::Store& store, fs::MemExtentDevice& device) const;
};

}  // namespace tifs::golden
