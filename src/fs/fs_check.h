#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "kv/kv.h"

namespace tifs::fs {

struct CheckOptions {
  // Repair what can be repaired; false changes nothing.
  bool repair = false;
  // Told of the work's progress, in keys seen; may be empty.
  std::function<void(uint64_t keys_seen)> progress;
};

struct CheckFinding {
  std::string what;  // one line, hostile names escaped
  bool repaired = false;
};

struct CheckReport {
  uint64_t inodes = 0;
  uint64_t directories = 0;
  uint64_t blocks = 0;
  uint64_t orphans = 0;  // being reclaimed: not findings
  uint64_t used_bytes = 0;
  std::vector<CheckFinding> findings;  // the first 1,000
  uint64_t finding_count = 0;
  uint64_t unrepaired = 0;
};

// Checks every invariant of docs/kv_schema.md over one snapshot of the store: entries name inodes,
// link counts, parents, directory stripes, blocks and xattrs belong to inodes, sizes, charges and
// the usage record, orphans. Memory is bounded by the number of inodes (about 50 bytes each).
// Repair needs the store to itself (no mounted FileSystem).
// Errors: kNotFound (not formatted), kNotSupported (newer format, or any feature that is not
// known), kIo.
Result<CheckReport> Check(kv::Store& store, Clock& clock, const CheckOptions& options);

}  // namespace tifs::fs
