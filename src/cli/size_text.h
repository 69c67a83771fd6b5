#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::cli {

// A size as people write it: a decimal number, optionally with a fraction, and a unit. `KiB` and
// `K` are 1024 bytes, `KB` and `kB` 1000, and so on to E; no unit or `B` is bytes. Case does not
// matter but in what it means. Errors: kInvalid, explained in the detail; never rounds a whole
// number.
Result<uint64_t> ParseSize(std::string_view text);
// A plain count without a unit, or with `K`, `M`, ... of thousands: "1000000", "1M".
Result<uint64_t> ParseCount(std::string_view text);

// "512 B", "64 KiB", "1.5 GiB": the largest unit of which there is at least one, at most one
// decimal.
std::string FormatSize(uint64_t bytes);
// The shortest text that ParseSize reads as exactly `bytes`: "64KiB", "1000".
std::string ExactSize(uint64_t bytes);
// "1,234,567".
std::string FormatCount(uint64_t count);
// "850 ns", "12.3 us", "4.56 ms", "1.20 s".
std::string FormatLatency(std::chrono::nanoseconds latency);

}  // namespace tifs::cli
