// Random sequences as system calls on directories of this machine and on the model: the same
// results, errnos and trees. With a directory of ext4 among them the model itself is on trial, too.
//
//   directory_model [--seed=N] [--runs=N] [--steps=N] [--no-users] [--holes] [--kernel-first]
//     DIRECTORY...
//
// Exits 1 at the first sequence that fails, shrunk; the directories are left empty.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "tests/sim/comparison.h"
#include "tests/sim/directory_target.h"
#include "tests/sim/model_ops.h"
#include "tests/sim/path_target.h"
#include "tests/sim/shrink.h"

namespace tifs::sim {
namespace {

struct Arguments {
  uint64_t seed = 1;
  uint64_t runs = 10;
  uint64_t steps = 300;
  bool users = true;
  bool holes = false;
  bool kernel_first = false;
  std::vector<std::string> directories;
};

class Comparer {
 public:
  explicit Comparer(const Arguments& arguments) : arguments_(arguments) {}

  // Runs it in fresh subdirectories.
  std::string Run(const std::vector<Operation>& operations);

 private:
  static constexpr size_t kWatchEvery = 40;
  static constexpr size_t kCompareEvery = 100;

  std::string CompareAll(ModelOps& model, PathTarget& oracle,
                         std::vector<std::unique_ptr<DirectoryTarget>>& targets);

  const Arguments& arguments_;
  ComparisonOptions comparison_;
  uint64_t count_ = 0;
};

std::string Comparer::CompareAll(ModelOps& model, PathTarget& oracle,
                                 std::vector<std::unique_ptr<DirectoryTarget>>& targets) {
  const Interest interest = model.TouchedRanges();
  const Tree expected = oracle.Walk(interest);
  for (size_t i = 0; i < targets.size(); ++i) {
    std::string why = CompareTrees(expected, targets[i]->Walk(interest), comparison_);
    if (why.empty()) why = targets[i]->Complaint();
    if (!why.empty()) return arguments_.directories[i] + ": " + why;
  }
  return {};
}

std::string Comparer::Run(const std::vector<Operation>& operations) {
  comparison_.change_counters = false;
  comparison_.charges = false;
  comparison_.holes = arguments_.holes;
  comparison_.kernel_first = arguments_.kernel_first;
  ManualClock clock;
  ModelOps model(ModelFs(clock, {64 << 10, arguments_.users}));
  PathTarget oracle(model);
  std::vector<std::unique_ptr<DirectoryTarget>> targets;
  ++count_;
  for (const std::string& directory : arguments_.directories) {
    targets.push_back(
        std::make_unique<DirectoryTarget>(directory + "/run" + std::to_string(count_)));
  }
  for (size_t at = 0; at < operations.size(); ++at) {
    const Operation& operation = operations[at];
    const bool watch = at % kWatchEvery == kWatchEvery - 1 || at + 1 == operations.size();
    clock.Advance(std::chrono::milliseconds(1));
    const Outcome expected = oracle.Apply(operation, watch);
    for (size_t i = 0; i < targets.size(); ++i) {
      const Outcome actual = targets[i]->Apply(operation, watch);
      std::string why = CompareOutcomes(operation, expected, actual, comparison_);
      if (why.empty()) why = targets[i]->Complaint();
      if (!why.empty()) return arguments_.directories[i] + ": " + operation.ToString() + ": " + why;
    }
    if (at % kCompareEvery != kCompareEvery - 1) continue;
    if (std::string why = CompareAll(model, oracle, targets); !why.empty()) return why;
  }
  return CompareAll(model, oracle, targets);
}

int Main(const Arguments& arguments) {
  std::printf("seeds from %llu on, %llu runs of %llu operations\n",
              static_cast<unsigned long long>(arguments.seed),
              static_cast<unsigned long long>(arguments.runs),
              static_cast<unsigned long long>(arguments.steps));
  std::fflush(stdout);
  Profile profile;
  profile.real_kernel = true;
  profile.users = arguments.users;
  profile.background = false;
  profile.far_bytes = uint64_t{1} << 43;  // within ext4's largest file
  Comparer comparer(arguments);
  for (uint64_t run = 0; run < arguments.runs; ++run) {
    const uint64_t seed = arguments.seed + run;
    Random random(seed);
    std::vector<Operation> operations;
    for (uint64_t i = 0; i < arguments.steps; ++i) operations.push_back(Generate(random, profile));
    const auto runner = [&](const std::vector<Operation>& sequence) {
      return comparer.Run(sequence);
    };
    if (const std::string why = runner(operations); !why.empty()) {
      std::printf("FAILED: %s\n%s\n", why.c_str(),
                  DescribeFailure("directories", seed, operations, runner).c_str());
      return 1;
    }
  }
  std::printf("the same results\n");
  return 0;
}

}  // namespace
}  // namespace tifs::sim

int main(int argc, char** argv) {
  tifs::sim::Arguments arguments;
  const auto number = [](const char* argument, const char* flag, uint64_t& into) {
    const size_t length = std::strlen(flag);
    if (std::strncmp(argument, flag, length) != 0) return false;
    into = std::strtoull(argument + length, nullptr, 0);
    return true;
  };
  for (int i = 1; i < argc; ++i) {
    if (number(argv[i], "--seed=", arguments.seed) || number(argv[i], "--runs=", arguments.runs) ||
        number(argv[i], "--steps=", arguments.steps)) {
      continue;
    }
    if (std::strcmp(argv[i], "--no-users") == 0) {
      arguments.users = false;
    } else if (std::strcmp(argv[i], "--holes") == 0) {
      arguments.holes = true;
    } else if (std::strcmp(argv[i], "--kernel-first") == 0) {
      arguments.kernel_first = true;
    } else if (argv[i][0] == '/') {
      arguments.directories.emplace_back(argv[i]);
    } else {
      std::fprintf(stderr, "%s: not an argument\n", argv[i]);
      return 2;
    }
  }
  if (arguments.directories.empty() || geteuid() != 0) {
    std::fprintf(stderr, "needs absolute directories, and root\n");
    return 2;
  }
  return tifs::sim::Main(arguments);
}
