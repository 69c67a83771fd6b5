#include <memory>
#include <string>
#include <utility>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/status_json.h"
#include "cli/target.h"

namespace tifs::cli {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{64} << 20;

struct InfoArguments {
  std::string target;
  bool json = false;
};

Result<Json> InfoOfUnmounted(const Uri& uri) {
  OwnerRecord record;
  record.activity = "info";
  const auto store = TRY(ClaimStore(uri, ClaimFor::kUse, record, kUnmountPatience));
  TRY(store->Open(ClaimedStore::Mode::kRead, kMemoryBytes));
  const auto file_system = TRY(OpenUnmounted(*store, uri, /*read_only=*/true));
  const fs::FileSystemInfo info = TRY(file_system->Info());
  const fs::FileSystemUsage usage = TRY(file_system->Statfs());
  Json json = InfoToJson(uri, *store, info, usage);
  // That it was opened for reading is no property of the store.
  json["read_only_reason"] = "";
  json["mounted"] = nullptr;
  return json;
}

// Whether the answer could be printed.
Result<bool> RunInfo(const InfoArguments& arguments) {
  const Target target = TRY(ResolveTarget(arguments.target));
  const Json info = TRY(AskTargetOr(target, {{"request", "info"}}, {},
                                    [&target] { return InfoOfUnmounted(target.uri); }));
  return arguments.json ? PrintJson(info) : PrintText(InfoToText(info));
}

}  // namespace

void AddInfoCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<InfoArguments>();
  CLI::App* command = app.add_subcommand("info", "Show what a file system is and how full");
  command->add_option("URI|DIR", arguments->target, "A store, or a directory of a mount")
      ->required();
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] {
    Result<bool> printed = RunInfo(*arguments);
    exit_code = printed && *printed ? kExitDone : kExitFailed;
    if (!printed) PrintError(ExplainedAs(Escaped(arguments->target), std::move(printed).error()));
  });
}

}  // namespace tifs::cli
