#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/sync.h"
#include "tests/crash/crash_world.h"
#include "tests/sim/test_options.h"

// What the tests with CrashWorlds share.
namespace tifs::sim {

inline constexpr uint64_t kRounds = 12;
// Worlds at a time: RocksDB sleeps a second after each write that fails in its background.
inline constexpr size_t kWorldsAtOnce = 6;

class PowerCutTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Lost power is in every line.
    ASSERT_TRUE(OpenLog({.sink = LogOptions::Sink::kFile, .file = "/dev/null"}).ok());
  }
};

struct Failure {
  uint64_t seed;
  std::string why;
};

// Runs one world for each seed until one fails.
inline std::optional<Failure> FirstFailure(const CrashOptions& options, uint64_t runs,
                                           std::atomic<uint64_t>* lies = nullptr) {
  std::atomic<uint64_t> next{0};
  Mutex mutex;
  std::optional<Failure> failure;
  const auto work = [&] {
    for (uint64_t i = next++; i < runs; i = next++) {
      const uint64_t seed = Options().Seed(i);
      CrashWorld world(options, seed);
      std::string why = world.Run(Options().steps.value_or(kRounds));
      if (lies != nullptr) *lies += world.syncs_lied_about();
      MutexLock lock(mutex);
      if (!why.empty() && !failure) failure = Failure{seed, std::move(why)};
      if (failure) return;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kWorldsAtOnce; ++i) threads.emplace_back(work);
  }
  return failure;
}

inline void ExpectSurvival(const CrashOptions& options, uint64_t when_short, uint64_t when_long) {
  const auto failure = FirstFailure(options, Options().Runs(when_short, when_long));
  if (failure) FAIL() << options.name << ", --seed=" << failure->seed << ": " << failure->why;
}

// Of a world in which syncs lie.
inline void ExpectFailure(const CrashOptions& options) {
  constexpr uint64_t kAttempts = 200;
  std::atomic<uint64_t> lies{0};
  const auto failure = FirstFailure(options, kAttempts, &lies);
  ASSERT_TRUE(failure) << lies << " syncs were left out, and nothing was found";
  std::printf("found with --seed=%llu: %.300s\n", static_cast<unsigned long long>(failure->seed),
              failure->why.c_str());
}

}  // namespace tifs::sim
