#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "cli/status_json.h"
#include "cli/target.h"
#include "fs/fs_check.h"

namespace tifs::cli {
namespace {

// fsck(8): bits of one exit status.
constexpr int kFsckClean = 0;
constexpr int kFsckCorrected = 1;
constexpr int kFsckLeft = 4;
constexpr int kFsckOperationalError = 8;
constexpr int kFsckUsage = 16;

constexpr uint64_t kMemoryBytes = uint64_t{256} << 20;

struct FsckArguments {
  std::string uri;
  bool dry_run = false;
  bool repair = false;
  bool json = false;
};

Result<Json> CheckClaimed(ClaimedStore& store, const Uri& uri, bool repair) {
  ProgressBar progress("checking:", "keys");
  fs::CheckOptions options;
  options.repair = repair;
  options.progress = [&progress](uint64_t keys) { progress.Update(keys); };
  return CheckToJson(store, uri, options);
}

// The store is the check's alone while `store` is held.
Result<Json> CheckUnmounted(const FsckArguments& arguments, const Uri& uri) {
  ::umask(077);
  OwnerRecord record;
  record.activity = "fsck";
  const auto store = TRY(ClaimStore(uri, ClaimFor::kUse, record, kUnmountPatience));
  const bool ask = !arguments.dry_run && !arguments.repair && StdinIsTerminal();
  const auto mode =
      ask || arguments.repair ? ClaimedStore::Mode::kWrite : ClaimedStore::Mode::kRead;
  TRY(store->Open(mode, kMemoryBytes));
  Json report = TRY(CheckClaimed(*store, uri, arguments.repair));
  if (ask && report["finding_count"].get<uint64_t>() > 0) {
    (void)PrintText(CheckReportToText(report));
    if (AskYesNo("Repair what can be repaired?")) report = TRY(CheckClaimed(*store, uri, true));
  }
  return report;
}

Result<Json> CheckTarget(const FsckArguments& arguments) {
  const Target target = TRY(ResolveTarget(arguments.uri));
  // While it is being unmounted the claim waits; a mount in use is refused by name.
  if (!arguments.dry_run) return CheckUnmounted(arguments, target.uri);
  ProgressBar progress("checking:", "keys");
  return AskTargetOr(
      target, {{"request", "check"}}, [&progress](uint64_t keys) { progress.Update(keys); },
      [&] {
        progress.Clear();
        return CheckUnmounted(arguments, target.uri);
      });
}

int ExitCodeOf(const Json& report) {
  const auto findings = report.value("finding_count", uint64_t{0});
  const auto left = report.value("unrepaired", uint64_t{0});
  if (findings == 0) return kFsckClean;
  return (left > 0 ? kFsckLeft : 0) | (findings > left ? kFsckCorrected : 0);
}

int RunFsck(const FsckArguments& arguments) {
  Result<Json> report = CheckTarget(arguments);
  if (!report) {
    const bool usage = LooksLikeUri(arguments.uri) && !ParseStoreUri(arguments.uri);
    PrintError(ExplainedAs(Escaped(arguments.uri), std::move(report).error()));
    return usage ? kFsckUsage : kFsckOperationalError;
  }
  const bool printed = arguments.json ? PrintJson(*report) : PrintText(CheckReportToText(*report));
  return printed ? ExitCodeOf(*report) : kFsckOperationalError;
}

}  // namespace

void AddFsckCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<FsckArguments>();
  CLI::App* command = app.add_subcommand("fsck", "Check a file system, and repair it");
  command->add_option("URI", arguments->uri, "The store; with -n also a mounted one")->required();
  CLI::Option* dry_run =
      command->add_flag("-n,--dry-run", arguments->dry_run, "Change nothing, only report");
  command->add_flag("-y,--yes", arguments->repair, "Repair all that can be repaired")
      ->excludes(dry_run);
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->footer(
      "Without -n and -y it asks on a terminal, and changes nothing elsewhere.\n"
      "Exit status as fsck(8): 0 clean, 1 corrected, 4 left, 8 failed, 16 usage.");
  command->callback([arguments, &exit_code] { exit_code = RunFsck(*arguments); });
}

// As fsck(8) calls it: options in one or several words, then the device.
int RunFsckHelper(const std::vector<std::string>& words) {
  FsckArguments arguments;
  const auto usage = [](std::string_view why) {
    PrintError(Explained(ErrorCode::kInvalid, "fsck.tifs", why,
                         "usage: fsck.tifs [-n | -y | -a | -p] [-f] [-v] [-C FD] URI"));
    return kFsckUsage;
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-C" && i + 1 < words.size() && words[i + 1].find("://") == std::string::npos) {
      ++i;
    } else if (word.starts_with("-C")) {
      continue;
    } else if (word.size() > 1 && word[0] == '-') {
      for (char letter : word.substr(1)) {
        if (letter == 'n') {
          arguments.dry_run = true;
        } else if (letter == 'y' || letter == 'a' || letter == 'p') {
          arguments.repair = true;
        } else if (std::string_view("frvVTMs").find(letter) == std::string_view::npos) {
          return usage(fmt::format("there is no option '{}'", Escaped(word)));
        }
      }
    } else if (arguments.uri.empty()) {
      arguments.uri = word;
    } else {
      return usage("it takes one store");
    }
  }
  if (arguments.uri.empty()) return usage("it takes a store's URI");
  if (arguments.dry_run) arguments.repair = false;
  return RunFsck(arguments);
}

}  // namespace tifs::cli
