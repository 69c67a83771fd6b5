#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/nearest_match.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

constexpr std::array<std::string_view, 12> kCommands = {"format", "mount",    "umount",  "info",
                                                        "stats",  "fsck",     "gc",      "bench",
                                                        "list",   "sessions", "destroy", "volume"};

// Those below `tifs volume`.
constexpr std::array<std::string_view, 12> kVolumeCommands = {
    "format", "info", "df", "ls", "cat", "get", "put", "rm", "check", "resize", "bench", "io"};

// fsck(8) has its own code for wrong usage.
constexpr int kFsckUsage = 16;

bool Contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// "fsck", "volume check"; empty if it names none.
std::string CommandOf(const std::vector<std::string>& arguments) {
  if (arguments.empty() || !Contains(kCommands, arguments[0])) return {};
  const bool is_volume_command =
      arguments[0] == "volume" && arguments.size() > 1 && Contains(kVolumeCommands, arguments[1]);
  return is_volume_command ? "volume " + arguments[1] : arguments[0];
}

CLI::App* AppOf(CLI::App& app, const std::string& command) {
  if (command.empty()) return &app;
  const size_t blank = command.find(' ');
  CLI::App* const chosen = app.get_subcommand(command.substr(0, blank));
  return blank == std::string::npos ? chosen : chosen->get_subcommand(command.substr(blank + 1));
}

std::string HelpOf(CLI::App& app, const std::string& command) {
  // CLI11 puts before the command's own name what it is given.
  const size_t blank = command.find(' ');
  std::string before = command.empty() ? "" : "tifs";
  if (blank != std::string::npos) before += " " + command.substr(0, blank);
  return AppOf(app, command)->help(before, CLI::AppFormatMode::Normal);
}

bool PrintVersions(const std::vector<std::string>& arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--json") == arguments.end()) {
    return PrintText(VersionText() + "\n");
  }
  const Versions versions = OurVersions();
  return PrintJson({{"tifs", versions.tifs},
                    {"rocksdb", versions.rocksdb},
                    {"libfuse", versions.libfuse},
                    {"format_version", versions.format}});
}

int UsageError(const std::string& command, std::string_view why) {
  const std::string name = command.empty() ? "tifs" : "tifs " + command;
  PrintError(Explained(ErrorCode::kInvalid, command.empty() ? "command line" : command, why,
                       fmt::format("run '{} --help'", name)));
  return command == "fsck" || command == "volume check" ? kFsckUsage : kExitUsage;
}

// CLI11 would treat a misspelt command as an extra argument.
bool ExplainUnknownCommand(const std::vector<std::string>& arguments) {
  const bool of_volume = !arguments.empty() && arguments[0] == "volume";
  const size_t at = of_volume ? 1 : 0;
  const std::string program = of_volume ? "tifs volume" : "tifs";
  const std::span<const std::string_view> known =
      of_volume ? std::span<const std::string_view>(kVolumeCommands) : kCommands;
  if (arguments.size() <= at || arguments[at].starts_with('-')) return false;
  if (Contains(known, arguments[at])) return false;
  const std::string_view nearest = NearestMatch(arguments[at], known);
  const std::string way_out =
      nearest.empty()
          ? fmt::format("run '{} --help'{}", program, of_volume ? "" : " for those there are")
          : fmt::format("did you mean '{} {}'?", program, nearest);
  PrintError(
      Explained(ErrorCode::kInvalid, Escaped(arguments[at]), "there is no such command", way_out));
  return true;
}

// The option among those of the chosen command that an unknown one was probably meant to be.
std::string UnknownOptionText(CLI::App& app, const std::string& command,
                              const std::vector<std::string>& arguments) {
  CLI::App* const chosen = AppOf(app, command);
  std::vector<std::string> known;
  for (const CLI::Option* option : chosen->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::vector<std::string_view> candidates(known.begin(), known.end());
  for (const std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const std::string name = argument.substr(0, argument.find('='));
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string_view nearest = NearestMatch(name, candidates);
    if (!nearest.empty()) {
      return fmt::format("there is no option '{}', did you mean '{}'?", Escaped(name), nearest);
    }
  }
  return {};
}

int RunCommandLine(const std::vector<std::string>& arguments) {
  if (ExplainUnknownCommand(arguments)) return kExitUsage;
  const std::string command = CommandOf(arguments);
  int exit_code = kExitDone;
  CLI::App app("A POSIX file system kept in a transactional key-value store.", "tifs");
  app.require_subcommand(1);
  app.set_version_flag("--version,-V", VersionText(), "Print the versions and exit");
  app.set_help_flag("--help,-h", "Print this help and exit");
  AddFormatCommand(app, exit_code);
  AddMountCommand(app, exit_code);
  AddUmountCommand(app, exit_code);
  AddInfoCommand(app, exit_code);
  AddStatsCommand(app, exit_code);
  AddFsckCommand(app, exit_code);
  AddGcCommand(app, exit_code);
  AddBenchCommand(app, exit_code);
  AddListCommand(app, exit_code);
  AddSessionsCommand(app, exit_code);
  AddDestroyCommand(app, exit_code);
  AddVolumeCommand(app, exit_code);
  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return PrintText(HelpOf(app, command)) ? kExitDone : kExitFailed;
  } catch (const CLI::CallForVersion&) {
    return PrintVersions(arguments) ? kExitDone : kExitFailed;
  } catch (const CLI::ParseError& error) {
    std::string why = UnknownOptionText(app, command, arguments);
    if (why.empty()) why = Escaped(error.what());
    return UsageError(command, why);
  }
  return exit_code;
}

int Run(int argc, char** argv) {
  // A reader that goes away is seen by the write that fails.
  std::signal(SIGPIPE, SIG_IGN);
  // So is a limit on the size of files (`ulimit -f`): a mount is not to die of it.
  std::signal(SIGXFSZ, SIG_IGN);
  // What a command has to say it says as a command; only a mount keeps a log, which it opens
  // itself.
  (void)OpenLog({.level = LogLevel::kError});
  const std::string name =
      argc > 0 ? std::filesystem::path(argv[0]).filename().string() : std::string("tifs");
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (name == "mount.tifs" || name == "mount.fuse.tifs") return RunMountHelper(arguments);
  if (name == "umount.tifs" || name == "umount.fuse.tifs") return RunUmountHelper(arguments);
  if (name == "fsck.tifs" || name == "fsck.fuse.tifs") return RunFsckHelper(arguments);
  if (name == "mkfs.tifs") return RunMkfsHelper(arguments);
  return RunCommandLine(arguments);
}

}  // namespace
}  // namespace tifs::cli

int main(int argc, char** argv) {
  try {
    return tifs::cli::Run(argc, argv);
  } catch (const std::exception& error) {
    // Nothing of ours throws; what a library throws ends here rather than in abort.
    tifs::cli::PrintWarning(
        fmt::format("internal error: {}; please report it", tifs::cli::Escaped(error.what())));
    return tifs::cli::kExitFailed;
  }
}
