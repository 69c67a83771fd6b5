#pragma once

#include <string>

#include "tests/sim/operation.h"
#include "tests/sim/target.h"

namespace tifs::sim {

struct ComparisonOptions {
  // There are change counters.
  bool change_counters = true;
  // st_blocks is ours to judge.
  bool charges = true;
  // Holes are reported; else a file may claim to be all data.
  bool holes = true;
  // Access times that were set by hand are compared.
  bool atimes = true;
  // The kernel judges names and types before anybody asks for permissions: of two refusals with
  // different reasons it may give the other one.
  bool kernel_first = false;
};

// Why `actual` is not right where the oracle says `expected`; empty: it is.
std::string CompareOutcomes(const Operation& operation, const Outcome& expected,
                            const Outcome& actual, const ComparisonOptions& options);
std::string CompareTrees(const Tree& expected, const Tree& actual,
                         const ComparisonOptions& options);

}  // namespace tifs::sim
