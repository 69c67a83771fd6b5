#include "base/parse_size.h"

#include <fmt/format.h>

#include <charconv>

#include "base/coding.h"

namespace tifs {
namespace {

constexpr std::string_view kPrefixes = "KMGTPE";

__extension__ using Wide = unsigned __int128;

Error BadSize(std::string_view text, std::string_view why) {
  return Error(ErrorCode::kInvalid, "size", fmt::format("'{}' {}", EscapeForLog(text), why));
}

std::string_view TrimmedFront(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

// The factor of a unit; 0 if there is no such unit.
uint64_t FactorOf(std::string_view unit) {
  if (unit.empty() || unit == "B" || unit == "b") return 1;
  const char letter = unit[0] >= 'a' ? static_cast<char>(unit[0] - 'a' + 'A') : unit[0];
  const size_t power = kPrefixes.find(letter);
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  uint64_t base = 0;
  if (rest.empty() || rest == "iB" || rest == "ib" || rest == "i" || rest == "IB") base = 1024;
  if (rest == "B" || rest == "b") base = 1000;
  uint64_t factor = base == 0 ? 0 : 1;
  for (size_t i = 0; i <= power; ++i) factor *= base;
  return factor;
}

// `number` is digits, optionally with a point and more digits.
Result<uint64_t> Multiply(std::string_view text, std::string_view number, uint64_t factor) {
  const size_t point = number.find('.');
  const std::string_view whole_text = number.substr(0, point);
  uint64_t whole = 0;
  const auto [end, status] =
      std::from_chars(whole_text.data(), whole_text.data() + whole_text.size(), whole);
  if (status == std::errc::result_out_of_range) return BadSize(text, "is too large");
  if (status != std::errc() || end != whole_text.data() + whole_text.size()) {
    return BadSize(text, "is not a number with a unit, such as 64KiB or 10GiB");
  }
  uint64_t total = 0;
  if (__builtin_mul_overflow(whole, factor, &total)) return BadSize(text, "is too large");
  if (point == std::string_view::npos) return total;

  const std::string_view fraction = number.substr(point + 1);
  if (fraction.empty() || fraction.size() > 9) {
    return BadSize(text, "is not a number with a unit, such as 1.5GiB");
  }
  uint64_t scale = 1;
  uint64_t numerator = 0;
  for (char digit : fraction) {
    if (digit < '0' || digit > '9') {
      return BadSize(text, "is not a number with a unit, such as 1.5GiB");
    }
    numerator = numerator * 10 + static_cast<uint64_t>(digit - '0');
    scale *= 10;
  }
  if (factor == 1 && numerator != 0) return BadSize(text, "is a part of a byte");
  const Wide part = static_cast<Wide>(numerator) * factor / scale;
  if (__builtin_add_overflow(total, static_cast<uint64_t>(part), &total)) {
    return BadSize(text, "is too large");
  }
  return total;
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  const size_t end = text.find_first_not_of("0123456789.");
  const std::string_view number = text.substr(0, end);
  const std::string_view unit = end == std::string_view::npos ? "" : TrimmedFront(text.substr(end));
  if (text.starts_with('-')) return BadSize(text, "is negative");
  if (number.empty()) return BadSize(text, "is not a number with a unit, such as 64KiB or 10GiB");
  const uint64_t factor = FactorOf(unit);
  if (factor == 0) {
    return BadSize(text, fmt::format("has no known unit; '{}' is not one of B, KiB, MiB, GiB, TiB, "
                                     "PiB, EiB, KB, MB, GB, TB, PB, EB",
                                     EscapeForLog(unit)));
  }
  return Multiply(text, number, factor);
}

Result<uint64_t> ParseCount(std::string_view text) {
  const size_t end = text.find_first_not_of("0123456789.");
  const std::string_view number = text.substr(0, end);
  const std::string_view unit = end == std::string_view::npos ? "" : text.substr(end);
  uint64_t factor = 1;
  const auto bad = [text](std::string_view why) {
    return Error(ErrorCode::kInvalid, "count", fmt::format("'{}' {}", EscapeForLog(text), why));
  };
  if (number.empty() || unit.size() > 1) return bad("is not a count, such as 1000000 or 1M");
  if (!unit.empty()) {
    const char letter = unit[0] >= 'a' ? static_cast<char>(unit[0] - 'a' + 'A') : unit[0];
    const size_t power = kPrefixes.find(letter);
    if (power == std::string_view::npos) return bad("is not a count, such as 1000000 or 1M");
    for (size_t i = 0; i <= power; ++i) factor *= 1000;
  }
  return Multiply(text, number, factor);
}

}  // namespace tifs
