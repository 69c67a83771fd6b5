#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/sync.h"
#include "block/block_device.h"
#include "sim/disk_image.h"
#include "sim/power_supply.h"
#include "sim/write_cache.h"

namespace tifs::sim {

struct SimDeviceOptions {
  uint64_t size_bytes = 16 << 20;
  uint32_t block_bytes = 512;
  // What a cut never tears; 0: the logical block.
  uint32_t atomic_write_bytes = 0;
  bool has_fua = true;
  bool has_discard = true;
  // Otherwise what is discarded reads as a pattern that nobody wrote.
  bool discard_reads_zeros = false;
  bool read_only = false;
  // Keeps the log that CutSequence replays: all data that is ever written.
  bool record = false;
  // Decides what the interface leaves open: the order of requests in flight, what failed calls did.
  uint64_t seed = 1;
  std::string identity = "sim:";
};

// What goes wrong with a call that is met.
enum class DeviceFault : uint8_t {
  // It fails with kIo. Of a write, any of its units may have happened; after a flush, unflushed
  // writes may be durable, still unflushed, or lost to all later flushes.
  kError,
  // A write, flush or discard that is reported done and never happens.
  kLost,
  // A read that answers what was there before the unflushed writes.
  kStale,
  // A write that goes to another place, `shift_bytes` further.
  kMisdirected,
  // One bit of a read's answer, or of what a write stores, is turned over.
  kFlipped,
};

struct FaultPlan {
  block::IoKind kind = block::IoKind::kWrite;
  DeviceFault fault = DeviceFault::kError;
  // Of the calls of that kind that touch [begin, end), `skip` pass, then `count` are met.
  uint64_t skip = 0;
  uint64_t count = 1;
  uint64_t begin_bytes = 0;
  uint64_t end_bytes = UINT64_MAX;
  // kMisdirected: whole blocks; wraps at the end of the device.
  uint64_t shift_bytes = 0;
};

// One changing call, as it was done; those that failed or were met by a fault are not recorded.
struct LoggedCall {
  block::IoKind kind = block::IoKind::kWrite;
  bool through = false;  // writes
  Patch patch;           // writes and discards
  // How many changing calls of all media on this power came before it.
  uint64_t power_call = 0;
};

struct DeviceLog {
  DiskImage start;
  uint32_t unit_bytes = 0;
  std::vector<LoggedCall> calls;
};

// A disk in memory with a volatile cache, that can lose power and misbehave: what block_device.h
// leaves open is decided by a seed, and in the way that is worst for its user. Requests in flight
// together are done in any order, and a flush first, so that it covers none of them.
//
// When the power goes, unflushed writes survive as sim/write_cache.h says. All calls fail with kIo
// until it is back; then the device goes on with what survived, and its log begins anew.
class SimBlockDevice : public block::BlockDevice, private PowerSupply::Medium {
 public:
  // With a power of its own, or with that of other media, which outlives it; over zeros, or over
  // what another device left (which then has the size).
  explicit SimBlockDevice(const SimDeviceOptions& options);
  SimBlockDevice(const SimDeviceOptions& options, PowerSupply& power);
  SimBlockDevice(const SimDeviceOptions& options, DiskImage image);
  ~SimBlockDevice() override;

  Result<std::unique_ptr<block::IoQueue>> OpenQueue(uint32_t depth) override;
  std::string_view backend() const override { return "simulated"; }

  PowerSupply& power() { return power_; }

  // --- faults ---

  // Plans add up; the first that meets a call decides.
  void Inject(const FaultPlan& plan);
  void ClearFaults();
  // A bit of the medium turns over, at rest and for good.
  void FlipBit(uint64_t offset_bytes, uint8_t bit);
  // Grows with zeros, or shrinks; size_bytes() follows at the next RefreshSize.
  void Resize(uint64_t size_bytes);

  // --- what survives ---

  // As it would be if the power went now.
  WriteCache Cache() const;
  // As reads see it now.
  DiskImage Contents() const;
  // All since the start, or since the power came back. With `record`.
  DeviceLog Log() const;

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override;
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data,
                 block::Durability durability) override;
  Status DoFlush() override;
  Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) override;
  void DoRun(std::span<block::IoRequest> requests) override;
  Result<uint64_t> DoRefreshSize() override;

 private:
  friend class SimQueue;

  SimBlockDevice(const SimDeviceOptions& options, PowerSupply* shared_power, DiskImage image);
  void Survive(Random& random) override;
  // Does one request after another, flushes first, the rest in any order.
  void DoInAnyOrder(std::vector<block::IoRequest*>& requests);
  void Shuffle(std::vector<block::IoRequest*>& requests);
  uint64_t Below(uint64_t bound);
  std::optional<FaultPlan> MeetFault(block::IoKind kind, uint64_t offset_bytes, uint64_t size_bytes)
      REQUIRES(mutex_);
  Status WriteWithFault(const FaultPlan& fault, Patch patch, bool through) REQUIRES(mutex_);
  Status FlushLocked() REQUIRES(mutex_);
  void Perform(Patch patch, bool through) REQUIRES(mutex_);
  void KeepUnderWay(const Patch& patch) REQUIRES(mutex_);
  void Record(LoggedCall call) REQUIRES(mutex_);
  Status CheckPower() const;

  const SimDeviceOptions options_;
  const std::unique_ptr<PowerSupply> own_power_;  // null if it is shared
  PowerSupply& power_;
  mutable Mutex mutex_;
  DiskImage contents_ GUARDED_BY(mutex_);
  WriteCache cache_ GUARDED_BY(mutex_);
  DeviceLog log_ GUARDED_BY(mutex_);
  std::vector<FaultPlan> faults_ GUARDED_BY(mutex_);
  Random random_ GUARDED_BY(mutex_);
};

// Every instant at which the power can go in a recorded run, in order: before the first call is
// done, ..., after the last one. `cache()` has what may survive then, the call under way included:
//   for (CutSequence cuts(log); cuts.has_cut(); cuts.Next()) …
class CutSequence {
 public:
  // `log` outlives it.
  explicit CutSequence(const DeviceLog& log);

  bool has_cut() const { return position_ <= log_.calls.size(); }
  void Next();
  // So many calls were done; the one with this index was under way.
  size_t position() const { return position_; }
  const WriteCache& cache() const { return under_way_; }

 private:
  void BeginCall();

  const DeviceLog& log_;
  size_t position_ = 0;
  WriteCache done_;
  WriteCache under_way_;
};

}  // namespace tifs::sim
