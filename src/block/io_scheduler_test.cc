#include "block/io_scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "block/mem_device.h"
#include "block/scheduled_device.h"

namespace tifs::block {
namespace {

using std::chrono::milliseconds;

IoSchedulerOptions Options() {
  IoSchedulerOptions options;
  options.profile = {.read_iops = 10'000,
                     .read_bytes_per_s = 1'000'000'000,
                     .write_iops = 10'000,
                     .write_bytes_per_s = 1'000'000'000,
                     .latency_goal_ns = 1'000'000};
  return options;
}

// Notes what reaches the device.
class RecordingDevice : public ForwardingDevice {
 public:
  explicit RecordingDevice(BlockDevice& base) : ForwardingDevice(base) {}
  // Read and cleared by tests with one thread.
  std::vector<uint64_t> reads;
  std::vector<uint64_t> writes;
  std::vector<size_t> batches;

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override {
    Note(reads, out.size());
    return base().Read(offset_bytes, out);
  }
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data,
                 Durability durability) override {
    Note(writes, data.size());
    return base().Write(offset_bytes, data, durability);
  }
  void DoRun(std::span<IoRequest> requests) override {
    Note(batches, requests.size());
    (void)base().Run(requests);
  }

 private:
  void Note(std::vector<uint64_t>& list, uint64_t size) {
    MutexLock lock(mutex_);
    list.push_back(size);
  }

  Mutex mutex_;
};

class IoSchedulerTest : public testing::Test {
 protected:
  IoSchedulerTest() {
    disk_ = *MemDevice::Open({.size_bytes = 16 << 20});
    auto recording = std::make_unique<RecordingDevice>(*disk_);
    below_ = recording.get();
    device_ = std::make_unique<ScheduledDevice>(std::move(recording), clock_);
  }
  IoScheduler& scheduler() { return device_->scheduler(); }
  IoSchedulerCounts::Class CountsOf(IoClass io_class) {
    return scheduler().Counts().classes[static_cast<size_t>(io_class)];
  }

  ManualClock clock_;
  std::unique_ptr<MemDevice> disk_;
  RecordingDevice* below_;
  std::unique_ptr<ScheduledDevice> device_;
  std::vector<char> bytes_ = std::vector<char>(4 << 20, 'x');
};

TEST_F(IoSchedulerTest, AThreadIsInTheForegroundUntilItSaysOtherwise) {
  IoCounter instance;
  EXPECT_EQ(IoScope::CurrentClass(), IoClass::kForeground);
  {
    const IoScope compaction(IoClass::kCompaction, &instance);
    EXPECT_EQ(IoScope::CurrentClass(), IoClass::kCompaction);
    {
      const IoScope foreground(IoClass::kForeground);
      EXPECT_EQ(IoScope::CurrentClass(), IoClass::kForeground);
      EXPECT_EQ(IoScope::CurrentInstance(), &instance);
    }
    EXPECT_EQ(IoScope::CurrentClass(), IoClass::kCompaction);
    std::thread([] { EXPECT_EQ(IoScope::CurrentClass(), IoClass::kForeground); }).join();
  }
  EXPECT_EQ(IoScope::CurrentInstance(), nullptr);
}

TEST_F(IoSchedulerTest, CountsByClassAndInstance) {
  IoCounter one, other;
  const std::span<char> small(bytes_.data(), 4096);
  ASSERT_TRUE(device_->Read(0, small).ok());
  {
    const IoScope scope(IoClass::kFlush, &one);
    ASSERT_TRUE(device_->Write(0, small).ok());
  }
  {
    const IoScope scope(IoClass::kForeground, &other);
    std::vector<IoRequest> batch;
    batch.push_back(IoRequest::Read(0, small));
    batch.push_back(IoRequest::Read(8192, small));
    ASSERT_TRUE(device_->Run(batch).ok());
  }
  EXPECT_EQ(CountsOf(IoClass::kForeground).transfers,
            (IoClassCounts{.reads = 3, .read_bytes = 3 * 4096}));
  EXPECT_EQ(CountsOf(IoClass::kFlush).transfers, (IoClassCounts{.writes = 1, .write_bytes = 4096}));
  EXPECT_EQ(one.Counts(IoClass::kFlush), (IoClassCounts{.writes = 1, .write_bytes = 4096}));
  EXPECT_EQ(one.Counts(IoClass::kForeground), IoClassCounts());
  EXPECT_EQ(other.Counts(IoClass::kForeground), (IoClassCounts{.reads = 2, .read_bytes = 8192}));
}

TEST_F(IoSchedulerTest, QueuesAreCounted) {
  IoCounter instance;
  const IoScope scope(IoClass::kForeground, &instance);
  auto queue = *device_->OpenQueue(4);
  IoRequest read = IoRequest::Read(0, {bytes_.data(), 4096});
  IoRequest* request = &read;
  ASSERT_EQ(queue->Submit({&request, 1}), 1U);
  IoRequest* done = nullptr;
  ASSERT_EQ(queue->Poll(1, {&done, 1}), 1U);
  EXPECT_EQ(instance.Counts(IoClass::kForeground).reads, 1U);
}

TEST_F(IoSchedulerTest, WithoutAProfileAllPassesAsItIs) {
  const IoScope scope(IoClass::kCompaction);
  ASSERT_TRUE(device_->Read(0, {bytes_.data(), 2 << 20}).ok());
  ASSERT_TRUE(device_->Write(0, {bytes_.data(), 2 << 20}).ok());
  EXPECT_EQ(below_->reads, std::vector<uint64_t>{2 << 20});
  EXPECT_EQ(below_->writes, std::vector<uint64_t>{2 << 20});
  EXPECT_EQ(CountsOf(IoClass::kCompaction).waits, 0U);
}

TEST_F(IoSchedulerTest, LargeBackgroundTransfersGoInPiecesWithTheSameBytes) {
  ASSERT_TRUE(scheduler().Configure(Options()).ok());
  Random random(7);
  for (char& byte : bytes_) byte = static_cast<char>(random.Next());
  {
    const IoScope scope(IoClass::kCompaction);
    ASSERT_TRUE(device_->Write(4096, {bytes_.data(), 1'000'448}).ok());
  }
  // A quarter of a millisecond at 1 GB/s.
  const size_t piece = 192 << 10;
  EXPECT_EQ(below_->writes, (std::vector<uint64_t>{piece, piece, piece, piece, piece, 17408}));
  std::vector<char> read(1'000'448);
  {
    const IoScope scope(IoClass::kCompaction);
    ASSERT_TRUE(device_->Read(4096, read).ok());
  }
  EXPECT_EQ(below_->reads, below_->writes);
  EXPECT_EQ(std::memcmp(read.data(), bytes_.data(), read.size()), 0);
  // The foreground's are left whole.
  below_->reads.clear();
  ASSERT_TRUE(device_->Read(0, {bytes_.data(), 1 << 20}).ok());
  EXPECT_EQ(below_->reads, std::vector<uint64_t>{1 << 20});
}

TEST_F(IoSchedulerTest, ABackgroundBatchGoesInGroupsAndPieces) {
  ASSERT_TRUE(scheduler().Configure(Options()).ok());
  Random random(8);
  for (char& byte : bytes_) byte = static_cast<char>(random.Next());
  ASSERT_TRUE(device_->Write(0, {bytes_.data(), bytes_.size()}).ok());
  const std::vector<size_t> sizes = {65536, 65536, 65536, 65536, 524288, 0, 4096};
  std::vector<char> read(1 << 20, 0);
  std::vector<IoRequest> batch;
  size_t at = 0;
  for (size_t size : sizes) {
    batch.push_back(IoRequest::Read(at, {read.data() + at, size}));
    at += size;
  }
  batch.push_back(IoRequest::Read(UINT64_MAX - 4095, {read.data(), 4096}));
  below_->reads.clear();
  const IoScope scope(IoClass::kMigration);
  EXPECT_EQ(device_->Run(batch).error().code(), ErrorCode::kInvalid);
  for (size_t i = 0; i < sizes.size(); ++i) EXPECT_TRUE(batch[i].done && batch[i].status.ok()) << i;
  EXPECT_TRUE(batch.back().done);
  EXPECT_EQ(std::memcmp(read.data(), bytes_.data(), at), 0);
  EXPECT_EQ(below_->batches, std::vector<size_t>{3});
  EXPECT_EQ(CountsOf(IoClass::kMigration).transfers.read_bytes, at);
}

TEST_F(IoSchedulerTest, ALimitTakesItsTimeAndCanBeChangedAndSwitchedOff) {
  IoSchedulerOptions options = Options();
  options.classes[static_cast<size_t>(IoClass::kCompaction)].max_bytes_per_s = 1 << 20;
  ASSERT_TRUE(scheduler().Configure(options).ok());
  const IoScope scope(IoClass::kCompaction);
  const auto took = [&] {
    const auto began = clock_.Monotonic();
    EXPECT_TRUE(device_->Read(0, {bytes_.data(), 1 << 20}).ok());
    return clock_.Monotonic() - began;
  };
  EXPECT_GE(took(), milliseconds(800));
  EXPECT_NE(CountsOf(IoClass::kCompaction).waits, 0U);
  EXPECT_GE(CountsOf(IoClass::kCompaction).waited_ns, 800'000'000U);
  options.classes[static_cast<size_t>(IoClass::kCompaction)].max_bytes_per_s = 4 << 20;
  ASSERT_TRUE(scheduler().Configure(options).ok());
  EXPECT_LE(took(), milliseconds(300));
  scheduler().Disable();
  EXPECT_EQ(took(), milliseconds(0));
  options.profile = {};
  EXPECT_FALSE(scheduler().Configure(options).ok());
  EXPECT_FALSE(scheduler().enabled());
}

TEST_F(IoSchedulerTest, AnErrorLetsTheNextOneBegin) {
  ASSERT_TRUE(scheduler().Configure(Options()).ok());
  const IoScope scope(IoClass::kFlush);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(device_->Write(disk_->size_bytes(), {bytes_.data(), 4096}).ok());
    EXPECT_TRUE(device_->Write(0, {bytes_.data(), 4096}).ok());
  }
}

// All classes from several threads, with options that change and go away meanwhile: everybody gets
// through, and all is counted. For the race detectors, too.
TEST_F(IoSchedulerTest, ManyThreadsGetThrough) {
  IoSchedulerOptions options = Options();
  options.profile.latency_goal_ns = 50'000;
  ASSERT_TRUE(scheduler().Configure(options).ok());
  constexpr int kTransfers = 200;
  std::vector<std::thread> threads;
  std::array<IoCounter, 2> instances;
  for (size_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const IoScope scope(static_cast<IoClass>(i % kIoClasses), &instances[i / kIoClasses]);
      std::vector<char> bytes(64 << 10);
      for (int n = 0; n < kTransfers; ++n) {
        // Each thread has a part of the disk to itself.
        const uint64_t offset = (i << 20) + (static_cast<uint64_t>(n) % 8) * bytes.size();
        EXPECT_TRUE(
            (n % 2 == 0 ? device_->Write(offset, bytes) : device_->Read(offset, bytes)).ok());
      }
    });
  }
  for (int n = 0; n < 20; ++n) {
    if (n % 5 == 4) {
      scheduler().Disable();
    } else {
      options.classes[2].max_iops = n % 2 == 0 ? 0 : 1000;
      EXPECT_TRUE(scheduler().Configure(options).ok());
    }
    (void)scheduler().Counts();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kIoClasses; ++i) {
    const auto io_class = static_cast<IoClass>(i);
    for (const IoCounter& instance : instances) {
      EXPECT_EQ(instance.Counts(io_class).reads, kTransfers / 2U);
      EXPECT_EQ(instance.Counts(io_class).writes, kTransfers / 2U);
    }
    EXPECT_EQ(CountsOf(io_class).transfers.reads, kTransfers + 0U);
  }
}

TEST_F(IoSchedulerTest, ForegroundReadsAreTimedWhileTheBackgroundWorks) {
  for (int i = 0; i < 160; ++i) ASSERT_TRUE(device_->Read(0, {bytes_.data(), 4096}).ok());
  EXPECT_NE(scheduler().Counts().read_p99_ns, 0U);
}

// Time that the calling thread took, computing for a while and then coming by.
std::chrono::nanoseconds ComputeAndPace(IoScheduler& scheduler) {
  using Clock = std::chrono::steady_clock;
  scheduler.Pace(IoClass::kCompaction);
  const auto computing = Clock::now();
  while (Clock::now() - computing < milliseconds(5)) {
  }
  const auto began = Clock::now();
  scheduler.Pace(IoClass::kCompaction);
  return Clock::now() - began;
}

TEST(IoSchedulerPaceTest, WhoComputesForACompactionLeavesTheProcessorToSlowReads) {
  IoScheduler scheduler(SystemClock());
  IoSchedulerOptions options = Options();
  options.profile.latency_goal_ns = 1;  // missed by each
  ASSERT_TRUE(scheduler.Configure(options).ok());
  const auto share = [&] { return scheduler.Counts().background_share_percent; };
  std::atomic<bool> reading = true;
  std::thread reader([&] {
    while (reading) {
      const IoScheduler::ForegroundRead read(scheduler);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (share() > 30 && std::chrono::steady_clock::now() < deadline) {
    const IoScheduler::Admission admission(scheduler, IoClass::kCompaction, IoKind::kRead, 4096);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_LE(share(), 30);
  // Perhaps the thread had less of the processor than it wanted, so less than twice 5 ms.
  EXPECT_GT(ComputeAndPace(scheduler), milliseconds(2));
  EXPECT_GT(scheduler.Counts().classes[static_cast<size_t>(IoClass::kCompaction)].waited_ns, 0U);
  reading = false;
  reader.join();
}

TEST(IoSchedulerPaceTest, WithoutReadsOrSchedulingNobodyPauses) {
  IoScheduler scheduler(SystemClock());
  ComputeAndPace(scheduler);
  ASSERT_TRUE(scheduler.Configure(Options()).ok());
  ComputeAndPace(scheduler);
  EXPECT_EQ(scheduler.Counts().classes[static_cast<size_t>(IoClass::kCompaction)].waits, 0U);
}

}  // namespace
}  // namespace tifs::block
