#include "tests/sim/shrink.h"

#include <fmt/format.h>

#include <algorithm>

namespace tifs::sim {
namespace {

constexpr std::chrono::seconds kPatience{60};

}  // namespace

std::vector<Operation> Shrink(std::vector<Operation> failing, const SequenceRunner& run,
                              std::chrono::seconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (size_t piece = std::max<size_t>(1, failing.size() / 2); piece > 0;) {
    bool shrank = false;
    for (size_t at = 0; at < failing.size();) {
      if (std::chrono::steady_clock::now() > end) return failing;
      std::vector<Operation> shorter = failing;
      shorter.erase(shorter.begin() + at, shorter.begin() + std::min(at + piece, shorter.size()));
      if (!run(shorter).empty()) {
        failing = std::move(shorter);
        shrank = true;
      } else {
        at += piece;
      }
    }
    if (piece > 1) {
      piece /= 2;
    } else if (!shrank) {
      break;
    }
  }
  return failing;
}

std::string DescribeFailure(const std::string& world, uint64_t seed,
                            const std::vector<Operation>& failing, const SequenceRunner& run) {
  const std::vector<Operation> shrunk = Shrink(failing, run, kPatience);
  std::string text = fmt::format("{}, --seed={}: {} of {} operations fail as well:\n", world, seed,
                                 shrunk.size(), failing.size());
  for (const Operation& operation : shrunk) text += "  " + operation.ToString() + "\n";
  return text + run(shrunk);
}

}  // namespace tifs::sim
