#include "cli/volume_io.h"

#include <fmt/format.h>

#include <chrono>

#include "block/io_settings.h"
#include "cli/size_text.h"

namespace tifs::cli {
namespace {

using block::IoClass;
using block::kIoClasses;

std::string NameOf(size_t io_class) {
  return std::string(block::IoClassName(static_cast<IoClass>(io_class)));
}

std::string LatencyAt(const Json& json, const char* key) {
  return FormatLatency(std::chrono::nanoseconds(json[key].get<uint64_t>()));
}

}  // namespace

Json VolumeIoToJson(const VolumeIo& io) {
  Json settings = Json::object();
  for (const auto& [name, value] : block::ListIoSettings(io.settings)) settings[name] = value;
  Json waits = Json::array();
  for (size_t i = 1; i < kIoClasses; ++i) {
    waits.push_back({{"class", NameOf(i)},
                     {"waits", io.counts.classes[i].waits},
                     {"waited_ns", io.counts.classes[i].waited_ns}});
  }
  Json transfers = Json::array();
  for (const VolumeIo::Instance& instance : io.instances) {
    for (size_t i = 0; i < kIoClasses; ++i) {
      const block::IoClassCounts& one = instance.classes[i];
      transfers.push_back({{"instance", instance.name},
                           {"class", NameOf(i)},
                           {"reads", one.reads},
                           {"read_bytes", one.read_bytes},
                           {"writes", one.writes},
                           {"write_bytes", one.write_bytes}});
    }
  }
  return {{"settings", std::move(settings)},
          {"background_share_percent", io.counts.background_share_percent},
          {"read_p50_ns", io.counts.read_p50_ns},
          {"read_p99_ns", io.counts.read_p99_ns},
          {"read_p999_ns", io.counts.read_p999_ns},
          {"waits", std::move(waits)},
          {"transfers", std::move(transfers)}};
}

std::string TransfersToText(const Json& volume_io) {
  using Align = Table::Align;
  Table table({{"volume I/O for"},
               {"class"},
               {"reads", Align::kRight},
               {"read", Align::kRight},
               {"writes", Align::kRight},
               {"written", Align::kRight}});
  for (const Json& one : volume_io["transfers"]) {
    const auto reads = one["reads"].get<uint64_t>();
    const auto writes = one["writes"].get<uint64_t>();
    if (reads == 0 && writes == 0) continue;
    table.AddRow({one["instance"].get<std::string>(), one["class"].get<std::string>(),
                  FormatCount(reads), FormatSize(one["read_bytes"].get<uint64_t>()),
                  FormatCount(writes), FormatSize(one["write_bytes"].get<uint64_t>())});
  }
  return table.ToString();
}

std::string SchedulerToText(const Json& volume_io) {
  Table table({{""}, {""}});
  for (const auto& [name, value] : volume_io["settings"].items()) {
    const auto text = value.get<std::string>();
    const bool is_unlimited = text == "0";
    table.AddRow({name, is_unlimited ? "no limit" : text});
  }
  table.AddRow(
      {"reads take",
       fmt::format("{} (p50), {} (p99), {} (p99.9)", LatencyAt(volume_io, "read_p50_ns"),
                   LatencyAt(volume_io, "read_p99_ns"), LatencyAt(volume_io, "read_p999_ns"))});
  table.AddRow({"background share",
                fmt::format("{:.0f} %", volume_io["background_share_percent"].get<double>())});
  for (const Json& one : volume_io["waits"]) {
    table.AddRow({fmt::format("{} waited", one["class"].get<std::string>()),
                  fmt::format("{} times, {}", FormatCount(one["waits"].get<uint64_t>()),
                              LatencyAt(one, "waited_ns"))});
  }
  return table.ToString();
}

}  // namespace tifs::cli
