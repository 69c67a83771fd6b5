#include "tests/sim/test_options.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/random.h"

namespace tifs::sim {
namespace {

TestOptions options;

std::optional<uint64_t> NumberAfter(const char* argument, const char* flag) {
  const size_t length = std::strlen(flag);
  if (std::strncmp(argument, flag, length) != 0) return std::nullopt;
  return std::strtoull(argument + length, nullptr, 0);
}

}  // namespace

const TestOptions& Options() { return options; }

uint64_t TestOptions::Runs(uint64_t when_short, uint64_t when_long) const {
  if (seed) return 1;
  return runs.value_or(full_length ? when_long : when_short);
}

uint64_t TestOptions::Seed(uint64_t index) const { return seed.value_or(base_seed + index); }

}  // namespace tifs::sim

int main(int argc, char** argv) {
  using tifs::sim::NumberAfter;
  testing::InitGoogleTest(&argc, argv);
  tifs::sim::TestOptions& options = tifs::sim::options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--long") == 0) {
      options.full_length = true;
    } else if (const auto seed = NumberAfter(argv[i], "--seed=")) {
      options.seed = seed;
    } else if (const auto runs = NumberAfter(argv[i], "--runs=")) {
      options.runs = runs;
    } else if (const auto steps = NumberAfter(argv[i], "--steps=")) {
      options.steps = steps;
    } else {
      std::fprintf(stderr, "%s: unknown argument\n", argv[i]);
      return 2;
    }
  }
  const tifs::Status quiet = tifs::OpenLog({.level = tifs::LogLevel::kError});
  if (!quiet) std::fprintf(stderr, "log: %s\n", quiet.error().ToString().c_str());
  if (options.full_length) options.base_seed = tifs::RandomSeed() >> 16;
  std::printf("seeds from %llu on\n",
              static_cast<unsigned long long>(options.seed.value_or(options.base_seed)));
  std::fflush(stdout);
  return RUN_ALL_TESTS();
}
