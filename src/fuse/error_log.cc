#include "fuse/error_log.h"

#include <utility>

#include "base/coding.h"
#include "base/log.h"

namespace tifs::fuse {

bool ErrorLog::Admit(uint64_t& left_out) {
  const std::chrono::nanoseconds now = clock_.Monotonic();
  MutexLock lock(mutex_);
  if (now - second_start_ >= std::chrono::seconds(1)) {
    second_start_ = now;
    lines_ = 0;
  }
  if (lines_ == kBurst) {
    ++left_out_;
    return false;
  }
  ++lines_;
  left_out = std::exchange(left_out_, 0);
  return true;
}

void ErrorLog::Record(std::string_view operation, uint64_t node, std::string_view name,
                      const Error& error) {
  uint64_t left_out = 0;
  if (!Admit(left_out)) return;
  if (left_out > 0) LogError("fuse: {} further errors were not logged", left_out);
  LogError("fuse: {} of inode {}{}{}: {}", operation, node, name.empty() ? "" : ", name ",
           name.empty() ? "" : "\"" + EscapeForLog(name) + "\"", EscapeForLog(error.ToString()));
}

}  // namespace tifs::fuse
