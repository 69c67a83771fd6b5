#include <fmt/format.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/volume_commands.h"
#include "cli/volume_device.h"
#include "volume/volume.h"

namespace tifs::cli {
namespace {

using volume::DirectoryEntry;
using volume::InodeKind;
using volume::Volume;
using volume::VolumeIdentity;
using volume::VolumeUsage;

struct VolumeInfoArguments {
  std::string device;
  std::string path;
  bool json = false;
};

int PrintOne(bool as_json, const Json& json, const std::function<std::string()>& text) {
  return (as_json ? PrintJson(json) : PrintText(text())) ? kExitDone : kExitFailed;
}

uint64_t UsedBytes(const VolumeUsage& usage) { return usage.total_bytes - usage.free_bytes; }

std::string SizeWithBytes(uint64_t bytes) {
  return fmt::format("{} ({} bytes)", FormatSize(bytes), FormatCount(bytes));
}

// --- info ---

Json InfoJson(const std::string& device, const Volume& volume) {
  const VolumeIdentity identity = volume.Identity();
  const VolumeUsage usage = volume.Usage();
  Json json = {{"device", Escaped(device)},
               {"uuid", volume::UuidText(identity.uuid)},
               {"name", Escaped(identity.name)},
               {"formatted", TimeText(identity.formatted_ns)},
               {"closed", identity.was_closed},
               {"owner", Escaped(identity.owner)},
               {"generation", identity.generation},
               {"device_bytes", identity.device_bytes},
               {"extent_unit_bytes", identity.extent_unit_bytes},
               {"journal_bytes", identity.journal_bytes},
               {"checkpoint_bytes", identity.checkpoint_bytes},
               {"total_bytes", usage.total_bytes},
               {"free_bytes", usage.free_bytes},
               {"files", usage.files},
               {"directories", usage.directories},
               {"roots", Json::array()},
               {"warnings", Json::array()}};
  for (const DirectoryEntry& root : volume.Roots()) json["roots"].push_back(Escaped(root.name));
  for (const std::string& warning : volume.Warnings()) {
    json["warnings"].push_back(Escaped(warning));
  }
  return json;
}

std::string StateText(const VolumeIdentity& identity) {
  if (identity.was_closed) return "closed";
  return fmt::format("open, or not closed, by {}",
                     identity.owner.empty() ? "somebody" : Escaped(identity.owner));
}

std::string InfoText(const std::string& device, const Volume& volume) {
  const VolumeIdentity identity = volume.Identity();
  const VolumeUsage usage = volume.Usage();
  Table table({{""}, {""}});
  table.AddRow({"device", Escaped(device)});
  table.AddRow({"UUID", volume::UuidText(identity.uuid)});
  if (!identity.name.empty()) table.AddRow({"name", Escaped(identity.name)});
  table.AddRow({"formatted", TimeText(identity.formatted_ns)});
  table.AddRow({"state", StateText(identity)});
  table.AddRow({"size", SizeWithBytes(identity.device_bytes)});
  table.AddRow({"extent unit", FormatSize(identity.extent_unit_bytes)});
  table.AddRow({"journal", fmt::format("2 x {}", FormatSize(identity.journal_bytes))});
  table.AddRow({"checkpoints", fmt::format("3 x {}", FormatSize(identity.checkpoint_bytes))});
  table.AddRow({"data", fmt::format("{} used of {}", FormatSize(UsedBytes(usage)),
                                    FormatSize(usage.total_bytes))});
  table.AddRow({"files", FormatCount(usage.files)});
  std::string roots;
  for (const DirectoryEntry& root : volume.Roots()) {
    roots.append(roots.empty() ? "" : " ").append(Escaped(root.name));
  }
  table.AddRow({"roots", roots.empty() ? "none" : roots});
  for (const std::string& warning : volume.Warnings()) {
    table.AddRow({"warning", Escaped(warning)});
  }
  return table.ToString();
}

Result<int> Info(const VolumeInfoArguments& arguments) {
  const auto volume = TRY(OpenToLook(arguments.device));
  return PrintOne(arguments.json, InfoJson(arguments.device, *volume),
                  [&] { return InfoText(arguments.device, *volume); });
}

// --- df ---

struct RootUsage {
  std::string name;
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;
};

Result<RootUsage> Measure(Volume& volume, const std::string& name) {
  RootUsage usage{.name = name};
  const auto root = TRY(volume.OpenRoot(name, /*create=*/false));
  std::vector<std::string> directories = {""};
  std::unordered_set<uint64_t> linked;  // of several names one counts
  while (!directories.empty()) {
    const std::string directory = std::move(directories.back());
    directories.pop_back();
    for (const DirectoryEntry& entry : TRY(root->List(directory))) {
      if (entry.stat.kind == InodeKind::kDirectory) {
        ++usage.directories;
        directories.push_back(directory + "/" + entry.name);
        continue;
      }
      if (entry.stat.links > 1 && !linked.insert(entry.stat.inode).second) continue;
      ++usage.files;
      usage.size_bytes += entry.stat.size_bytes;
      usage.allocated_bytes += entry.stat.allocated_bytes;
    }
  }
  return usage;
}

Json DfJson(const std::string& device, const VolumeUsage& usage,
            const std::vector<RootUsage>& roots) {
  Json json = {{"device", Escaped(device)},
               {"total_bytes", usage.total_bytes},
               {"used_bytes", UsedBytes(usage)},
               {"free_bytes", usage.free_bytes},
               {"metadata_bytes", usage.metadata_bytes},
               {"metadata_limit_bytes", usage.metadata_limit_bytes},
               {"roots", Json::array()}};
  for (const RootUsage& root : roots) {
    json["roots"].push_back({{"name", Escaped(root.name)},
                             {"files", root.files},
                             {"directories", root.directories},
                             {"size_bytes", root.size_bytes},
                             {"allocated_bytes", root.allocated_bytes}});
  }
  return json;
}

std::string PercentText(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.0f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string DfText(const VolumeUsage& usage, const std::vector<RootUsage>& roots) {
  constexpr auto kRight = Table::Align::kRight;
  Table space({{""}, {"SIZE", kRight}, {"USED", kRight}, {"FREE", kRight}, {"USE", kRight}});
  space.AddRow({"data", FormatSize(usage.total_bytes), FormatSize(UsedBytes(usage)),
                FormatSize(usage.free_bytes), PercentText(UsedBytes(usage), usage.total_bytes)});
  space.AddRow({"metadata", FormatSize(usage.metadata_limit_bytes),
                FormatSize(usage.metadata_bytes),
                FormatSize(usage.metadata_limit_bytes - usage.metadata_bytes),
                PercentText(usage.metadata_bytes, usage.metadata_limit_bytes)});
  if (roots.empty()) return space.ToString();
  Table table({{"ROOT"}, {"FILES", kRight}, {"SIZE", kRight}, {"ALLOCATED", kRight}});
  for (const RootUsage& root : roots) {
    table.AddRow({Escaped(root.name), FormatCount(root.files), FormatSize(root.size_bytes),
                  FormatSize(root.allocated_bytes)});
  }
  return space.ToString() + "\n" + table.ToString();
}

Result<int> Df(const VolumeInfoArguments& arguments) {
  const auto volume = TRY(OpenToLook(arguments.device));
  std::vector<RootUsage> roots;
  for (const DirectoryEntry& root : volume->Roots()) {
    if (root.stat.kind != InodeKind::kDirectory) continue;
    auto usage = Measure(*volume, root.name);
    if (!usage) return VolumeError(arguments.device, std::move(usage).error());
    roots.push_back(*std::move(usage));
  }
  const VolumeUsage usage = volume->Usage();
  return PrintOne(arguments.json, DfJson(arguments.device, usage, roots),
                  [&] { return DfText(usage, roots); });
}

// --- ls ---

Result<std::vector<DirectoryEntry>> EntriesOf(const VolumeInfoArguments& arguments,
                                              Volume& volume) {
  if (arguments.path.empty()) return volume.Roots();
  const VolumePath path = TRY(ParseVolumePath(arguments.path));
  const auto root = TRY(OpenRootOf(volume, arguments.device, path));
  auto stat = root->Stat(path.path);
  if (!stat) return PathError(arguments.device, path, std::move(stat).error());
  if (stat->kind != InodeKind::kDirectory) {
    std::vector<DirectoryEntry> entries;
    entries.push_back({.name = path.Name(), .stat = *stat});
    return entries;
  }
  auto entries = root->List(path.path);
  if (!entries) return PathError(arguments.device, path, std::move(entries).error());
  return entries;
}

std::string_view KindText(InodeKind kind) {
  switch (kind) {
    case InodeKind::kFile: return "file";
    case InodeKind::kDirectory: return "directory";
    case InodeKind::kSparseFile: return "sparse file";
  }
  return "";
}

Json LsJson(const VolumeInfoArguments& arguments, const std::vector<DirectoryEntry>& entries) {
  Json json = {{"device", Escaped(arguments.device)},
               {"path", Escaped(arguments.path)},
               {"entries", Json::array()}};
  for (const DirectoryEntry& entry : entries) {
    json["entries"].push_back({{"name", Escaped(entry.name)},
                               {"kind", KindText(entry.stat.kind)},
                               {"inode", entry.stat.inode},
                               {"links", entry.stat.links},
                               {"size_bytes", entry.stat.size_bytes},
                               {"allocated_bytes", entry.stat.allocated_bytes},
                               {"modified_ns", entry.stat.modified_ns}});
  }
  return json;
}

std::string LsText(const std::vector<DirectoryEntry>& entries) {
  if (entries.empty()) return "";
  Table table({{"SIZE", Table::Align::kRight}, {"MODIFIED"}, {"NAME"}});
  for (const DirectoryEntry& entry : entries) {
    const bool is_directory = entry.stat.kind == InodeKind::kDirectory;
    table.AddRow({is_directory ? "-" : FormatSize(entry.stat.size_bytes),
                  TimeText(entry.stat.modified_ns),
                  Escaped(entry.name) + (is_directory ? "/" : "")});
  }
  return table.ToString();
}

Result<int> Ls(const VolumeInfoArguments& arguments) {
  const auto volume = TRY(OpenToLook(arguments.device));
  const std::vector<DirectoryEntry> entries = TRY(EntriesOf(arguments, *volume));
  return PrintOne(arguments.json, LsJson(arguments, entries), [&] { return LsText(entries); });
}

int RunLs(const VolumeInfoArguments& arguments) {
  if (!arguments.path.empty()) {
    if (const auto path = ParseVolumePath(arguments.path); !path) {
      PrintError(path.error());
      return kExitUsage;
    }
  }
  return RunOnDevice(arguments.device, kExitUsage, kExitFailed, [&] { return Ls(arguments); });
}

}  // namespace

void AddVolumeInfoCommands(CLI::App& volume, int& exit_code) {
  const auto add = [&](const char* name, const char* what, int (*run)(const VolumeInfoArguments&),
                       bool has_path) {
    auto arguments = std::make_shared<VolumeInfoArguments>();
    CLI::App* command = volume.add_subcommand(name, what);
    command->add_option("DEVICE", arguments->device, "/dev/... or file:/absolute/path")->required();
    if (has_path) {
      command->add_option("ROOT[/PATH]", arguments->path, "What to list (default: the roots)");
    }
    command->add_flag("--json", arguments->json, "Print one JSON document");
    command->footer("Works also while another process has the volume: as of its last sync.");
    command->callback([arguments, run, &exit_code] { exit_code = run(*arguments); });
  };
  add(
      "info", "Show what a volume is",
      [](const VolumeInfoArguments& arguments) {
        return RunOnDevice(arguments.device, kExitUsage, kExitFailed,
                           [&] { return Info(arguments); });
      },
      false);
  add(
      "df", "Show how full a volume is, by root",
      [](const VolumeInfoArguments& arguments) {
        return RunOnDevice(arguments.device, kExitUsage, kExitFailed,
                           [&] { return Df(arguments); });
      },
      false);
  add("ls", "List roots, directories and files", RunLs, true);
}

}  // namespace tifs::cli
