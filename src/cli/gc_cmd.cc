#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "cli/size_text.h"
#include "cli/target.h"

namespace tifs::cli {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{256} << 20;

struct GcArguments {
  std::string target;
  bool json = false;
};

Result<Json> GcUnmounted(const Uri& uri, ProgressBar& progress) {
  ::umask(077);
  OwnerRecord record;
  record.activity = "gc";
  const auto store = TRY(ClaimStore(uri, ClaimFor::kUse, record, kUnmountPatience));
  TRY(store->Open(ClaimedStore::Mode::kWrite, kMemoryBytes));
  const auto file_system = TRY(OpenUnmounted(*store, uri, /*read_only=*/false));
  uint64_t steps = 0;
  while (TRY(file_system->RunBackgroundStep())) progress.Update(++steps);
  TRY(file_system->Close());
  return Json{{"steps", steps}};
}

// Whether the answer could be printed.
Result<bool> RunGc(const GcArguments& arguments) {
  const Target target = TRY(ResolveTarget(arguments.target));
  ProgressBar progress("reclaiming:", "steps");
  Result<Json> done = AskTargetOr(
      target, {{"request", "gc"}}, [&progress](uint64_t steps) { progress.Update(steps); },
      [&] { return GcUnmounted(target.uri, progress); });
  progress.Clear();
  if (!done) return std::move(done).error();
  const uint64_t steps = done->value("steps", uint64_t{0});
  if (arguments.json) return PrintJson(*done);
  return PrintText(steps == 0 ? "nothing to reclaim\n"
                              : fmt::format("reclaimed all that was unlinked, in {} steps\n",
                                            FormatCount(steps)));
}

}  // namespace

void AddGcCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<GcArguments>();
  CLI::App* command =
      app.add_subcommand("gc", "Reclaim at once what is otherwise reclaimed in the background");
  command->add_option("URI|DIR", arguments->target, "A store, or a directory of a mount")
      ->required();
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] {
    Result<bool> printed = RunGc(*arguments);
    exit_code = printed && *printed ? kExitDone : kExitFailed;
    if (!printed) PrintError(ExplainedAs(Escaped(arguments->target), std::move(printed).error()));
  });
}

}  // namespace tifs::cli
