#pragma once

#include <cstdint>
#include <vector>

#include "volume/volume_format.h"

// Which units of a sparse file lie where: runs in ascending order, disjoint, holes between them.
// What continues the run before it on the device as well is one run with it.
namespace tifs::volume {

// Adds a run. Precondition: none of its units is mapped.
void InsertRun(std::vector<Extent>& runs, const Extent& run);
// Takes out [begin, end) and appends what was mapped there to `erased`, in order.
void EraseRuns(std::vector<Extent>& runs, uint64_t begin, uint64_t end,
               std::vector<Extent>& erased);
// The parts of runs that lie in [begin, end), in order.
std::vector<Extent> RunsIn(const std::vector<Extent>& runs, uint64_t begin, uint64_t end);
// The first run that ends after `unit`; null if there is none.
const Extent* FirstRunAfter(const std::vector<Extent>& runs, uint64_t unit);
uint64_t CountUnits(const std::vector<Extent>& runs);

}  // namespace tifs::volume
