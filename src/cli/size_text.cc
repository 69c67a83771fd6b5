#include "cli/size_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace tifs::cli {
namespace {

constexpr std::string_view kPrefixes = "KMGTPE";

}  // namespace

std::string FormatSize(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  size_t power = 0;
  while (power < kPrefixes.size() && value >= 1024) {
    value /= 1024;
    ++power;
  }
  // 1023.96 would print as 1024.0.
  if (std::round(value * 10) >= 10240 && power < kPrefixes.size()) {
    value /= 1024;
    ++power;
  }
  const double rounded = std::round(value * 10) / 10;
  const bool whole = rounded == std::floor(rounded);
  return whole ? fmt::format("{:.0f} {}iB", rounded, kPrefixes[power - 1])
               : fmt::format("{:.1f} {}iB", rounded, kPrefixes[power - 1]);
}

std::string ExactSize(uint64_t bytes) {
  if (bytes == 0) return "0";
  size_t power = 0;
  while (power < kPrefixes.size() && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  return power == 0 ? fmt::format("{}", bytes) : fmt::format("{}{}iB", bytes, kPrefixes[power - 1]);
}

std::string FormatCount(uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string FormatLatency(std::chrono::nanoseconds latency) {
  const auto ns = static_cast<double>(latency.count());
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  const auto scaled = [](double value, std::string_view unit) {
    const int decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
    return fmt::format("{:.{}f} {}", value, decimals, unit);
  };
  if (ns < 1e6) return scaled(ns / 1e3, "us");
  if (ns < 1e9) return scaled(ns / 1e6, "ms");
  return scaled(ns / 1e9, "s");
}

}  // namespace tifs::cli
