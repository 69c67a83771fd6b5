#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "volume/volume_format.h"

namespace tifs::volume {

// Which extent units are free, as runs. Invariants: runs are not empty, disjoint and not adjacent;
// both maps hold the same. Nothing of it is on the disk: free is what no file has. Not safe for use
// by several threads at once.
class ExtentAllocator {
 public:
  // More units. They must not be free already; adjacent runs become one.
  void Add(UnitRange range);
  // Whether the whole run was free; it is taken then, and nothing is otherwise.
  bool TakeExactly(UnitRange range);
  // A run of 1 to `wanted` units, or an empty one if nothing is free. At `next_to` if that is free
  // (the end of the caller's last extent, so that the file goes on where it ended; 0 for none),
  // else the smallest run that has all that is wanted, else the largest there is.
  UnitRange Allocate(uint64_t wanted, uint64_t next_to);

  uint64_t free_units() const { return free_units_; }
  size_t runs() const { return by_start_.size(); }
  uint64_t largest_run() const { return by_count_.empty() ? 0 : by_count_.rbegin()->first; }
  // All free runs, ascending.
  std::vector<UnitRange> FreeRuns() const;
  // Whether no unit of the run is free.
  bool IsTaken(UnitRange range) const;

 private:
  using ByStart = std::map<uint64_t, uint64_t>;

  void Insert(UnitRange range);
  // Takes `range` out of the run `at`, which holds it.
  void Cut(ByStart::iterator at, UnitRange range);

  ByStart by_start_;                                  // start, count
  std::set<std::pair<uint64_t, uint64_t>> by_count_;  // count, start
  uint64_t free_units_ = 0;
};

}  // namespace tifs::volume
