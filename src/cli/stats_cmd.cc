#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/status_json.h"
#include "cli/target.h"

namespace tifs::cli {
namespace {

struct StatsArguments {
  std::string directory;
  bool watch = false;
  double interval_seconds = 1;
  bool json = false;
};

// Waits; false if the user has seen enough.
class Ticker {
 public:
  explicit Ticker(double interval_seconds)
      : interval_ms_(static_cast<int>(std::lround(interval_seconds * 1000))) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
  }
  ~Ticker() {
    if (fd_ >= 0) ::close(fd_);
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  bool Wait() const {
    pollfd stop = {fd_, POLLIN, 0};
    return ::poll(&stop, 1, interval_ms_) == 0;
  }

 private:
  const int interval_ms_;
  int fd_ = -1;
};

// Whether all could be printed.
Result<bool> Watch(const StatsArguments& arguments, const Target& target) {
  const Ticker ticker(arguments.interval_seconds);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::optional<Json> before;
  do {
    Json stats = TRY(AskTarget(target, {{"request", "stats"}}));
    std::string text = StatsToText(stats, before ? &*before : nullptr);
    if (terminal) text = fmt::format("\x1b[H\x1b[2J{}\nCtrl-C ends.\n", text);
    if (!PrintText(text)) return false;
    before = std::move(stats);
  } while (ticker.Wait());
  return true;
}

Result<bool> RunStats(const StatsArguments& arguments) {
  const Target target = TRY(ResolveMountedTarget(arguments.directory));
  if (arguments.watch) return Watch(arguments, target);
  const Json stats = TRY(AskTarget(target, {{"request", "stats"}}));
  return arguments.json ? PrintJson(stats) : PrintText(StatsToText(stats, nullptr));
}

}  // namespace

void AddStatsCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<StatsArguments>();
  CLI::App* command =
      app.add_subcommand("stats", "Show counters and latencies of a mount, by operation");
  command->add_option("DIR", arguments->directory, "The mount point, or its store's URI")
      ->required();
  CLI::Option* watch =
      command->add_flag("-w,--watch", arguments->watch, "Show them again and again, with rates");
  command->add_option("-i,--interval", arguments->interval_seconds, "Seconds between two tables")
      ->check(CLI::Range(0.1, 3600.0))
      ->needs(watch)
      ->type_name("SECONDS");
  command->add_flag("--json", arguments->json, "Print one JSON document")->excludes(watch);
  command->callback([arguments, &exit_code] {
    Result<bool> printed = RunStats(*arguments);
    exit_code = printed && *printed ? kExitDone : kExitFailed;
    if (!printed) {
      PrintError(ExplainedAs(Escaped(arguments->directory), std::move(printed).error()));
    }
  });
}

}  // namespace tifs::cli
