#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tests/sim/operation.h"

// What sequences of operations run on, and what they answer.
namespace tifs::sim {

// What of stat(2) is compared.
struct Stat {
  uint32_t mode = 0;
  uint32_t nlink = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t rdev = 0;
  uint64_t size_bytes = 0;  // 0 for directories: theirs means nothing
  uint64_t allocated_bytes = 0;
  Timespec atime, mtime;
};

// Which times of an inode a call moved. The change counter counts as a time where there is one.
struct Moved {
  bool mtime = false;
  bool ctime = false;
  bool change = false;
  // The oracle's: an implementation may choose.
  bool mtime_is_open = false;
  bool ctime_is_open = false;
};

struct Outcome {
  // The call was not made: on something that would block, or that the harness leaves out.
  bool skipped = false;
  int error = 0;      // an errno
  int64_t value = 0;  // what the call returns: a count, an offset
  std::string bytes;  // what it reads
  std::optional<Stat> stat;
  // By "path", "parent", "path2", "parent2", "slot", "slot2"; only where watched.
  std::map<std::string, Moved> moved;

  // The oracle's, of a seek: what other answers are right as well.
  struct SeekBounds {
    uint64_t first = 0;        // no answer below
    uint64_t last = 0;         // none above
    bool may_be_none = false;  // ENXIO is right, too
    // Whether the answer, within these, may be so. Until the oracle's next operation.
    std::function<bool(uint64_t offset_bytes)> may_be;
  };
  std::optional<SeekBounds> seek;
};

// One inode, as a walk over the whole tree finds it.
struct NodeState {
  Stat stat;
  std::string same_as;  // the first path, in their order, of the same inode
  std::string symlink;
  std::map<std::string, std::string> xattrs;
  std::map<uint64_t, std::string> ranges;  // contents by offset, where the oracle had any
  // The oracle's.
  uint64_t min_allocated_bytes = 0;
  uint64_t max_allocated_bytes = UINT64_MAX;
  bool atime_is_open = false;
  bool mtime_is_open = false;
  bool ctime_is_open = false;
};

// By path from the root, which is "".
using Tree = std::map<std::string, NodeState>;
// Ranges of files to read in a walk: begin and length.
using Interest = std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>>;

// A file system with a table of kSlots open files. Calls are those of Operation, made relative to
// the target's root, with the kernel's own checks of descriptors and paths.
class Target {
 public:
  virtual ~Target() = default;
  // `watch`: tell which times moved.
  virtual Outcome Apply(const Operation& operation, bool watch) = 0;
  // The call failed elsewhere for want of space and is not made here; only what it does to the
  // table of open files happens.
  virtual void ApplyFailed(const Operation& operation) = 0;
  virtual Tree Walk(const Interest& interest) = 0;
  virtual void CloseAll() = 0;
  // What is wrong with itself, found on the way; empty: nothing.
  virtual std::string Complaint() { return {}; }
};

}  // namespace tifs::sim
