#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/parse_size.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/stop_signals.h"
#include "cli/volume_commands.h"
#include "cli/volume_device.h"
#include "volume/measure_volume.h"
#include "volume/stored_profile.h"

namespace tifs::cli {
namespace {

using volume::Measurement;
using volume::VolumeMeasurements;

struct VolumeBenchArguments {
  std::string device;
  std::string size;
  double seconds = 1;
  double latency_goal_ms = 0;  // 0: as measured
  bool save = false;
  bool json = false;
};

Result<volume::MeasureOptions> OptionsOf(const VolumeBenchArguments& arguments) {
  constexpr std::string_view kHelp = "run 'tifs volume bench --help'";
  volume::MeasureOptions options;
  if (!arguments.size.empty()) {
    auto size = ParseSize(arguments.size);
    if (!size) return Explained(ErrorCode::kInvalid, "--size", size.error().detail(), kHelp);
    options.size_bytes = *size;
  }
  if (Status status = options.Validate(); !status) {
    return Explained(ErrorCode::kInvalid, "--size", status.error().detail(), kHelp);
  }
  options.duration = std::chrono::milliseconds(static_cast<int64_t>(arguments.seconds * 1000));
  return options;
}

Json BenchJson(const VolumeBenchArguments& arguments, const VolumeMeasurements& measured) {
  Json json = {{"device", Escaped(arguments.device)},
               {"size_bytes", measured.size_bytes},
               {"measurements", Json::array()}};
  for (const Measurement& one : measured.measurements) {
    json["measurements"].push_back({{"name", one.name},
                                    {"depth", one.depth},
                                    {"bytes", one.bytes},
                                    {"ops_per_s", one.ops_per_s},
                                    {"p50_ns", one.p50_ns},
                                    {"p99_ns", one.p99_ns},
                                    {"p999_ns", one.p999_ns}});
  }
  const block::DeviceProfile& profile = measured.profile;
  json["profile"] = {{"read_iops", profile.read_iops},
                     {"read_bytes_per_s", profile.read_bytes_per_s},
                     {"write_iops", profile.write_iops},
                     {"write_bytes_per_s", profile.write_bytes_per_s},
                     {"latency_goal_ns", profile.latency_goal_ns}};
  json["saved"] = arguments.save;
  return json;
}

std::string BenchText(const VolumeBenchArguments& arguments, const VolumeMeasurements& measured) {
  const auto latency = [](uint64_t ns) { return FormatLatency(std::chrono::nanoseconds(ns)); };
  using Align = Table::Align;
  Table table({{"WORK"},
               {"DEPTH", Align::kRight},
               {"OPS/S", Align::kRight},
               {"BYTES/S", Align::kRight},
               {"P50", Align::kRight},
               {"P99", Align::kRight},
               {"P99.9", Align::kRight}});
  for (const Measurement& one : measured.measurements) {
    const double bytes_per_s = one.ops_per_s * static_cast<double>(one.bytes);
    table.AddRow({fmt::format("{} {}", one.name, FormatSize(one.bytes)), fmt::to_string(one.depth),
                  FormatCount(static_cast<uint64_t>(one.ops_per_s)),
                  FormatSize(static_cast<uint64_t>(bytes_per_s)), latency(one.p50_ns),
                  latency(one.p99_ns), latency(one.p999_ns)});
  }
  const block::DeviceProfile& profile = measured.profile;
  return table.ToString() +
         fmt::format("reads {}/s and {}/s, writes {}/s and {}/s; latency goal {}{}\n",
                     FormatCount(profile.read_iops), FormatSize(profile.read_bytes_per_s),
                     FormatCount(profile.write_iops), FormatSize(profile.write_bytes_per_s),
                     latency(profile.latency_goal_ns),
                     arguments.save ? "; saved on the volume" : "");
}

Result<int> Bench(const VolumeBenchArguments& arguments, volume::MeasureOptions options) {
  const StopSignals stop;
  options.check = [&stop] { return stop.Check(); };
  const auto volume = TRY(OpenToWrite(arguments.device, "tifs volume bench"));
  auto measured = volume::MeasureVolume(*volume, options, SystemClock());
  if (!measured) {
    if (measured.error().code() != ErrorCode::kNoSpace) {
      return VolumeError(arguments.device, std::move(measured).error());
    }
    return Explained(
        ErrorCode::kNoSpace, Escaped(arguments.device), "less than 32 MiB are free",
        fmt::format("'tifs volume df {}' shows how full it is", ShellQuoted(arguments.device)));
  }
  if (arguments.latency_goal_ms > 0) {
    measured->profile.latency_goal_ns = static_cast<uint64_t>(arguments.latency_goal_ms * 1e6);
  }
  if (arguments.save) {
    if (Status saved = volume::SaveDeviceProfile(*volume, measured->profile); !saved) {
      return VolumeError(arguments.device, std::move(saved).error());
    }
  }
  if (Status closed = volume->Close(); !closed) {
    return VolumeError(arguments.device, std::move(closed).error());
  }
  const bool printed = arguments.json ? PrintJson(BenchJson(arguments, *measured))
                                      : PrintText(BenchText(arguments, *measured));
  return printed ? kExitDone : kExitFailed;
}

int RunBench(const VolumeBenchArguments& arguments) {
  const auto options = OptionsOf(arguments);
  if (!options) {
    PrintError(options.error());
    return kExitUsage;
  }
  return RunOnDevice(arguments.device, kExitUsage, kExitFailed,
                     [&] { return Bench(arguments, *options); });
}

}  // namespace

void AddVolumeBenchCommand(CLI::App& volume, int& exit_code) {
  auto arguments = std::make_shared<VolumeBenchArguments>();
  CLI::App* command =
      volume.add_subcommand("bench", "Measure a volume's device, for its I/O scheduler");
  command->add_option("DEVICE", arguments->device, "/dev/... or file:/absolute/path")->required();
  command
      ->add_option("--size", arguments->size,
                   "How much to write, in whole MiB from 16MiB on (default 512MiB)")
      ->type_name("SIZE");
  command->add_option("--seconds", arguments->seconds, "For each kind of work (default 1)")
      ->type_name("N")
      ->check(CLI::Range(0.01, 3600.0));
  command
      ->add_option("--latency-goal", arguments->latency_goal_ms,
                   "What a read may take, in milliseconds (default: by what was measured)")
      ->type_name("MS")
      ->check(CLI::Range(0.001, 60000.0));
  command->add_flag("--save", arguments->save,
                    "Keep the profile on the volume: from then on background I/O is scheduled");
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->footer(
      "Writes only into free extents, at most half of them, and frees them again.\n"
      "Nobody else should use the device meanwhile.");
  command->callback([arguments, &exit_code] { exit_code = RunBench(*arguments); });
}

}  // namespace tifs::cli
