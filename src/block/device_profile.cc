#include "block/device_profile.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace tifs::block {
namespace {

constexpr std::string_view kFirstLine = "tifs-device-profile 1";
constexpr uint64_t kMaxFigure = 1'000'000'000'000'000;

struct Figure {
  std::string_view name;
  uint64_t DeviceProfile::*member;
};

constexpr std::array<Figure, 5> kFigures = {{
    {"read_iops", &DeviceProfile::read_iops},
    {"read_bytes_per_s", &DeviceProfile::read_bytes_per_s},
    {"write_iops", &DeviceProfile::write_iops},
    {"write_bytes_per_s", &DeviceProfile::write_bytes_per_s},
    {"latency_goal_ns", &DeviceProfile::latency_goal_ns},
}};

Error NoProfile(std::string why) {
  return Error(ErrorCode::kCorrupt, "device profile", std::move(why));
}

std::string_view TakeLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

Status ParseLine(std::string_view line, DeviceProfile& profile) {
  const std::string_view name = line.substr(0, line.find(' '));
  const auto figure = std::ranges::find(kFigures, name, &Figure::name);
  if (figure == kFigures.end()) return {};
  const std::string_view digits = line.substr(std::min(line.size(), name.size() + 1));
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), profile.*(figure->member));
  if (error == std::errc() && end == digits.data() + digits.size()) return {};
  return NoProfile("no number for " + std::string(name));
}

}  // namespace

std::chrono::nanoseconds DeviceProfile::CostOf(IoKind kind, uint64_t bytes) const {
  if (kind != IoKind::kRead && kind != IoKind::kWrite) return {};
  const auto per_s = [](uint64_t amount, uint64_t rate) {
    return static_cast<double>(amount) / static_cast<double>(std::max<uint64_t>(rate, 1));
  };
  const double seconds = kind == IoKind::kRead
                             ? std::max(per_s(1, read_iops), per_s(bytes, read_bytes_per_s))
                             : std::max(per_s(1, write_iops), per_s(bytes, write_bytes_per_s));
  // A day is for ever, and does not overflow when many are added.
  return std::chrono::nanoseconds(static_cast<int64_t>(std::min(seconds, 86'400.0) * 1e9));
}

DeviceProfile DeviceProfile::Unknown() {
  DeviceProfile profile;
  for (const Figure& figure : kFigures) profile.*(figure.member) = kMaxFigure;
  return profile;
}

Status DeviceProfile::Validate() const {
  for (const Figure& figure : kFigures) {
    const uint64_t value = this->*(figure.member);
    if (value == 0 || value > kMaxFigure) {
      return Error(ErrorCode::kInvalid, "device profile",
                   std::string(figure.name) + " is not in [1, 10^15]");
    }
  }
  return {};
}

std::string DeviceProfile::ToText() const {
  std::string text(kFirstLine);
  text += '\n';
  for (const Figure& figure : kFigures) {
    text.append(figure.name).append(" ").append(std::to_string(this->*(figure.member)));
    text += '\n';
  }
  return text;
}

Result<DeviceProfile> DeviceProfile::Parse(std::string_view text) {
  if (text.size() > kMaxTextBytes) return NoProfile("too long");
  if (TakeLine(text) != kFirstLine) return NoProfile("the first line is another");
  DeviceProfile profile;
  while (!text.empty()) TRY(ParseLine(TakeLine(text), profile));
  if (const Status valid = profile.Validate(); !valid) {
    return NoProfile(std::string(valid.error().detail()));
  }
  return profile;
}

}  // namespace tifs::block
