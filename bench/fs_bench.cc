// Runs named works in a directory and prints one JSON document with what each measured.
//
// Two processes: the child works, the parent waits for it and then removes what it left, whether
// it finished, failed or was told to stop.

#include <ftw.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data_works.h"
#include "environment.h"
#include "file_works.h"
#include "program_works.h"

namespace tifs::bench {
namespace {

constexpr int kExitUsage = 2;

struct Options {
  std::string directory;
  std::set<std::string> names;  // empty: all
  std::string repository;
  std::string cold_command;
  uint32_t rounds = 1;
  uint64_t seed = 1;
  bool quick = false;
  bool list = false;
};

constexpr const char* kUsage =
    "usage: fs_bench [options] DIRECTORY\n"
    "       fs_bench --list\n"
    "Works in a new folder in DIRECTORY, removes it, and prints one JSON document.\n"
    "  --work NAME[,NAME]   only these works (see --list)\n"
    "  --rounds N           measure each work N times (default 1)\n"
    "  --quick              a fraction of the size, to try things out\n"
    "  --seed N             seed of contents and of random offsets (default 1)\n"
    "  --repository PATH    the repository that git clones; made there if PATH is missing\n"
    "                       (default: a temporary one in TMPDIR)\n"
    "  --cold-command CMD   run by sh before each cold read, to empty caches which the kernel\n"
    "                       does not know of, for instance by mounting anew\n"
    "  --list               print the names of the works\n"
    "Cold works need root, for /proc/sys/vm/drop_caches.\n";

[[noreturn]] void UsageError(const std::string& what) {
  std::fprintf(stderr, "fs_bench: %s; see 'fs_bench --help'\n", what.c_str());
  std::exit(kExitUsage);
}

uint64_t ParseNumber(const std::string& option, const std::string& text, uint64_t least) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least) {
    UsageError(option + ": '" + text + "' is not a number of at least " + std::to_string(least));
  }
  return number;
}

std::set<std::string> SplitNames(const std::string& text) {
  std::set<std::string> names;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t comma = std::min(text.find(',', start), text.size());
    if (comma > start) names.insert(text.substr(start, comma - start));
    start = comma + 1;
  }
  return names;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    auto value = [&]() -> std::string {
      if (i + 1 >= argc) UsageError(argument + " needs a value");
      return argv[++i];
    };
    if (argument == "--help" || argument == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (argument == "--work") {
      options.names.merge(SplitNames(value()));
    } else if (argument == "--rounds") {
      options.rounds = static_cast<uint32_t>(ParseNumber(argument, value(), 1));
    } else if (argument == "--seed") {
      options.seed = ParseNumber(argument, value(), 0);
    } else if (argument == "--repository") {
      options.repository = value();
    } else if (argument == "--cold-command") {
      options.cold_command = value();
    } else if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--list") {
      options.list = true;
    } else if (argument.starts_with("-")) {
      UsageError("unknown option '" + argument + "'");
    } else if (options.directory.empty()) {
      options.directory = argument;
    } else {
      UsageError("more than one directory");
    }
  }
  if (options.directory.empty() && !options.list) UsageError("no directory given");
  return options;
}

struct Result {
  const Work* work;
  std::vector<double> values;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

void PrintJson(const Options& options, const Environment& environment,
               const std::vector<Result>& results) {
  std::printf("{\n  \"program\": \"fs_bench\",\n  \"format\": 1,\n");
  std::printf("  \"directory\": %s,\n", Quoted(options.directory).c_str());
  std::printf("  \"quick\": %s,\n", options.quick ? "true" : "false");
  std::printf("  \"seed\": %llu,\n", static_cast<unsigned long long>(options.seed));
  std::printf("  \"rounds\": %u,\n", options.rounds);
  std::printf("  \"caches_dropped\": %s,\n", environment.caches_dropped ? "true" : "false");
  std::printf("  \"works\": [");
  const char* separator = "\n";
  for (const Result& result : results) {
    std::printf("%s    {\"name\": %s, \"title\": %s, \"unit\": %s, \"higher_is_better\": %s,\n",
                separator, Quoted(result.work->name).c_str(), Quoted(result.work->title).c_str(),
                Quoted(result.work->unit).c_str(),
                result.work->higher_is_better ? "true" : "false");
    std::printf("     \"median\": %.6g, \"values\": [", Median(result.values));
    for (size_t i = 0; i < result.values.size(); ++i) {
      std::printf("%s%.6g", i == 0 ? "" : ", ", result.values[i]);
    }
    std::printf("]}");
    separator = ",\n";
  }
  std::printf("\n  ]\n}\n");
}

void IsolateGit() {
  for (const char* name : {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}) unsetenv(name);
  setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
  setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
  setenv("GIT_TERMINAL_PROMPT", "0", 1);
  for (const char* role : {"AUTHOR", "COMMITTER"}) {
    setenv(("GIT_" + std::string(role) + "_NAME").c_str(), "bench", 1);
    setenv(("GIT_" + std::string(role) + "_EMAIL").c_str(), "bench@example.invalid", 1);
  }
  setenv("LC_ALL", "C", 1);
}

// The child: measures the chosen works round by round.
int Measure(const Options& options, Environment& environment, const std::vector<Work>& works) {
  IsolateGit();
  std::vector<Result> results;
  for (const Work& work : works) {
    if (options.names.empty() || options.names.contains(work.name)) results.push_back({&work, {}});
  }
  for (uint32_t round = 0; round < options.rounds; ++round) {
    for (Result& result : results) result.values.push_back(result.work->measure());
  }
  PrintJson(options, environment, results);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

std::string MakeFolder(const std::string& parent, const char* prefix) {
  std::string path = parent + "/" + prefix + ".XXXXXX";
  if (mkdtemp(path.data()) == nullptr) FailWithErrno(parent);
  return path;
}

// Does not stop at what cannot be removed, and does not cross into another file system.
void RemoveFolder(const std::string& path) {
  auto remove_one = [](const char* name, const struct stat*, int, FTW*) {
    static_cast<void>(std::remove(name));
    return 0;
  };
  nftw(path.c_str(), remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

pid_t child_group = 0;  // for the handler alone, set before it is installed

void StopChild(int) { kill(-child_group, SIGKILL); }

// The parent: returns the child's exit status, or 130 if it was stopped.
int WaitForChild(pid_t child) {
  child_group = child;
  struct sigaction action = {};
  action.sa_handler = StopChild;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  kill(-child, SIGKILL);  // what it may have started
  return WIFEXITED(status) ? WEXITSTATUS(status) : 130;
}

// Signals wait until the parent has its handler; the child takes them as usual.
int Supervise(const Options& options, Environment& environment, const std::vector<Work>& works) {
  sigset_t stops;
  sigset_t before;
  sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stops, signal);
  sigprocmask(SIG_BLOCK, &stops, &before);
  environment.directory = MakeFolder(options.directory, "fs_bench");
  std::optional<std::string> scratch;
  if (environment.repository.empty()) {
    const char* temporary = std::getenv("TMPDIR");
    scratch = MakeFolder(temporary != nullptr ? temporary : "/tmp", "fs_bench");
    environment.repository = *scratch + "/repository";
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == -1) FailWithErrno("fork");
  if (child == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(1);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    std::_Exit(Measure(options, environment, works));
  }
  setpgid(child, child);
  const int status = WaitForChild(child);
  RemoveFolder(environment.directory);
  if (scratch) RemoveFolder(*scratch);
  return status;
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  Environment environment;
  environment.repository = options.repository;
  environment.cold_command = options.cold_command;
  environment.scale = options.quick ? kQuickScale : kFullScale;
  environment.seed = options.seed;
  FileWorks file_works(environment);
  DataWorks data_works(environment);
  ProgramWorks program_works(environment);
  std::vector<Work> works = file_works.Works();
  std::ranges::move(data_works.Works(), std::back_inserter(works));
  std::ranges::move(program_works.Works(), std::back_inserter(works));
  if (options.list) {
    for (const Work& work : works) std::printf("%-18s %s\n", work.name.c_str(), work.title.c_str());
    return 0;
  }
  for (const std::string& name : options.names) {
    if (std::ranges::find(works, name, &Work::name) == works.end()) {
      UsageError("no work '" + name + "'; 'fs_bench --list' names them");
    }
  }
  return Supervise(options, environment, works);
}

}  // namespace
}  // namespace tifs::bench

int main(int argc, char** argv) { return tifs::bench::Main(argc, argv); }
