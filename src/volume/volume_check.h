#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "block/block_device.h"
#include "volume/load_volume.h"

namespace tifs::volume {

struct CheckOptions {
  // Makes good what can be made good; else nothing is written, and the device may be open for
  // reading only.
  bool repair = false;
  // With `repair`: a journal that is damaged in both copies is ended there, and what is behind it
  // is lost. Only if somebody says so.
  bool cut_damaged_journal = false;
  std::string owner = "volume check";  // as in VolumeOptions
  Clock* clock = &SystemClock();
};

struct CheckReport {
  // What was wrong at the beginning. Warnings are what a second copy got over.
  std::vector<Finding> findings;
  // All findings were made good.
  bool is_repaired = false;
  // Of what can be read; zeros if nothing can.
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t used_bytes = 0;
  uint64_t free_bytes = 0;

  bool is_sound() const { return findings.empty() || is_repaired; }
};

// fsck for volumes: superblocks, checkpoints and journal are sound in all copies, every file has a
// way to a root, extents lie in the data areas and are disjoint. What can be repaired is said in
// docs/volume_format.md, "Repair".
class VolumeCheck {
 public:
  // Errors are those that leave nothing to report: kNotFound (no volume), kNotSupported (any
  // feature that this release does not know), kIo; and those of writing, with `repair`.
  static Result<CheckReport> Run(std::unique_ptr<block::BlockDevice> device,
                                 const CheckOptions& options);

 private:
  static Status Repair(std::unique_ptr<block::BlockDevice> device, const SuperblockCopies& copies,
                       const CheckOptions& options);
};

}  // namespace tifs::volume
