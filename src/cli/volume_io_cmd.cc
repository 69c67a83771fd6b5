#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/output.h"
#include "cli/target.h"
#include "cli/volume_commands.h"
#include "cli/volume_io.h"

namespace tifs::cli {
namespace {

struct VolumeIoArguments {
  std::string target;
  std::vector<std::string> settings;  // NAME=VALUE
  bool json = false;
};

Result<Json> RequestOf(const VolumeIoArguments& arguments) {
  Json settings = Json::object();
  for (const std::string& text : arguments.settings) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == text.npos) {
      return Explained(ErrorCode::kInvalid, Escaped(text), "this is no setting",
                       "write NAME=VALUE, as compaction.max_bytes_per_s=50MiB");
    }
    if (settings.contains(text.substr(0, equals))) {
      return Explained(ErrorCode::kInvalid, Escaped(text.substr(0, equals)), "it is there twice",
                       "name it once");
    }
    settings[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return Json{{"request", "volume_io"}, {"settings", std::move(settings)}};
}

int RunVolumeIo(const VolumeIoArguments& arguments) {
  const Result<Json> request = RequestOf(arguments);
  if (!request) {
    PrintError(request.error());
    return kExitUsage;
  }
  const auto ask = [&]() -> Result<Json> {
    return AskTarget(TRY(ResolveMountedTarget(arguments.target)), *request);
  };
  Result<Json> answer = ask();
  if (!answer) {
    PrintError(ExplainedAs(Escaped(arguments.target), std::move(answer).error()));
    return kExitFailed;
  }
  const bool printed =
      arguments.json
          ? PrintJson(*answer)
          : PrintText(fmt::format("{}\n{}", SchedulerToText(*answer), TransfersToText(*answer)));
  return printed ? kExitDone : kExitFailed;
}

}  // namespace

void AddVolumeIoCommand(CLI::App& volume, int& exit_code) {
  auto arguments = std::make_shared<VolumeIoArguments>();
  CLI::App* command =
      volume.add_subcommand("io", "Show and change how a mount schedules the I/O on its volume");
  command->add_option("DIR", arguments->target, "The mount point, or its store's URI")->required();
  command
      ->add_option("NAME=VALUE", arguments->settings,
                   "A setting to change, such as compaction.max_bytes_per_s=50MiB")
      ->type_name("");
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->footer(
      "Changes hold until the unmount. The settings are scheduler (on, off), latency_goal_ms,\n"
      "min_background_percent, and weight, max_bytes_per_s and max_iops (0: no limit) of flush,\n"
      "compaction and migration, as compaction.weight.");
  command->callback([arguments, &exit_code] { exit_code = RunVolumeIo(*arguments); });
}

}  // namespace tifs::cli
