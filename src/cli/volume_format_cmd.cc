#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/parse_size.h"
#include "block/device_name.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/volume_commands.h"
#include "cli/volume_device.h"
#include "cli/volume_signature.h"
#include "volume/superblock.h"
#include "volume/volume.h"

namespace tifs::cli {
namespace {

struct VolumeFormatArguments {
  std::string device;
  std::string name;
  std::string extent_unit;
  bool force = false;
  bool yes = false;
  bool json = false;
};

Result<volume::FormatOptions> OptionsOf(const VolumeFormatArguments& arguments) {
  constexpr std::string_view kHelp = "run 'tifs volume format --help'";
  volume::FormatOptions options;
  options.name = arguments.name;
  if (!arguments.extent_unit.empty()) {
    auto size = ParseSize(arguments.extent_unit);
    if (!size) {
      return Explained(ErrorCode::kInvalid, "--extent-unit", size.error().detail(), kHelp);
    }
    options.extent_unit_bytes = *size;
  }
  if (Status status = options.Validate(); !status) {
    return Explained(ErrorCode::kInvalid, "volume format", status.error().detail(), kHelp);
  }
  return options;
}

// Whether a volume can be made there at all: asked before anything is destroyed for it.
Status CheckGeometry(const std::string& device, const block::BlockDevice& opened,
                     const volume::FormatOptions& options) {
  if (opened.geometry().block_bytes > volume::kBlockBytes) {
    return Explained(ErrorCode::kNotSupported, Escaped(device),
                     fmt::format("its logical block has {}, at most 4 KiB will do",
                                 FormatSize(opened.geometry().block_bytes)));
  }
  volume::Superblock superblock{.uuid = volume::RandomUuid(),
                                .extent_unit_bytes = options.extent_unit_bytes};
  if (volume::LayOut(superblock, opened.size_bytes(), 0, 0)) return {};
  return Explained(ErrorCode::kInvalid, Escaped(device),
                   fmt::format("{} are too small for a volume", FormatSize(opened.size_bytes())),
                   "give it 1 MiB or more, or a smaller --extent-unit");
}

// What a format would destroy; empty: nothing that anybody knows.
Result<std::string> DescribeLoss(const block::DeviceName& name, block::BlockDevice& device) {
  std::vector<std::string> lost = TRY(FindSignatures(name));
  const auto identity = volume::Volume::ReadIdentity(device);
  if (identity) {
    const std::string quoted =
        identity->name.empty() ? "" : fmt::format(" '{}'", Escaped(identity->name));
    lost.insert(lost.begin(),
                fmt::format("the TiFS volume{} {}", quoted, volume::UuidText(identity->uuid)));
  } else if (identity.error().code() != ErrorCode::kNotFound) {
    lost.insert(lost.begin(), "a TiFS volume that cannot be read");
  }
  return fmt::format("{}", fmt::join(lost, ", "));
}

Status ConfirmLoss(const VolumeFormatArguments& arguments, const std::string& loss) {
  const std::string what = Escaped(arguments.device);
  if (!arguments.force) {
    return Explained(ErrorCode::kExists, what, fmt::format("holds {}", loss),
                     "use --force to destroy it");
  }
  PrintWarning(fmt::format("{}: this destroys {}", what, loss));
  if (arguments.yes) return {};
  if (!StdinIsTerminal()) {
    return Explained(ErrorCode::kNotPermitted, what,
                     "nobody was asked whether that may be destroyed", "add --yes if it may");
  }
  if (AskYesNo("Destroy it?")) return {};
  return Explained(ErrorCode::kNotPermitted, what, "left as it was");
}

Result<int> Format(const VolumeFormatArguments& arguments, const volume::FormatOptions& options) {
  const block::DeviceName name = TRY(block::ParseDeviceName(arguments.device));
  const auto device = TRY(OpenAlone(arguments.device, /*read_only=*/false));
  TRY(CheckGeometry(arguments.device, *device, options));
  if (const std::string loss = TRY(DescribeLoss(name, *device)); !loss.empty()) {
    TRY(ConfirmLoss(arguments, loss));
    TRY(WipeSignatures(name));
  }
  if (Status status = volume::Volume::Format(*device, options, SystemClock()); !status) {
    return VolumeError(arguments.device, std::move(status).error());
  }
  const volume::VolumeIdentity identity = TRY(volume::Volume::ReadIdentity(*device));
  const std::string uuid = volume::UuidText(identity.uuid);
  if (arguments.json) {
    const bool printed = PrintJson({{"device", Escaped(arguments.device)},
                                    {"uuid", uuid},
                                    {"name", Escaped(identity.name)},
                                    {"device_bytes", identity.device_bytes},
                                    {"extent_unit_bytes", identity.extent_unit_bytes}});
    return printed ? kExitDone : kExitFailed;
  }
  const bool printed = PrintText(
      fmt::format("formatted {}: UUID {}, {} in extent units of {}\n", Escaped(arguments.device),
                  uuid, FormatSize(identity.device_bytes), FormatSize(identity.extent_unit_bytes)));
  return printed ? kExitDone : kExitFailed;
}

int RunFormat(const VolumeFormatArguments& arguments) {
  const auto options = OptionsOf(arguments);
  if (!options) {
    PrintError(options.error());
    return kExitUsage;
  }
  return RunOnDevice(arguments.device, kExitUsage, kExitFailed,
                     [&] { return Format(arguments, *options); });
}

}  // namespace

void AddVolumeFormatCommand(CLI::App& volume, int& exit_code) {
  auto arguments = std::make_shared<VolumeFormatArguments>();
  CLI::App* command = volume.add_subcommand("format", "Make a volume on a device");
  command->add_option("DEVICE", arguments->device, "/dev/... or file:/absolute/path")->required();
  command->add_option("--name,-L", arguments->name, "A name, shown by info")->type_name("NAME");
  command
      ->add_option("--extent-unit", arguments->extent_unit,
                   "What space is given out in: a power of two from 4KiB to 16MiB (default 64KiB)")
      ->type_name("SIZE");
  command->add_flag("--force", arguments->force, "Destroy what is on the device");
  command->add_flag("--yes,-y", arguments->yes, "Do not ask before destroying");
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] { exit_code = RunFormat(*arguments); });
}

}  // namespace tifs::cli
