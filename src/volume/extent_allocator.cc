#include "volume/extent_allocator.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace tifs::volume {

void ExtentAllocator::Insert(UnitRange range) {
  by_start_.emplace(range.start, range.count);
  by_count_.emplace(range.count, range.start);
}

void ExtentAllocator::Add(UnitRange range) {
  if (range.count == 0) return;
  CHECK(IsTaken(range));
  free_units_ += range.count;
  auto next = by_start_.lower_bound(range.start);
  if (next != by_start_.end() && next->first == range.end()) {
    range.count += next->second;
    by_count_.erase({next->second, next->first});
    next = by_start_.erase(next);
  }
  if (next != by_start_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == range.start) {
      range = {before->first, before->second + range.count};
      by_count_.erase({before->second, before->first});
      by_start_.erase(before);
    }
  }
  Insert(range);
}

std::vector<UnitRange> ExtentAllocator::FreeRuns() const {
  std::vector<UnitRange> runs;
  runs.reserve(by_start_.size());
  for (const auto& [start, count] : by_start_) runs.push_back({start, count});
  return runs;
}

bool ExtentAllocator::IsTaken(UnitRange range) const {
  const auto next = by_start_.lower_bound(range.start);
  if (next != by_start_.end() && next->first < range.end()) return false;
  if (next == by_start_.begin()) return true;
  const auto before = std::prev(next);
  return before->first + before->second <= range.start;
}

void ExtentAllocator::Cut(ByStart::iterator at, UnitRange range) {
  const UnitRange run{at->first, at->second};
  CHECK(run.start <= range.start && range.end() <= run.end());
  by_count_.erase({run.count, run.start});
  by_start_.erase(at);
  if (range.start > run.start) Insert({run.start, range.start - run.start});
  if (run.end() > range.end()) Insert({range.end(), run.end() - range.end()});
  free_units_ -= range.count;
}

bool ExtentAllocator::TakeExactly(UnitRange range) {
  const auto next = by_start_.upper_bound(range.start);
  if (next == by_start_.begin() || range.count == 0) return false;
  const auto at = std::prev(next);
  // By differences: a range from the disk may end beyond 2^64.
  const uint64_t skipped = range.start - at->first;
  if (skipped >= at->second || range.count > at->second - skipped) return false;
  Cut(at, range);
  return true;
}

UnitRange ExtentAllocator::Allocate(uint64_t wanted, uint64_t next_to) {
  if (by_start_.empty() || wanted == 0) return {};
  auto at = next_to != 0 ? by_start_.find(next_to) : by_start_.end();
  if (at == by_start_.end()) {
    auto fit = by_count_.lower_bound({wanted, 0});
    if (fit == by_count_.end()) fit = std::prev(fit);
    at = by_start_.find(fit->second);
  }
  const UnitRange range{at->first, std::min(wanted, at->second)};
  Cut(at, range);
  return range;
}

}  // namespace tifs::volume
