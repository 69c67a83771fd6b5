#include "volume/extent_map.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tifs::volume {
namespace {

// The part of a run that lies in [begin, end), which it overlaps.
Extent PartOf(const Extent& run, uint64_t begin, uint64_t end) {
  const uint64_t from = std::max(begin, run.file_unit);
  const uint64_t to = std::min(end, run.file_end());
  return {.file_unit = from, .units = {run.units.start + (from - run.file_unit), to - from}};
}

bool Continues(const Extent& first, const Extent& second) {
  return first.file_end() == second.file_unit && first.units.end() == second.units.start &&
         first.units.count + second.units.count <= kMaxExtentUnits;
}

auto FirstAfter(auto& runs, uint64_t unit) {
  return std::ranges::upper_bound(runs, unit, {}, &Extent::file_end);
}

}  // namespace

void InsertRun(std::vector<Extent>& runs, const Extent& run) {
  auto next = FirstAfter(runs, run.file_unit);
  DCHECK(next == runs.end() || run.file_end() <= next->file_unit);
  const bool joins_next = next != runs.end() && Continues(run, *next);
  if (next != runs.begin() && Continues(*std::prev(next), run)) {
    const auto previous = std::prev(next);
    previous->units.count += run.units.count;
    if (joins_next && Continues(*previous, *next)) {
      previous->units.count += next->units.count;
      runs.erase(next);
    }
    return;
  }
  if (joins_next) {
    next->file_unit = run.file_unit;
    next->units = {run.units.start, next->units.count + run.units.count};
    return;
  }
  runs.insert(next, run);
}

void EraseRuns(std::vector<Extent>& runs, uint64_t begin, uint64_t end,
               std::vector<Extent>& erased) {
  if (begin >= end) return;
  const auto first = FirstAfter(runs, begin);
  auto last = first;
  std::vector<Extent> kept;
  for (; last != runs.end() && last->file_unit < end; ++last) {
    erased.push_back(PartOf(*last, begin, end));
    if (last->file_unit < begin) kept.push_back(PartOf(*last, last->file_unit, begin));
    if (last->file_end() > end) kept.push_back(PartOf(*last, end, last->file_end()));
  }
  const auto at = runs.erase(first, last);
  runs.insert(at, kept.begin(), kept.end());
}

std::vector<Extent> RunsIn(const std::vector<Extent>& runs, uint64_t begin, uint64_t end) {
  std::vector<Extent> found;
  for (auto at = FirstAfter(runs, begin); at != runs.end() && at->file_unit < end; ++at) {
    found.push_back(PartOf(*at, begin, end));
  }
  return found;
}

const Extent* FirstRunAfter(const std::vector<Extent>& runs, uint64_t unit) {
  const auto at = FirstAfter(runs, unit);
  return at != runs.end() ? &*at : nullptr;
}

uint64_t CountUnits(const std::vector<Extent>& runs) {
  uint64_t units = 0;
  for (const Extent& run : runs) units += run.units.count;
  return units;
}

}  // namespace tifs::volume
