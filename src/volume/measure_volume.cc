#include "volume/measure_volume.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "base/metrics.h"
#include "base/random.h"
#include "block/dma_buffer.h"
#include "volume/file.h"
#include "volume/root.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kSmallBytes = 4096;
constexpr uint64_t kLeastBytes = 16 * kMiB;
// So many files, each written by a thread of its own where several write.
constexpr size_t kWriters = 4;
constexpr uint32_t kMostDepth = 64;
constexpr auto kLeastGoal = std::chrono::milliseconds(1);
constexpr auto kMostGoal = std::chrono::milliseconds(20);

// Files in the root of the profile, so that what a kill leaves is known to be ours.
std::string FileName(size_t number) { return "bench-" + std::to_string(number); }

// Counts and times while it lives.
class Stopwatch {
 public:
  explicit Stopwatch(Clock& clock) : clock_(clock), began_(clock.Monotonic()) {}

  std::chrono::nanoseconds elapsed() { return clock_.Monotonic() - began_; }
  void Record(std::chrono::nanoseconds latency) { latency_.Record(latency); }
  Measurement Measured(std::string name, uint32_t depth, uint64_t bytes) {
    const double seconds = std::chrono::duration<double>(elapsed()).count();
    return {.name = std::move(name),
            .depth = depth,
            .bytes = bytes,
            .ops_per_s = seconds > 0 ? static_cast<double>(latency_.count()) / seconds : 0,
            .p50_ns = latency_.QuantileNs(0.5),
            .p99_ns = latency_.QuantileNs(0.99),
            .p999_ns = latency_.QuantileNs(0.999)};
  }

 private:
  Clock& clock_;
  const std::chrono::nanoseconds began_;
  LatencyHistogram latency_;  // counted by several threads
};

class VolumeBench {
 public:
  VolumeBench(Volume& volume, const MeasureOptions& options, Clock& clock)
      : volume_(volume), options_(options), clock_(clock), random_(RandomSeed()) {}

  Result<VolumeMeasurements> Run() {
    const bool had_root = volume_.OpenRoot(block::DeviceProfile::kRoot, false).ok();
    root_ = TRY(volume_.OpenRoot(block::DeviceProfile::kRoot, true));
    Status done = RemoveFiles();
    if (done) done = Measure();
    files_.clear();
    const Status removed = RemoveFiles();
    root_.reset();
    if (!had_root && removed) (void)volume_.RemoveRoot(block::DeviceProfile::kRoot);
    TRY(std::move(done));
    TRY(removed.ok() ? Status() : Status(removed.error().Clone()));
    TRY(volume_.Sync());
    DeriveProfile();
    return std::move(result_);
  }

 private:
  Status Check() const { return options_.check ? options_.check() : Status(); }
  Status RemoveFiles() {
    for (size_t i = 0; i < kWriters; ++i) {
      Status removed = root_->Unlink(FileName(i));
      if (!removed && removed.error().code() != ErrorCode::kNotFound) return removed;
    }
    return volume_.Sync();
  }

  Status Measure() {
    const uint64_t room = volume_.Usage().free_bytes / 2;
    result_.size_bytes = std::min(options_.size_bytes, room / kLeastBytes * kLeastBytes);
    if (result_.size_bytes == 0) {
      return Error(ErrorCode::kNoSpace, "volume", "less than 32 MiB are free");
    }
    file_bytes_ = result_.size_bytes / kWriters;
    buffer_ = TRY(volume_.device().AllocateBuffer(kMostDepth * kSmallBytes));
    large_ = TRY(volume_.device().AllocateBuffer(kWriters * kMiB));
    for (char& byte : large_.bytes()) byte = static_cast<char>(random_.Next());
    for (size_t i = 0; i < kWriters; ++i) {
      files_.push_back(TRY(root_->Open(FileName(i), {.write = true, .create = true})));
    }
    TRY(Append(1));
    TRY(Append(kWriters));
    for (uint32_t depth : {1, 4, 16, 64}) TRY(Read(depth, kSmallBytes));
    for (uint32_t depth : {1, 4}) TRY(Read(depth, kMiB));
    for (uint32_t depth : {1, 4}) TRY(Overwrite(depth));
    return Sync();
  }

  // Does `work(thread)` on so many threads; the first error of any.
  Status InThreads(size_t count, const std::function<Status(size_t)>& work) {
    std::vector<Status> done(count);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) {
      threads.emplace_back([&, i] { done[i] = work(i); });
    }
    for (std::thread& thread : threads) thread.join();
    for (Status& status : done) TRY(std::move(status));
    return {};
  }

  // The first half of the first file by one, or all that is missing by all.
  Status Append(uint32_t writers) {
    Stopwatch watch(clock_);
    const uint64_t end = writers == 1 ? file_bytes_ / 2 : file_bytes_;
    TRY(InThreads(writers, [&](size_t thread) -> Status {
      File& file = *files_[thread];
      const auto piece = large_.bytes().subspan(thread * kMiB, kMiB);
      while (file.size_bytes() < end) {
        TRY(Check());
        const auto began = clock_.Monotonic();
        TRY(file.Append({piece.data(), std::min(kMiB, end - file.size_bytes())}));
        watch.Record(clock_.Monotonic() - began);
      }
      return file.Sync();
    }));
    result_.measurements.push_back(watch.Measured("append", writers, kMiB));
    return {};
  }

  Status Overwrite(uint32_t writers) {
    Stopwatch watch(clock_);
    std::vector<uint64_t> seeds;
    for (uint32_t i = 0; i < writers; ++i) seeds.push_back(random_.Next());
    TRY(InThreads(writers, [&](size_t thread) -> Status {
      Random random(seeds[thread]);
      const std::string_view piece(large_.data() + thread * kMiB, kSmallBytes);
      // Once at least, however long the thread took to begin.
      do {
        TRY(Check());
        const auto began = clock_.Monotonic();
        const uint64_t block = random.Below(file_bytes_ / kSmallBytes);
        TRY(files_[thread]->WriteAt(block * kSmallBytes, piece));
        watch.Record(clock_.Monotonic() - began);
      } while (watch.elapsed() < options_.duration);
      return {};
    }));
    result_.measurements.push_back(watch.Measured("write", writers, kSmallBytes));
    return {};
  }

  Status Sync() {
    Stopwatch watch(clock_);
    do {
      TRY(Check());
      const auto began = clock_.Monotonic();
      TRY(files_[0]->Append({large_.data(), kSmallBytes}));
      TRY(files_[0]->Sync());
      watch.Record(clock_.Monotonic() - began);
    } while (watch.elapsed() < options_.duration);
    result_.measurements.push_back(watch.Measured("sync", 1, kSmallBytes));
    return {};
  }

  // A read that is under way, in one or, across extents, several requests.
  struct Slot {
    std::unique_ptr<AsyncRead> read;
    size_t pending = 0;
    std::chrono::nanoseconds began{0};
  };

  Status StartRead(Slot& slot, size_t index, uint64_t bytes, std::span<char> out) {
    TRY(Check());
    File& file = *files_[random_.Below(kWriters)];
    const uint64_t offset = random_.Below(file_bytes_ / bytes) * bytes;
    slot.began = clock_.Monotonic();
    slot.read = TRY(file.PrepareRead(offset, out.subspan(index * bytes, bytes)));
    std::vector<block::IoRequest*> requests;
    for (block::IoRequest& request : slot.read->requests()) {
      request.tag = index;
      requests.push_back(&request);
    }
    slot.pending = requests.size();
    // A read of many extents has room, too: the queue is as deep as the most there can be.
    (void)queue_->Submit(requests);
    return {};
  }

  Status Read(uint32_t depth, uint64_t bytes) {
    const std::span<char> out = bytes == kSmallBytes ? buffer_.bytes() : large_.bytes();
    // A megabyte has at most 257 extents.
    queue_ = TRY(volume_.device().OpenQueue(bytes == kSmallBytes ? 2 * depth : 1024 + depth));
    std::vector<Slot> slots(depth);
    std::vector<block::IoRequest*> done(depth);
    Stopwatch watch(clock_);
    Status outcome;
    for (size_t i = 0; i < depth && outcome; ++i) outcome = StartRead(slots[i], i, bytes, out);
    while (queue_->in_flight() > 0) {
      const size_t count = queue_->Poll(1, done);
      for (block::IoRequest* request : std::span(done).first(count)) {
        Slot& slot = slots[request->tag];
        if (--slot.pending != 0) continue;
        watch.Record(clock_.Monotonic() - slot.began);
        auto finished = slot.read->Finish();
        const size_t index = request->tag;
        if (!finished && outcome) outcome = std::move(finished).error();
        if (!outcome || watch.elapsed() >= options_.duration) continue;
        outcome = StartRead(slot, index, bytes, out);
      }
    }
    queue_.reset();
    TRY(std::move(outcome));
    result_.measurements.push_back(watch.Measured("read", depth, bytes));
    return {};
  }

  void DeriveProfile() {
    block::DeviceProfile& profile = result_.profile;
    const auto raise = [](uint64_t& figure, double value) {
      figure = std::max({figure, static_cast<uint64_t>(value), uint64_t{1}});
    };
    for (const Measurement& one : result_.measurements) {
      const double bytes_per_s = one.ops_per_s * static_cast<double>(one.bytes);
      if (one.name == "read") {
        raise(profile.read_bytes_per_s, bytes_per_s);
        if (one.bytes == kSmallBytes) raise(profile.read_iops, one.ops_per_s);
      } else if (one.name != "sync") {
        raise(profile.write_bytes_per_s, bytes_per_s);
        if (one.bytes == kSmallBytes) raise(profile.write_iops, one.ops_per_s);
      }
      if (one.name == "read" && one.bytes == kSmallBytes && one.depth == 1) {
        const auto goal = std::clamp<std::chrono::nanoseconds>(
            4 * std::chrono::nanoseconds(one.p99_ns), kLeastGoal, kMostGoal);
        profile.latency_goal_ns = static_cast<uint64_t>(goal.count());
      }
    }
  }

  Volume& volume_;
  const MeasureOptions options_;
  Clock& clock_;
  Random random_;
  std::unique_ptr<Root> root_;
  std::vector<std::unique_ptr<File>> files_;
  uint64_t file_bytes_ = 0;
  block::DmaBuffer buffer_;  // of small reads
  block::DmaBuffer large_;
  std::unique_ptr<block::IoQueue> queue_;
  VolumeMeasurements result_;
};

}  // namespace

Status MeasureOptions::Validate() const {
  if (size_bytes >= kLeastBytes && size_bytes % kMiB == 0 && duration.count() > 0) return {};
  return Error(ErrorCode::kInvalid, "volume", "at least 16 MiB, in whole MiB");
}

Result<VolumeMeasurements> MeasureVolume(Volume& volume, const MeasureOptions& options,
                                         Clock& clock) {
  TRY(options.Validate());
  return VolumeBench(volume, options, clock).Run();
}

}  // namespace tifs::volume
