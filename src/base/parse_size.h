#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace tifs {

// A size as people write it: a decimal number, optionally with a fraction, and a unit. `KiB` and
// `K` are 1024 bytes, `KB` and `kB` 1000, and so on to E; no unit or `B` is bytes. Case does not
// matter but in what it means. Errors: kInvalid, explained in the detail; never rounds a whole
// number.
Result<uint64_t> ParseSize(std::string_view text);
// A plain count without a unit, or with `K`, `M`, ... of thousands: "1000000", "1M".
Result<uint64_t> ParseCount(std::string_view text);

}  // namespace tifs
