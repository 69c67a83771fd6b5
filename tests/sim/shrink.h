#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "tests/sim/operation.h"

namespace tifs::sim {

// Runs a sequence from a fresh start; why it fails, empty: it does not.
using SequenceRunner = std::function<std::string(const std::vector<Operation>&)>;

// A subsequence that still fails, short as far as `patience` allows. Any subsequence is a valid
// sequence, so calls are simply left out, in ever smaller pieces.
std::vector<Operation> Shrink(std::vector<Operation> failing, const SequenceRunner& run,
                              std::chrono::seconds patience);

// The text that a failing test prints: how to repeat it, the shortest sequence found, and why.
std::string DescribeFailure(const std::string& world, uint64_t seed,
                            const std::vector<Operation>& failing, const SequenceRunner& run);

}  // namespace tifs::sim
