#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tifs::cli {

// A line on stderr that is redrawn while something long goes on; nothing where stderr is no
// terminal or the work is done within a moment. Used by one thread.
class ProgressBar {
 public:
  // `unit`: what is counted, e.g. "keys". `total` 0: not known.
  ProgressBar(std::string_view title, std::string_view unit, uint64_t total = 0);
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(uint64_t done);
  // Takes the line away, so that other output may follow.
  void Clear();

 private:
  const std::string title_;
  const std::string unit_;
  const uint64_t total_;
  const bool visible_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_drawn_;
  bool drawn_ = false;
};

}  // namespace tifs::cli
