#pragma once

#include <cstdint>
#include <optional>

namespace tifs::sim {

// Command line of the randomised tests: --long (full length), --seed=N (that seed alone),
// --runs=N (so many seeds), --steps=N (operations in each).
struct TestOptions {
  bool full_length = false;
  std::optional<uint64_t> seed;
  std::optional<uint64_t> runs;
  std::optional<uint64_t> steps;

  // How many seeds a test runs, and which: `index` of them.
  uint64_t Runs(uint64_t when_short, uint64_t when_long) const;
  uint64_t Seed(uint64_t index) const;

  uint64_t base_seed = 1;  // random at full length
};

const TestOptions& Options();

}  // namespace tifs::sim
