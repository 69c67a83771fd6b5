#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/volume_commands.h"
#include "cli/volume_device.h"
#include "volume/volume_check.h"

namespace tifs::cli {
namespace {

using volume::CheckReport;
using volume::Finding;

// fsck(8): bits of one exit status.
constexpr int kFsckClean = 0;
constexpr int kFsckCorrected = 1;
constexpr int kFsckLeft = 4;
constexpr int kFsckOperationalError = 8;
constexpr int kFsckUsage = 16;

struct VolumeCheckArguments {
  std::string device;
  bool repair = false;
  bool cut_damaged_journal = false;
  bool json = false;
};

Result<CheckReport> CheckOnce(const VolumeCheckArguments& arguments, bool repair) {
  volume::CheckOptions options;
  options.repair = repair;
  options.cut_damaged_journal = arguments.cut_damaged_journal;
  options.owner = OwnerText("tifs volume check");
  auto device = TRY(OpenAlone(arguments.device, /*read_only=*/!repair));
  auto report = volume::VolumeCheck::Run(std::move(device), options);
  if (report) return report;
  if (report.error().code() != ErrorCode::kCorrupt) {
    return VolumeError(arguments.device, std::move(report).error());
  }
  // No copy of the superblock can be read: all that there is to say.
  CheckReport nothing;
  nothing.findings.push_back({Finding::Severity::kError, report.error().ToString()});
  return nothing;
}

Json CheckJson(const std::string& device, const CheckReport& report) {
  Json json = {{"device", Escaped(device)},
               {"files", report.files},
               {"directories", report.directories},
               {"used_bytes", report.used_bytes},
               {"free_bytes", report.free_bytes},
               {"finding_count", report.findings.size()},
               {"unrepaired", report.is_repaired ? 0 : report.findings.size()},
               {"findings", Json::array()}};
  for (const Finding& finding : report.findings) {
    const bool is_warning = finding.severity == Finding::Severity::kWarning;
    json["findings"].push_back({{"what", Escaped(finding.text)},
                                {"severity", is_warning ? "warning" : "error"},
                                {"repaired", report.is_repaired}});
  }
  return json;
}

std::string CheckText(const std::string& device, const CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.findings) {
    const bool is_warning = finding.severity == Finding::Severity::kWarning;
    text += fmt::format("{}: {}{}\n", is_warning ? "warning" : "error", Escaped(finding.text),
                        report.is_repaired ? " (repaired)" : "");
  }
  const std::string outcome = report.findings.empty() ? "clean"
                              : report.is_repaired    ? "repaired"
                                                      : "not repaired";
  return text + fmt::format("{}: {} files, {} used, {} free; {}\n", Escaped(device),
                            FormatCount(report.files), FormatSize(report.used_bytes),
                            FormatSize(report.free_bytes), outcome);
}

Result<int> Check(const VolumeCheckArguments& arguments) {
  CheckReport report = TRY(CheckOnce(arguments, arguments.repair));
  if (report.is_repaired) {
    // Seeing is believing.
    CheckReport after = TRY(CheckOnce(arguments, /*repair=*/false));
    if (!after.findings.empty()) report = std::move(after);
  }
  const bool printed = arguments.json ? PrintJson(CheckJson(arguments.device, report))
                                      : PrintText(CheckText(arguments.device, report));
  if (!printed) return kFsckOperationalError;
  if (report.findings.empty()) return kFsckClean;
  return report.is_repaired ? kFsckCorrected : kFsckLeft;
}

int RunCheck(const VolumeCheckArguments& arguments) {
  return RunOnDevice(arguments.device, kFsckUsage, kFsckOperationalError,
                     [&] { return Check(arguments); });
}

Result<int> Resize(const std::string& device, bool json) {
  const auto before = TRY(OpenToRead(device))->Identity().device_bytes;
  const uint64_t size_bytes = TRY(OpenAlone(device, /*read_only=*/true))->size_bytes();
  uint64_t now = before;
  std::string text = fmt::format("{}: uses all {} already\n", Escaped(device), FormatSize(before));
  if (size_bytes / volume::kBlockBytes != before / volume::kBlockBytes) {
    const auto volume = TRY(OpenToWrite(device, "tifs volume resize"));
    auto after = volume->Grow();
    if (!after) return VolumeError(device, std::move(after).error());
    if (Status closed = volume->Close(); !closed) {
      return VolumeError(device, std::move(closed).error());
    }
    now = *after;
    text = fmt::format("{}: grew from {} to {}\n", Escaped(device), FormatSize(before),
                       FormatSize(now));
  }
  const bool printed =
      json ? PrintJson(
                 {{"device", Escaped(device)}, {"before_bytes", before}, {"device_bytes", now}})
           : PrintText(text);
  return printed ? kExitDone : kExitFailed;
}

}  // namespace

void AddVolumeCheckCommands(CLI::App& volume, int& exit_code) {
  auto check = std::make_shared<VolumeCheckArguments>();
  CLI::App* command = volume.add_subcommand("check", "Check a volume, and repair it");
  command->add_option("DEVICE", check->device, "/dev/... or file:/absolute/path")->required();
  CLI::Option* repair = command->add_flag("--repair", check->repair, "Repair what can be repaired");
  command
      ->add_flag("--cut-damaged-journal", check->cut_damaged_journal,
                 "With --repair: give up what lies behind damage in both copies of the journal")
      ->needs(repair);
  command->add_flag("--json", check->json, "Print one JSON document");
  command->footer(
      "Without --repair nothing is written.\n"
      "Exit status as fsck(8): 0 clean, 1 corrected, 4 left, 8 failed, 16 usage.");
  command->callback([check, &exit_code] { exit_code = RunCheck(*check); });

  auto device = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command = volume.add_subcommand("resize", "Use the new space after the device grew");
  command->add_option("DEVICE", *device, "/dev/... or file:/absolute/path")->required();
  command->add_flag("--json", *json, "Print one JSON document");
  command->callback([device, json, &exit_code] {
    exit_code =
        RunOnDevice(*device, kExitUsage, kExitFailed, [&] { return Resize(*device, *json); });
  });
}

}  // namespace tifs::cli
