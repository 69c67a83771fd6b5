#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/sync.h"

namespace tifs::fuse {

// Logs what users see as EIO, with its reason, so that a broken store does not flood the log: at
// most kBurst lines a second, then how many were left out. Safe for use by several threads.
class ErrorLog {
 public:
  static constexpr uint32_t kBurst = 10;

  explicit ErrorLog(Clock& clock) : clock_(clock) {}

  // `operation` on `node`, and `name` if it has one; hostile bytes are escaped.
  void Record(std::string_view operation, uint64_t node, std::string_view name, const Error& error);

 private:
  // Whether a line may go out now; `left_out` is how many did not since the last one that did.
  bool Admit(uint64_t& left_out);

  Clock& clock_;
  Mutex mutex_;
  std::chrono::nanoseconds second_start_ GUARDED_BY(mutex_){0};
  uint32_t lines_ GUARDED_BY(mutex_) = 0;
  uint64_t left_out_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tifs::fuse
