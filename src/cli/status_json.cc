#include "cli/status_json.h"

#include <fmt/format.h>

#include <chrono>

#include "cli/size_text.h"
#include "cli/volume_io.h"

namespace tifs::cli {
namespace {

using std::chrono::nanoseconds;

std::string SizeWithBytes(uint64_t bytes) {
  return bytes < 1024 ? FormatSize(bytes)
                      : fmt::format("{} ({} bytes)", FormatSize(bytes), FormatCount(bytes));
}

std::string LimitText(uint64_t used, uint64_t limit, std::string (*format)(uint64_t),
                      std::string_view no_limit) {
  if (limit == 0) return fmt::format("{} used, {}", format(used), no_limit);
  return fmt::format("{} used of {} ({:.0f} %)", format(used), format(limit),
                     100.0 * static_cast<double>(used) / static_cast<double>(limit));
}

uint64_t NumberAt(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<uint64_t>() : 0;
}

std::string StringAt(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json OperationToJson(fs::Op op, const fs::OpMetrics& metrics) {
  const uint64_t count = metrics.latency.count();
  return {{"name", std::string(fs::OpName(op))},
          {"count", count},
          {"errors", metrics.errors.value()},
          {"total_ns", metrics.latency.sum_ns()},
          {"mean_ns", count == 0 ? 0 : metrics.latency.sum_ns() / count},
          {"p50_ns", metrics.latency.QuantileNs(0.5)},
          {"p90_ns", metrics.latency.QuantileNs(0.9)},
          {"p99_ns", metrics.latency.QuantileNs(0.99)},
          {"p999_ns", metrics.latency.QuantileNs(0.999)}};
}

// The operation of the same name in an earlier answer.
const Json* OperationIn(const Json* stats, const std::string& name) {
  if (stats == nullptr) return nullptr;
  for (const Json& operation : (*stats)["operations"]) {
    if (operation["name"] == name) return &operation;
  }
  return nullptr;
}

std::string RateText(uint64_t now, uint64_t before, double seconds) {
  if (seconds <= 0) return "";
  return fmt::format("{:.0f}", static_cast<double>(now - before) / seconds);
}

}  // namespace

Json InfoToJson(const Uri& uri, const ClaimedStore& store, const fs::FileSystemInfo& info,
                const fs::FileSystemUsage& usage) {
  Json volume = nullptr;
  if (const auto place = store.volume()) {
    volume = {{"uuid", place->uuid},
              {"name", Escaped(place->name)},
              {"device", Escaped(place->device)},
              {"root", place->root}};
  }
  return {{"uri", uri.ToString()},
          {"volume", std::move(volume)},
          {"uuid", info.uuid},
          {"name", Escaped(info.name)},
          {"format_version", info.format_version},
          {"block_size_bytes", info.block_size_bytes},
          {"capacity_bytes", info.capacity_bytes},
          {"max_inodes", info.max_inodes},
          {"used_bytes", info.used_bytes},
          {"used_inodes", info.used_inodes},
          {"available_bytes", usage.available_blocks * usage.block_size_bytes},
          {"orphans", info.orphans},
          {"open_handles", info.open_handles},
          {"read_only_reason", Escaped(info.read_only_reason)}};
}

Json StatsToJson(fs::FileSystem& file_system, ClaimedStore& store, double uptime_seconds) {
  const fs::FileSystemMetrics& metrics = file_system.metrics();
  Json operations = Json::array();
  for (size_t i = 0; i < metrics.ops.size(); ++i) {
    operations.push_back(OperationToJson(static_cast<fs::Op>(i), metrics.ops[i]));
  }
  const kv::TransactionMetrics& transactions = file_system.transaction_metrics();
  Json figures = Json::object();
  for (const auto& [name, value] : store.Figures()) figures[name] = value;
  const auto volume_io = store.Io();
  return {{"uptime_seconds", uptime_seconds},
          {"read_bytes", metrics.read_bytes.value()},
          {"written_bytes", metrics.written_bytes.value()},
          {"reclaimed_inodes", metrics.reclaimed_inodes.value()},
          {"cleared_blocks", metrics.cleared_blocks.value()},
          {"corrupt_values", metrics.corrupt_values.value()},
          {"transactions",
           {{"started", transactions.started.value()},
            {"committed", transactions.committed.value()},
            {"conflicts", transactions.conflicts.value()},
            {"unavailable", transactions.unavailable.value()},
            {"undetermined", transactions.undetermined.value()}}},
          {"operations", std::move(operations)},
          {"store", std::move(figures)},
          {"volume_io", volume_io ? VolumeIoToJson(*volume_io) : Json(nullptr)}};
}

Json CheckReportToJson(const fs::CheckReport& report) {
  Json findings = Json::array();
  for (const fs::CheckFinding& finding : report.findings) {
    findings.push_back({{"what", finding.what}, {"repaired", finding.repaired}});
  }
  return {{"inodes", report.inodes},
          {"directories", report.directories},
          {"blocks", report.blocks},
          {"orphans", report.orphans},
          {"used_bytes", report.used_bytes},
          {"missing_bytes", report.missing_bytes},
          {"finding_count", report.finding_count},
          {"unrepaired", report.unrepaired},
          {"findings", std::move(findings)}};
}

Result<Json> CheckToJson(ClaimedStore& store, const Uri& uri, const fs::CheckOptions& options) {
  Result<fs::CheckReport> report = CheckStore(store, options);
  if (report) return CheckReportToJson(*report);
  const Error& error = report.error();
  if (error.code() == ErrorCode::kNotFound) {
    return Explained(error.code(), Escaped(uri.Subject()), "the store is not formatted",
                     fmt::format("run 'tifs format {}' first", ShellQuoted(uri.ToString())));
  }
  if (error.code() == ErrorCode::kNotSupported) {
    return Explained(error.code(), Escaped(uri.Subject()),
                     fmt::format("written by a newer version ({})", Escaped(error.detail())),
                     "use that version or a later one");
  }
  return ExplainedAs(Escaped(uri.Subject()), std::move(report).error());
}

std::string InfoToText(const Json& info) {
  Table table({{""}, {""}});
  table.AddRow({"URI", StringAt(info, "uri")});
  if (const std::string name = StringAt(info, "name"); !name.empty()) {
    table.AddRow({"name", name});
  }
  table.AddRow({"UUID", StringAt(info, "uuid")});
  const Json volume = info.value("volume", Json());
  if (volume.is_object()) {
    const std::string name = StringAt(volume, "name");
    table.AddRow({"volume", fmt::format("{}{} at {}, root '{}'", name.empty() ? "" : name + " ",
                                        StringAt(volume, "uuid"), StringAt(volume, "device"),
                                        StringAt(volume, "root"))});
  }
  table.AddRow({"format version", fmt::format("{}", NumberAt(info, "format_version"))});
  table.AddRow({"block size", FormatSize(NumberAt(info, "block_size_bytes"))});
  table.AddRow({"space", LimitText(NumberAt(info, "used_bytes"), NumberAt(info, "capacity_bytes"),
                                   FormatSize,
                                   volume.is_object() ? "as much as the volume has"
                                                      : "as much as the disk below has")});
  table.AddRow({"available", SizeWithBytes(NumberAt(info, "available_bytes"))});
  table.AddRow({"inodes", LimitText(NumberAt(info, "used_inodes"), NumberAt(info, "max_inodes"),
                                    FormatCount, "no limit")});
  if (NumberAt(info, "orphans") > 0) {
    table.AddRow({"being reclaimed", FormatCount(NumberAt(info, "orphans")) + " inodes"});
  }
  if (info.contains("mounted")) {
    const Json& mounted = info["mounted"];
    if (mounted.is_object()) {
      table.AddRow(
          {"mounted", fmt::format("at {} by pid {} since {}", StringAt(mounted, "mount_point"),
                                  NumberAt(mounted, "pid"), StringAt(mounted, "since"))});
      table.AddRow({"mode", mounted.value("read_only", false) ? "read-only" : "read-write"});
      table.AddRow({"open handles", FormatCount(NumberAt(info, "open_handles"))});
    } else {
      table.AddRow({"mounted", "no"});
    }
  }
  if (const std::string reason = StringAt(info, "read_only_reason"); !reason.empty()) {
    table.AddRow({"READ-ONLY", reason});
  }
  return table.ToString();
}

std::string StatsToText(const Json& stats, const Json* before) {
  using Align = Table::Align;
  const double seconds = before == nullptr ? 0
                                           : stats["uptime_seconds"].get<double>() -
                                                 (*before)["uptime_seconds"].get<double>();
  std::vector<Table::Column> columns = {
      {"operation"},           {"count", Align::kRight}, {"errors", Align::kRight},
      {"mean", Align::kRight}, {"p50", Align::kRight},   {"p99", Align::kRight},
      {"p99.9", Align::kRight}};
  if (before != nullptr) columns.push_back({"per second", Align::kRight});
  Table operations(std::move(columns));
  for (const Json& each : stats["operations"]) {
    const uint64_t count = NumberAt(each, "count");
    if (count == 0) continue;
    const auto latency = [&each](const char* key) {
      return FormatLatency(nanoseconds(NumberAt(each, key)));
    };
    std::vector<std::string> row = {
        StringAt(each, "name"), FormatCount(count), FormatCount(NumberAt(each, "errors")),
        latency("mean_ns"),     latency("p50_ns"),  latency("p99_ns"),
        latency("p999_ns")};
    if (const Json* earlier = OperationIn(before, row[0]); earlier != nullptr) {
      row.push_back(RateText(count, NumberAt(*earlier, "count"), seconds));
    }
    operations.AddRow(std::move(row));
  }

  Table totals({{""}, {"", Align::kRight}, {"", Align::kRight}});
  const auto add_bytes = [&](const char* title, const char* key) {
    const uint64_t now = NumberAt(stats, key);
    std::string rate;
    if (before != nullptr && seconds > 0) {
      const double per_second = static_cast<double>(now - NumberAt(*before, key)) / seconds;
      rate = FormatSize(static_cast<uint64_t>(per_second)) + "/s";
    }
    totals.AddRow({title, FormatSize(now), rate});
  };
  add_bytes("read", "read_bytes");
  add_bytes("written", "written_bytes");
  const Json& transactions = stats["transactions"];
  for (const char* key : {"committed", "conflicts"}) {
    totals.AddRow({fmt::format("transactions {}", key), FormatCount(NumberAt(transactions, key)),
                   before == nullptr ? ""
                                     : RateText(NumberAt(transactions, key),
                                                NumberAt((*before)["transactions"], key), seconds) +
                                           "/s"});
  }
  totals.AddRow({"inodes reclaimed", FormatCount(NumberAt(stats, "reclaimed_inodes")), ""});
  totals.AddRow({"blocks cleared", FormatCount(NumberAt(stats, "cleared_blocks")), ""});
  totals.AddRow({"corrupt values met", FormatCount(NumberAt(stats, "corrupt_values")), ""});
  for (const auto& [name, value] : stats["store"].items()) {
    totals.AddRow({fmt::format("store {}", name),
                   name.ends_with("_bytes") ? FormatSize(value.get<uint64_t>())
                                            : FormatCount(value.get<uint64_t>()),
                   ""});
  }
  const auto volume_io = stats.find("volume_io");
  const bool has_volume = volume_io != stats.end() && volume_io->is_object();
  return fmt::format("up {:.0f} s\n\n{}\n{}{}", stats["uptime_seconds"].get<double>(),
                     operations.ToString(), totals.ToString(),
                     has_volume ? "\n" + TransfersToText(*volume_io) : "");
}

std::string CheckReportToText(const Json& report) {
  std::string text;
  uint64_t shown = 0;
  for (const Json& finding : report["findings"]) {
    text += fmt::format("{}{}\n", StringAt(finding, "what"),
                        finding.value("repaired", false) ? " (repaired)" : "");
    ++shown;
  }
  const uint64_t findings = NumberAt(report, "finding_count");
  if (findings > shown) text += fmt::format("... and {} more\n", FormatCount(findings - shown));
  text += fmt::format(
      "{} inodes, {} of them directories, {} blocks, {} in use",
      FormatCount(NumberAt(report, "inodes")), FormatCount(NumberAt(report, "directories")),
      FormatCount(NumberAt(report, "blocks")), FormatSize(NumberAt(report, "used_bytes")));
  if (const uint64_t orphans = NumberAt(report, "orphans"); orphans > 0) {
    text += fmt::format("; {} unlinked inodes are being reclaimed", FormatCount(orphans));
  }
  if (const uint64_t missing = NumberAt(report, "missing_bytes"); missing > 0) {
    text += fmt::format("; {} of files lie beyond the end of the data file and read as zeros",
                        FormatSize(missing));
  }
  const uint64_t unrepaired = NumberAt(report, "unrepaired");
  if (findings == 0) {
    text += "; clean\n";
  } else {
    text += fmt::format("; {} findings, {} repaired, {} left\n", FormatCount(findings),
                        FormatCount(findings - unrepaired), FormatCount(unrepaired));
  }
  return text;
}

}  // namespace tifs::cli
