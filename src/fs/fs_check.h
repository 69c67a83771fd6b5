#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
  std::function<void(uint64_t keys_seen)> progress = {};
  // How long the data file is that blocks lie in; absent: blocks far beyond it are not found.
  std::optional<uint64_t> data_file_bytes = {};
};

struct CheckFinding {
  // One line: what is wrong, and the path of what it is about, if it has one, with all but
  // printable ASCII escaped.
  std::string what;
  bool repaired = false;
};

struct CheckReport {
  // Of what could be read, when it was read last.
  uint64_t inodes = 0;
  uint64_t directories = 0;
  uint64_t blocks = 0;
  uint64_t orphans = 0;  // being reclaimed: not findings
  uint64_t used_bytes = 0;
  // Bytes of blocks that the data file is too short for; they read as zeros. No finding: a power
  // cut leaves such where nobody had synced. Counts what is being written meanwhile, too.
  uint64_t missing_bytes = 0;
  // The first kMaxFindings: repaired ones in the order of their repair, then those that are left.
  std::vector<CheckFinding> findings;
  uint64_t finding_count = 0;
  uint64_t unrepaired = 0;

  static constexpr size_t kMaxFindings = 1000;
};

// Checks every invariant of docs/kv_schema.md over one snapshot of the store; docs/fsck.md says
// what is found and how each is repaired. Bytes in the data file are not read. Memory is bounded by
// the number of inodes (about 90 bytes each) and of blocks (about 2 bits each in a sound store);
// more problems than fit are repaired in further readings of the store.
// Repair needs the store to itself (no mounted FileSystem). It goes in transactions that each leave
// the store no worse, and is durable when this returns; after a crash in between, check again.
// Errors: kNotFound (not formatted), kNotSupported (newer format, or any feature that is not
// known), kIo, kNoSpace, kReadOnly.
Result<CheckReport> Check(kv::Store& store, Clock& clock, const CheckOptions& options);

}  // namespace tifs::fs
