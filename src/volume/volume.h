#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "block/block_device.h"
#include "volume/guarded_device.h"
#include "volume/root.h"
#include "volume/volume_format.h"

namespace tifs::volume {

class VolumeCore;
struct LoadOptions;
struct SuperblockCopies;

struct FormatOptions {
  std::string name;  // at most 64 bytes, no control characters
  // What space is given out in: a power of two, 4 KiB to 16 MiB.
  uint64_t extent_unit_bytes = 64 << 10;
  // 0: by the size of the device (docs/volume_format.md). Of each of the two copies.
  uint64_t journal_bytes = 0;
  // 0: by the size of the device. Of each of the three slots; limits the number of files.
  uint64_t checkpoint_bytes = 0;
  std::optional<Uuid> uuid;  // else random

  Status Validate() const;
};

struct VolumeOptions {
  // Who has it open, for messages to others: "tifs mount (pid 17) on host". At most 255 bytes.
  std::string owner;
  Clock* clock = &SystemClock();
  // A thread that writes checkpoints, commits what waits and discards freed extents. Without it
  // these are done by the threads that call, when they are due; tests want that.
  bool background = true;
  // At most so many more write what was appended, and read what a sequential reader will want next,
  // while their users go on. Started when they are wanted; 0: the threads that call do it all.
  uint32_t transfer_threads = 4;
  // Appended bytes go to the device when so many have come together: whole blocks of 4 KiB, at most
  // 16 MiB. A file being written uses up to five times as much memory.
  uint32_t write_buffer_bytes = 512 << 10;
  // Operations on names are durable after at most this time, also if nobody syncs. 0: never. Needs
  // `background`.
  uint32_t commit_interval_ms = 5000;
  // Tell the device of extents that were freed.
  bool discard = true;
  // For tests, which show by it that they notice: flushes of which it answers true are left out.
  std::function<bool(FlushKind)> skip_flush;

  Status Validate() const;
};

struct VolumeUsage {
  uint64_t total_bytes = 0;        // for data
  uint64_t free_bytes = 0;         // now; what was freed and waits for its record is in neither
  uint64_t reclaimable_bytes = 0;  // free after the next commit, or when handles are closed
  uint64_t files = 0;
  uint64_t directories = 0;           // roots included
  uint64_t metadata_bytes = 0;        // of a checkpoint
  uint64_t metadata_limit_bytes = 0;  // what fits
};

// Counts since the opening.
struct VolumeCounts {
  uint64_t journal_records = 0;
  uint64_t journal_blocks = 0;  // of one copy
  uint64_t commits = 0;
  uint64_t flushes = 0;
  uint64_t checkpoints = 0;
  uint64_t discarded_bytes = 0;
};

// What `tifs volume info` shows.
struct VolumeIdentity {
  Uuid uuid{};
  std::string name;
  std::string owner;        // the present one, or the last
  bool was_closed = false;  // cleanly, before this opening
  uint64_t generation = 0;
  uint64_t device_bytes = 0;  // in use
  uint64_t extent_unit_bytes = 0;
  uint64_t journal_bytes = 0;
  uint64_t checkpoint_bytes = 0;
  int64_t formatted_ns = 0;
};

// A file system on a device of its own (docs/volume_format.md: the format, the fault model and what
// is promised under each fault). Any number of users share one Volume in a process, each in a root.
// Exclusion of other processes is the device's. All calls are safe from any thread, Close apart.
class Volume {
 public:
  // Overwrites whatever is there. kInvalid: options, or a device that is too small; kNotSupported:
  // a device whose logical block is larger than 4 KiB. Looking for a file system that somebody
  // needs is the caller's part (ReadIdentity, and what libblkid knows).
  static Status Format(block::BlockDevice& device, const FormatOptions& options, Clock& clock);

  // What is on a device, from its superblocks alone. kNotFound: no volume.
  static Result<VolumeIdentity> ReadIdentity(block::BlockDevice& device);

  // For use. kNotFound: no volume there. kNotSupported: of a newer version, or with features that
  // this release lacks. kCorrupt, with what is wrong: `tifs volume check`. kInvalid: the device is
  // smaller than the volume.
  static Result<std::unique_ptr<Volume>> Open(std::unique_ptr<block::BlockDevice> device,
                                              const VolumeOptions& options);
  // To look at, as of the last journal record, while another process may have it open. Writes
  // nothing to the device, which may be opened read-only; every change is kReadOnly.
  static Result<std::unique_ptr<Volume>> OpenSnapshot(std::unique_ptr<block::BlockDevice> device);

  // Closes, without reporting an error.
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  // Makes everything durable, writes a checkpoint and marks the volume closed. Files and roots
  // should be gone by now; what they are asked afterwards they answer with kReadOnly or, reading,
  // kBadHandle. Once, by one thread; the device is closed when the last of them is gone.
  Status Close();

  // A root by its name. `create` makes it if there is none (durable with the next sync). kNotFound;
  // kInvalid for a name that is none.
  Result<std::unique_ptr<Root>> OpenRoot(std::string_view name, bool create);
  std::vector<DirectoryEntry> Roots() const;
  // kNotEmpty.
  Status RemoveRoot(std::string_view name);

  // Everything done before is durable, files closed without a sync included; not bytes that wait in
  // the memory of files that are open.
  Status Sync();
  // After the device grew: uses the new space, and returns the new size. The same size if it did
  // not; kInvalid if it shrank.
  Result<uint64_t> Grow();
  // Writes a checkpoint now.
  Status Checkpoint();

  VolumeIdentity Identity() const;
  VolumeUsage Usage() const;
  VolumeCounts Counts() const;
  // The error that latched the volume, if it is latched.
  std::optional<Error> Latched() const;
  // Damage that was found and got over when it was opened, in words; for warnings.
  const std::vector<std::string>& Warnings() const;
  // Whether the tables and the free space agree: what a test asks at any time.
  Status Verify() const;
  block::BlockDevice& device();

 private:
  friend class VolumeCheck;
  explicit Volume(std::shared_ptr<VolumeCore> core);
  static Result<std::unique_ptr<Volume>> OpenLoaded(std::unique_ptr<block::BlockDevice> device,
                                                    const VolumeOptions& options,
                                                    const SuperblockCopies& copies,
                                                    const LoadOptions& load_options);

  const std::shared_ptr<VolumeCore> core_;
};

}  // namespace tifs::volume
