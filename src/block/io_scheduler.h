#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/sync.h"
#include "block/io_arbiter.h"
#include "block/io_class.h"

namespace tifs::block {

struct IoSchedulerCounts {
  struct Class {
    IoClassCounts transfers;
    // Of the background: how many had to wait before they began, and how long together.
    uint64_t waits = 0;
    uint64_t waited_ns = 0;
  };
  std::array<Class, kIoClasses> classes;
  // Of the transfers, those that no instance counts (IoScope): of a volume, its own metadata.
  std::array<IoClassCounts, kIoClasses> unclaimed;
  // Of those foreground reads that were timed: one in sixteen, and all while the background works.
  uint64_t read_p50_ns = 0;
  uint64_t read_p99_ns = 0;
  uint64_t read_p999_ns = 0;
  bool enabled = false;
  double background_share_percent = 100;
};

// What an IoScheduler goes by.
struct IoSchedulerSettings {
  bool enabled = false;
  IoSchedulerOptions options;
};

// Holds background transfers back so that foreground reads keep their latency goal; IoArbiter says
// by which rules. It does nothing but count until it is configured. All calls are safe from any
// thread at any time.
//
// The foreground takes no lock and never waits. The background waits on its own threads, for the
// clock and for other background transfers to finish, never for the foreground, and with no lock
// of this held: so nobody who holds a lock above it waits for ever.
class IoScheduler {
 public:
  explicit IoScheduler(Clock& clock)
      : clock_(clock), arbiter_({.profile = DeviceProfile::Unknown()}) {}

  // From now on schedules by these. kInvalid changes nothing.
  Status Configure(const IoSchedulerOptions& options) EXCLUDES(mutex_);
  // From now on lets everything pass.
  void Disable() EXCLUDES(mutex_);
  // What it goes by; the profile is DeviceProfile::Unknown until one was given.
  IoSchedulerSettings Settings() const EXCLUDES(mutex_);
  // Both in one step, so that nobody who changes something else meanwhile is lost: `change` is
  // given what it goes by and alters it. An error of `change`, or kInvalid, changes nothing.
  Status Change(const std::function<Status(IoSchedulerSettings&)>& change) EXCLUDES(mutex_);
  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }

  // A foreground read while it lives.
  class ForegroundRead {
   public:
    explicit ForegroundRead(IoScheduler& scheduler);
    ~ForegroundRead();
    ForegroundRead(const ForegroundRead&) = delete;
    ForegroundRead& operator=(const ForegroundRead&) = delete;

   private:
    IoScheduler& scheduler_;
    std::chrono::nanoseconds began_{-1};  // -1: is not timed
  };

  // A background transfer: waits until it may begin, and is finished when this goes.
  class Admission {
   public:
    Admission(IoScheduler& scheduler, IoClass io_class, IoKind kind, uint64_t bytes);
    ~Admission();
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

   private:
    IoScheduler& scheduler_;
    IoArbiter::Transfer transfer_;
  };

  // A thread of the background comes by between its transfers: pauses it, for what it computed
  // since it came last, as IoArbiter::PauseAfter says. Holds no more than a pause's worth of work
  // against it that was long ago.
  void Pace(IoClass io_class) EXCLUDES(mutex_);

  // What the background should transfer at once.
  uint64_t PieceBytes(IoKind kind) const {
    const auto& bytes = kind == IoKind::kRead ? read_piece_bytes_ : write_piece_bytes_;
    return bytes.load(std::memory_order_relaxed);
  }
  // Of what the calling thread transfers, by its IoScope.
  void Count(IoKind kind, uint64_t bytes);

  IoSchedulerCounts Counts() const EXCLUDES(mutex_);

 private:
  static constexpr size_t kShelves = 8;
  struct alignas(64) ForegroundShelf {
    std::atomic<uint64_t> reads{0};
    std::atomic<uint64_t> timed{0};
    std::atomic<uint64_t> slow{0};
  };

  void Apply(const IoSchedulerSettings& settings) REQUIRES(mutex_);
  void Enter(IoArbiter::Transfer& transfer) EXCLUDES(mutex_);
  void Leave(const IoArbiter::Transfer& transfer) EXCLUDES(mutex_);
  IoArbiter::Foreground SumForeground() const;
  ForegroundShelf& ShelfOfThread();

  Clock& clock_;
  IoCounter total_;
  IoCounter unclaimed_;
  std::array<ForegroundShelf, kShelves> foreground_;
  LatencyHistogram read_latency_;
  std::atomic<bool> enabled_{false};
  // Whether background transfers wait or are under way: then all foreground reads are timed.
  std::atomic<bool> contended_{false};
  std::atomic<int64_t> goal_ns_{0};
  std::atomic<uint64_t> read_piece_bytes_{UINT64_MAX};
  std::atomic<uint64_t> write_piece_bytes_{UINT64_MAX};

  mutable Mutex mutex_;
  CondVar begun_;
  IoSchedulerOptions options_ GUARDED_BY(mutex_) = {.profile = DeviceProfile::Unknown()};
  IoArbiter arbiter_ GUARDED_BY(mutex_);
  std::array<uint64_t, kIoClasses> waits_ GUARDED_BY(mutex_){};
  std::array<uint64_t, kIoClasses> waited_ns_ GUARDED_BY(mutex_){};
};

}  // namespace tifs::block
