#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>

#include "base/result.h"
#include "block/device_profile.h"
#include "block/io_class.h"

namespace tifs::block {

// What one class of background I/O gets.
struct IoClassOptions {
  // Its part of what the background gets, in proportion to those of the classes that also want
  // something. In [1, 1000].
  uint32_t weight = 1;
  // Never more than this. 0: no limit.
  uint64_t max_bytes_per_s = 0;
  uint64_t max_iops = 0;
};

struct IoSchedulerOptions {
  DeviceProfile profile;
  // By IoClass. The foreground is never held back, so its entry says nothing.
  std::array<IoClassOptions, kIoClasses> classes = {
      {{.weight = 1}, {.weight = 400}, {.weight = 200}, {.weight = 50}}};
  // The part of the device's time that the background has at least, be foreground reads as slow as
  // they may: nothing waits for ever. In [1, 100].
  uint32_t min_background_percent = 10;

  // kInvalid.
  Status Validate() const;
};

// Decides which background transfer may begin when, by the time that it is told; waits for nothing
// itself. Not safe for use by several threads at once.
//
// Three rules, each of which lets a transfer wait:
// - *Depth*: the transfers that have begun take the device no longer, by the profile, than the
//   latency goal; one alone may always begin. So a foreground read waits no longer than the goal
//   behind the background, when the device serves them in their order.
// - *Share*: while there are foreground reads, the background has a share of the device's time,
//   which falls by a quarter with each window in which too many of them miss the goal and rises by
//   a twentieth with each in which they do not; never below `min_background_percent`. Reads that
//   miss it without any background are not blamed on it. Without foreground reads: all of it.
//   Compactions compute with that share of the time, too (PauseAfter): on a machine whose
//   processors are busy, a read waits for one of them rather than for the device.
// - *Limits* of its class, by bytes and by count.
// Between classes: those that wait begin in the order of virtual start times (start-time fair
// queueing, Goyal, Vin and Cheng 1996), within one in their order. Costs are device time.
class IoArbiter {
 public:
  using Time = std::chrono::nanoseconds;
  static constexpr Time kNever = Time::max();
  // For so long after the last foreground read the background goes on with a share only.
  static constexpr Time kForegroundLinger = std::chrono::milliseconds(50);
  static constexpr Time kWindow = std::chrono::milliseconds(50);
  // Windows with fewer timed reads go on.
  static constexpr uint64_t kWindowReads = 50;
  // One in so many foreground reads may miss the goal.
  static constexpr uint64_t kSlowAllowedOneIn = 500;

  struct Transfer {
    IoClass io_class = IoClass::kCompaction;  // not the foreground
    IoKind kind = IoKind::kRead;
    uint64_t bytes = 0;
    bool begun = false;  // set when it may begin
    Time cost{0};        // set by Enqueue
  };
  // Counts of foreground reads, that only grow.
  struct Foreground {
    uint64_t reads = 0;
    uint64_t timed = 0;
    uint64_t slow = 0;  // of those that were timed
  };

  // `options` are valid.
  explicit IoArbiter(const IoSchedulerOptions& options);
  // From now on; what has begun is not touched.
  void Configure(const IoSchedulerOptions& options);

  // `transfer` waits; it is the caller's, and stays where it is until it is finished.
  void Enqueue(Transfer& transfer);
  // What foreground reads did meanwhile. Before Begin.
  void Observe(Time now, const Foreground& foreground);
  // Lets begin what may; whether anything did is in `begun` of each. Returns the time from which on
  // another call may let more begin, kNever if only a Finish or Enqueue can.
  Time Begin(Time now);
  // Lets all begin, whatever the rules are.
  void BeginAll();
  void Finish(const Transfer& transfer);

  // How long a thread of the background that computed for `worked` leaves the processor to others:
  // as long as makes its work the background's share of the time. 0 without foreground reads.
  Time PauseAfter(Time now, Time worked) const;

  bool idle() const { return begun_count_ == 0 && waiting_count_ == 0; }
  bool has_waiting() const { return waiting_count_ != 0; }
  // Of the device's time, in percent: what the background may have beside foreground reads.
  double share_percent() const { return share_ * 100; }
  // What is to be transferred in one piece: a quarter of the goal, 64 KiB at least.
  uint64_t PieceBytes(IoKind kind) const;
  Time latency_goal() const { return Time(options_.profile.latency_goal_ns); }

 private:
  struct Class {
    std::deque<Transfer*> waiting;
    double virtual_start = 0;
    Time limited_until{0};
  };

  const IoClassOptions& OptionsOf(size_t io_class) const { return options_.classes[io_class]; }
  void CloseWindow();
  // The class whose first transfer is next, kIoClasses if none may begin for their limits; then
  // `wake` is the time of the first that may.
  size_t NextClass(Time now, Time& wake) const;
  void BeginFirst(size_t io_class, Time now);

  IoSchedulerOptions options_;
  std::array<Class, kIoClasses> classes_;
  size_t waiting_count_ = 0;
  size_t begun_count_ = 0;
  Time begun_cost_{0};
  double virtual_now_ = 0;

  double share_ = 1.0;
  Time share_used_until_{0};
  Time foreground_until_{0};
  // The window of foreground reads.
  Foreground seen_;
  uint64_t window_timed_ = 0;
  uint64_t window_slow_ = 0;
  Time window_began_{0};
  bool window_has_background_ = false;
  // The part of foreground reads that miss the goal with no background at work.
  double slow_alone_ = 0;
};

}  // namespace tifs::block
