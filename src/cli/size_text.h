#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tifs::cli {

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
