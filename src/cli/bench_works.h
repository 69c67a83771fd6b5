#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tifs::cli {

struct BenchSizes {
  uint64_t files = 2000;
  uint64_t file_bytes = 4096;
  uint64_t large_bytes = uint64_t{256} << 20;
  std::chrono::milliseconds random_time{1500};
};

// What one kind of work took.
struct BenchResult {
  std::string name;  // stable: a key of the JSON
  std::string title;
  uint64_t operations = 0;
  uint64_t bytes = 0;  // 0: counted in operations
  double seconds = 0;
};

// Runs the works in `folder`, one after the other; `on_start` is told the title of each.
// Errors: kInterrupted, if a signal asked to stop; those of system calls.
Result<std::vector<BenchResult>> RunBenchWorks(
    const std::string& folder, const BenchSizes& sizes,
    const std::function<void(std::string_view)>& on_start);

}  // namespace tifs::cli
