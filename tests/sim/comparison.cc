#include "tests/sim/comparison.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tifs::sim {
namespace {

// Generated times lie before; the clock does not.
constexpr int64_t kSetByHandBefore = 1'000'000'000;

std::string TimeText(const Timespec& time) {
  return fmt::format("{}.{:09}", time.seconds, time.nanoseconds);
}

bool IsSetByHand(const Timespec& time) { return time.seconds < kSetByHandBefore; }

// Times are those of the calls where both have one clock, else only what was set by hand counts.
bool TimesAgree(const Timespec& expected, const Timespec& actual) {
  if (!IsSetByHand(expected) && !IsSetByHand(actual)) return true;
  return expected == actual;
}

std::string CompareStats(const Stat& expected, const Stat& actual) {
  const auto differ = [](const char* what, auto a, auto b) {
    return fmt::format("{}: expected {}, got {}", what, a, b);
  };
  if (expected.mode != actual.mode) {
    return fmt::format("mode: expected {:o}, got {:o}", expected.mode, actual.mode);
  }
  if (expected.nlink != actual.nlink) return differ("nlink", expected.nlink, actual.nlink);
  if (expected.uid != actual.uid) return differ("uid", expected.uid, actual.uid);
  if (expected.gid != actual.gid) return differ("gid", expected.gid, actual.gid);
  if (expected.rdev != actual.rdev) return differ("rdev", expected.rdev, actual.rdev);
  if (expected.size_bytes != actual.size_bytes) {
    return differ("size", expected.size_bytes, actual.size_bytes);
  }
  return {};
}

std::string CompareSeek(const Outcome& expected, const Outcome& actual) {
  const Outcome::SeekBounds& bounds = *expected.seek;
  if (actual.error == ENXIO && bounds.may_be_none) return {};
  if (actual.error != 0) return fmt::format("got {}", std::strerror(actual.error));
  const uint64_t offset = static_cast<uint64_t>(actual.value);
  if (offset < bounds.first || offset > bounds.last) {
    return fmt::format("expected {} to {}, got {}", bounds.first, bounds.last, offset);
  }
  if (!bounds.may_be(offset)) return fmt::format("{} cannot be", offset);
  return {};
}

std::string CompareMoved(const Outcome& expected, const Outcome& actual,
                         const ComparisonOptions& options) {
  for (const auto& [label, want] : expected.moved) {
    const auto found = actual.moved.find(label);
    if (found == actual.moved.end()) continue;
    const Moved& got = found->second;
    if (!want.mtime_is_open && want.mtime != got.mtime) {
      return fmt::format("mtime of {} {}", label, want.mtime ? "did not move" : "moved");
    }
    if (!want.ctime_is_open && want.ctime != got.ctime) {
      return fmt::format("ctime of {} {}", label, want.ctime ? "did not move" : "moved");
    }
    if (options.change_counters && want.ctime && !want.ctime_is_open && !got.change) {
      return fmt::format("the change counter of {} did not rise", label);
    }
  }
  return {};
}

std::string FirstDifference(const std::string& expected, const std::string& actual) {
  if (expected.size() != actual.size()) {
    return fmt::format("expected {} bytes, got {}: {:.60}", expected.size(), actual.size(), actual);
  }
  const auto [a, b] = std::ranges::mismatch(expected, actual);
  const size_t at = a - expected.begin();
  const size_t wrong = std::ranges::count_if(
      expected, [&, i = size_t{0}](char c) mutable { return actual[i++] != c; });
  return fmt::format("byte {}: expected {:#x}, got {:#x}; {} bytes differ", at,
                     static_cast<uint8_t>(*a), static_cast<uint8_t>(*b), wrong);
}

std::string CompareNodes(const NodeState& expected, const NodeState& actual,
                         const ComparisonOptions& options) {
  if (std::string why = CompareStats(expected.stat, actual.stat); !why.empty()) return why;
  if (expected.same_as != actual.same_as) {
    return fmt::format("expected to be the file '{}', is '{}'", expected.same_as, actual.same_as);
  }
  if (expected.symlink != actual.symlink) {
    return fmt::format("expected link to '{}', got '{}'", expected.symlink, actual.symlink);
  }
  if (expected.xattrs != actual.xattrs) {
    std::string why = "xattrs:";
    for (const auto& [name, value] : expected.xattrs) why += " -" + name;
    for (const auto& [name, value] : actual.xattrs) why += " +" + name;
    return why;
  }
  for (const auto& [begin, bytes] : expected.ranges) {
    const auto found = actual.ranges.find(begin);
    if (found == actual.ranges.end()) return "contents were not read";
    if (found->second != bytes) {
      return fmt::format("contents from {}: {}", begin, FirstDifference(bytes, found->second));
    }
  }
  if (!expected.mtime_is_open && !TimesAgree(expected.stat.mtime, actual.stat.mtime)) {
    return fmt::format("mtime: expected {}, got {}", TimeText(expected.stat.mtime),
                       TimeText(actual.stat.mtime));
  }
  if (options.atimes && !expected.atime_is_open &&
      !TimesAgree(expected.stat.atime, actual.stat.atime)) {
    return fmt::format("atime: expected {}, got {}", TimeText(expected.stat.atime),
                       TimeText(actual.stat.atime));
  }
  if (options.charges && S_ISREG(expected.stat.mode)) {
    const uint64_t charged = actual.stat.allocated_bytes;
    if (charged < expected.min_allocated_bytes || charged > expected.max_allocated_bytes) {
      return fmt::format("allocated: expected {} to {}, got {}", expected.min_allocated_bytes,
                         expected.max_allocated_bytes, charged);
    }
  }
  return {};
}

// A rename that two directories forbid, one by its sticky bit, the other by its mode, may name
// either.
bool IsEitherRefusal(const Operation& operation, const Outcome& expected, const Outcome& actual) {
  const auto is_refusal = [](int error) { return error == EPERM || error == EACCES; };
  return operation.call == Call::kRename && is_refusal(expected.error) && is_refusal(actual.error);
}

}  // namespace

std::string CompareOutcomes(const Operation& operation, const Outcome& expected,
                            const Outcome& actual, const ComparisonOptions& options) {
  if (expected.skipped != actual.skipped) {
    return expected.skipped ? "the oracle skipped it" : "it was skipped";
  }
  if (expected.seek && !options.holes) {
    return actual.error != 0 && actual.error != ENXIO ? std::strerror(actual.error) : "";
  }
  if (expected.seek) return CompareSeek(expected, actual);
  const bool is_seek = operation.call == Call::kSeekData || operation.call == Call::kSeekHole;
  if (is_seek && !options.holes) return {};
  const bool is_denied = expected.error == EACCES || expected.error == EPERM;
  if (options.kernel_first && is_denied && actual.error != 0) return {};
  if (expected.error != actual.error && !IsEitherRefusal(operation, expected, actual)) {
    return fmt::format("expected {}, got {}", std::strerror(expected.error),
                       std::strerror(actual.error));
  }
  if (expected.bytes != actual.bytes) {
    const bool is_content = operation.call == Call::kRead;
    return is_content ? FirstDifference(expected.bytes, actual.bytes)
                      : fmt::format("expected '{}', got '{}'", expected.bytes, actual.bytes);
  }
  if (expected.value != actual.value) {
    return fmt::format("expected {}, got {}", expected.value, actual.value);
  }
  if (expected.stat && actual.stat) {
    if (std::string why = CompareStats(*expected.stat, *actual.stat); !why.empty()) return why;
  }
  return CompareMoved(expected, actual, options);
}

std::string CompareTrees(const Tree& expected, const Tree& actual,
                         const ComparisonOptions& options) {
  for (const auto& [path, node] : expected) {
    const auto found = actual.find(path);
    if (found == actual.end()) return fmt::format("'{}' is missing", path);
    const std::string why = CompareNodes(node, found->second, options);
    if (!why.empty()) return fmt::format("'{}': {}", path, why);
  }
  for (const auto& [path, node] : actual) {
    if (!expected.contains(path)) return fmt::format("'{}' should not be there", path);
  }
  return {};
}

}  // namespace tifs::sim
