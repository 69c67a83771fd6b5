#include "block/io_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/coding.h"
#include "base/parse_size.h"

namespace tifs::block {
namespace {

constexpr double kMaxGoalMs = 60'000;
// A transfer that has waited for its limit cannot be called off: an unmount waits for it.
constexpr uint64_t kLeastBytesPerS = 1 << 20;
constexpr uint64_t kLeastIops = 10;

Error BadSetting(std::string_view name, std::string_view value, std::string_view way_out) {
  return Error(
      ErrorCode::kInvalid, "I/O settings",
      fmt::format("{}={} is not possible; {}", EscapeForLog(name), EscapeForLog(value), way_out));
}

Error NeedsProfile(std::string_view name) {
  return Error(ErrorCode::kInvalid, "I/O settings",
               fmt::format("{} takes a profile of the device, which the volume does not have; run "
                           "'tifs volume bench --save' while nobody uses it",
                           name));
}

std::optional<double> ParseDecimal(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint32_t> ParseWithin(std::string_view text, uint32_t least, uint32_t most) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number < least || number > most) return std::nullopt;
  return number;
}

// "compaction" and "weight" of "compaction.weight".
struct ClassSetting {
  size_t io_class;
  std::string_view what;
};

std::optional<ClassSetting> ClassSettingOf(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == name.npos) return std::nullopt;
  const std::string_view what = name.substr(dot + 1);
  if (what != "weight" && what != "max_bytes_per_s" && what != "max_iops") return std::nullopt;
  for (size_t i = 1; i < kIoClasses; ++i) {
    if (IoClassName(static_cast<IoClass>(i)) == name.substr(0, dot)) return ClassSetting{i, what};
  }
  return std::nullopt;
}

Status SetLimit(const IoSetting& setting, const Result<uint64_t>& parsed, uint64_t least,
                std::string_view way_out, uint64_t& limit) {
  if (!parsed || (*parsed != 0 && *parsed < least)) {
    return BadSetting(setting.first, setting.second, way_out);
  }
  limit = *parsed;
  return {};
}

Status SetOfClass(const IoSetting& setting, std::string_view what, IoClassOptions& options) {
  const auto& [name, value] = setting;
  if (what == "max_bytes_per_s") {
    return SetLimit(setting, ParseSize(value), kLeastBytesPerS,
                    "write a size from 1MiB on, or 0 for no limit", options.max_bytes_per_s);
  }
  if (what == "max_iops") {
    return SetLimit(setting, ParseCount(value), kLeastIops,
                    "write a count from 10 on, or 0 for no limit", options.max_iops);
  }
  const auto weight = ParseWithin(value, 1, 1000);
  if (!weight) return BadSetting(name, value, "write a number from 1 to 1000");
  options.weight = *weight;
  return {};
}

Status SetOne(const IoSetting& setting, bool has_profile, IoSchedulerOptions& options) {
  const auto& [name, value] = setting;
  if (const auto of_class = ClassSettingOf(name)) {
    return SetOfClass(setting, of_class->what, options.classes[of_class->io_class]);
  }
  if (name == "latency_goal_ms") {
    const auto goal_ms = ParseDecimal(value);
    if (!goal_ms || *goal_ms < 0.001 || *goal_ms > kMaxGoalMs) {
      return BadSetting(name, value, "write milliseconds from 0.001 to 60000");
    }
    if (!has_profile) return NeedsProfile(name);
    options.profile.latency_goal_ns = static_cast<uint64_t>(std::llround(*goal_ms * 1e6));
    return {};
  }
  if (name == "min_background_percent") {
    const auto percent = ParseWithin(value, 1, 100);
    if (!percent) return BadSetting(name, value, "write a number from 1 to 100");
    options.min_background_percent = *percent;
    return {};
  }
  return Error(ErrorCode::kInvalid, "I/O settings",
               fmt::format("there is no setting '{}'; there are scheduler, latency_goal_ms, "
                           "min_background_percent, and weight, max_bytes_per_s and max_iops of "
                           "flush, compaction and migration, as compaction.weight",
                           EscapeForLog(name)));
}

bool HasLimit(const IoSchedulerOptions& options) {
  return std::ranges::any_of(options.classes, [](const IoClassOptions& one) {
    return one.max_bytes_per_s != 0 || one.max_iops != 0;
  });
}

void AppendCounts(std::string_view prefix, const std::array<IoClassCounts, kIoClasses>& classes,
                  std::string& text) {
  for (size_t i = 0; i < kIoClasses; ++i) {
    const auto name = IoClassName(static_cast<IoClass>(i));
    const IoClassCounts& one = classes[i];
    text += fmt::format("{0}.{1}.reads {2}\n{0}.{1}.read_bytes {3}\n", prefix, name, one.reads,
                        one.read_bytes);
    text += fmt::format("{0}.{1}.writes {2}\n{0}.{1}.write_bytes {3}\n", prefix, name, one.writes,
                        one.write_bytes);
  }
}

}  // namespace

bool IsIoSetting(std::string_view name) {
  return name == "scheduler" || name == "latency_goal_ms" || name == "min_background_percent" ||
         ClassSettingOf(name);
}

Status ApplyIoSettings(IoScheduler& scheduler, std::span<const IoSetting> settings) {
  if (settings.empty()) return {};
  return scheduler.Change([settings](IoSchedulerSettings& now) -> Status {
    const bool has_profile = now.options.profile != DeviceProfile::Unknown();
    std::optional<bool> wanted;
    for (const IoSetting& setting : settings) {
      if (setting.first != "scheduler") {
        TRY(SetOne(setting, has_profile, now.options));
      } else if (setting.second == "on" || setting.second == "off") {
        wanted = setting.second == "on";
      } else {
        return BadSetting(setting.first, setting.second, "write on or off");
      }
    }
    if (wanted == true && !has_profile && !HasLimit(now.options))
      return NeedsProfile("scheduler=on");
    now.enabled = wanted.value_or(true);
    return {};
  });
}

std::vector<IoSetting> ListIoSettings(const IoSchedulerSettings& settings) {
  std::vector<IoSetting> list = {{"scheduler", settings.enabled ? "on" : "off"}};
  const IoSchedulerOptions& options = settings.options;
  if (options.profile != DeviceProfile::Unknown()) {
    list.emplace_back(
        "latency_goal_ms",
        fmt::format("{}", static_cast<double>(options.profile.latency_goal_ns) / 1e6));
  }
  list.emplace_back("min_background_percent", fmt::to_string(options.min_background_percent));
  for (size_t i = 1; i < kIoClasses; ++i) {
    const auto name = IoClassName(static_cast<IoClass>(i));
    const IoClassOptions& one = options.classes[i];
    list.emplace_back(fmt::format("{}.weight", name), fmt::to_string(one.weight));
    list.emplace_back(fmt::format("{}.max_bytes_per_s", name), fmt::to_string(one.max_bytes_per_s));
    list.emplace_back(fmt::format("{}.max_iops", name), fmt::to_string(one.max_iops));
  }
  return list;
}

std::string IoCountsText(const IoSchedulerCounts& counts, const IoCounter& instance) {
  std::string text;
  std::array<IoClassCounts, kIoClasses> all;
  for (size_t i = 0; i < kIoClasses; ++i) all[i] = counts.classes[i].transfers;
  AppendCounts("all", all, text);
  AppendCounts("instance", instance.All(), text);
  for (size_t i = 1; i < kIoClasses; ++i) {
    const auto name = IoClassName(static_cast<IoClass>(i));
    text += fmt::format("{0}.waits {1}\n{0}.waited_ns {2}\n", name, counts.classes[i].waits,
                        counts.classes[i].waited_ns);
  }
  text += fmt::format("read_p50_ns {}\nread_p99_ns {}\nread_p999_ns {}\n", counts.read_p50_ns,
                      counts.read_p99_ns, counts.read_p999_ns);
  text += fmt::format("background_share_percent {:.1f}\n", counts.background_share_percent);
  return text;
}

}  // namespace tifs::block
