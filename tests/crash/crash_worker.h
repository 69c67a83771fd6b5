#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "sim/power_cut_disk.h"
#include "tests/sim/file_system_ops.h"
#include "tests/sim/model_ops.h"
#include "tests/sim/operation.h"
#include "tests/sim/path_target.h"

namespace tifs::sim {

// One who works in a directory of its own, and the manifest of what may be there after a cut: the
// model as of the last sync that was acknowledged, and the operations since. The file system
// promises that what remains is the state after some number of these operations; the latest are
// lost first.
class CrashWorker {
 public:
  // `clock` outlives it.
  CrashWorker(uint32_t index, Clock& clock, uint32_t block_size_bytes);

  // Makes its directory; the caller syncs.
  Status MakeDirectory(fs::FileSystem& file_system);

  struct Plan {
    Profile profile;
    uint64_t operations = 0;
    // The mount makes each operation durable before it returns.
    bool sync_mount = false;
  };
  // Runs random operations until the power goes or all are done. Why an answer was wrong; empty:
  // none.
  std::string Work(fs::FileSystem& file_system, PowerCutDisk& disk, Random& random,
                   const Plan& plan);
  // All that was done is durable now.
  void NoteSynced();

  // Judges what is there after a cut and goes on from it. Why it may not be there; empty: it may.
  // `in_place`: bytes are written where they lie, so an unsynced write may show, whole or in part,
  // or have left zeros, though its operation was lost; lengths and names may not.
  std::string Recover(fs::FileSystem& file_system, bool in_place);

 private:
  Operation WithPrefix(Operation operation) const;
  Interest WithPrefix(const Interest& interest) const;
  Tree TreeBelow(const Tree& whole) const;
  std::vector<ModelOps> ReplayStates() const;
  // Compares with `states[k]`, and with `in_place` lets that have the bytes that are there. `bare`:
  // the tree without contents.
  std::string CompareWithState(PathTarget& target, const Tree& bare, std::vector<ModelOps>& states,
                               size_t k, bool in_place) const;
  static Interest InterestIn(std::vector<ModelOps>& states, size_t k);
  static std::string CompareInPlace(const Tree& expected, const Tree& actual,
                                    const std::vector<ModelOps>& states, size_t k);

  const std::string directory_;
  Clock& clock_;
  std::unique_ptr<ModelOps> current_;
  std::unique_ptr<PathTarget> current_target_;
  std::unique_ptr<ModelOps> synced_;
  std::unique_ptr<PathTarget> synced_target_;  // for its table of open files
  std::vector<Operation> since_;
};

}  // namespace tifs::sim
