#include "kv/rocks/wal_syncer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tifs::kv {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A log that counts, and that can be made to hold a sync up or to fail.
class FakeLog {
 public:
  WalSyncer::Writer writer() {
    return [this](bool durable) { return Write(durable); };
  }

  // Syncs from now on wait until they are let go.
  void Hold() {
    MutexLock lock(mutex_);
    held_ = true;
  }
  void LetGo() {
    MutexLock lock(mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  void Fail(bool fail) {
    MutexLock lock(mutex_);
    fails_ = fail;
  }
  void AwaitSyncsBegun(int count) {
    MutexLock lock(mutex_);
    while (begun_ < count) changed_.Wait(mutex_);
  }
  void AwaitFlushes(int count) {
    MutexLock lock(mutex_);
    while (flushes_ < count) changed_.Wait(mutex_);
  }
  int syncs() {
    MutexLock lock(mutex_);
    return begun_;
  }

 private:
  Status Write(bool durable) {
    MutexLock lock(mutex_);
    changed_.NotifyAll();
    if (!durable) {
      ++flushes_;
      return {};
    }
    ++begun_;
    while (held_) changed_.Wait(mutex_);
    if (fails_) return Error(ErrorCode::kIo, "fake");
    return {};
  }

  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  bool fails_ GUARDED_BY(mutex_) = false;
  int begun_ GUARDED_BY(mutex_) = 0;
  int flushes_ GUARDED_BY(mutex_) = 0;
};

class CountingClock : public ManualClock {
 public:
  bool WaitFor(CondVar& condition, Mutex& mutex, std::chrono::nanoseconds timeout) override {
    ++waits;
    return ManualClock::WaitFor(condition, mutex, timeout);
  }
  std::atomic<int> waits{0};
};

// The thread does nothing in the tests of Sync.
constexpr WalSyncOptions kNever{.flush_interval = hours(1), .sync_interval = hours(1)};

TEST(WalSyncerTest, SyncsOnlyWhatIsNotDurableYet) {
  FakeLog log;
  WalSyncer syncer(SystemClock(), kNever, log.writer());
  EXPECT_TRUE(syncer.Sync());
  EXPECT_EQ(log.syncs(), 0);
  syncer.NoteCommit(1);
  EXPECT_TRUE(syncer.Sync());
  EXPECT_TRUE(syncer.Sync());
  EXPECT_EQ(log.syncs(), 1);
  syncer.NoteCommit(2);
  EXPECT_TRUE(syncer.Sync());
  EXPECT_EQ(log.syncs(), 2);
}

TEST(WalSyncerTest, AllWhoComeDuringASyncShareTheNext) {
  constexpr int kThreads = 8;
  FakeLog log;
  WalSyncer syncer(SystemClock(), kNever, log.writer());
  log.Hold();
  syncer.NoteCommit(1);
  std::thread leader([&] { EXPECT_TRUE(syncer.Sync()); });
  log.AwaitSyncsBegun(1);
  syncer.NoteCommit(2);
  std::vector<std::thread> others;
  for (int i = 0; i < kThreads; ++i) {
    others.emplace_back([&] { EXPECT_TRUE(syncer.Sync()); });
  }
  log.LetGo();
  leader.join();
  for (std::thread& thread : others) thread.join();
  EXPECT_EQ(log.syncs(), 2) << "the running sync may not cover commit 2; one more covers all";
}

TEST(WalSyncerTest, NobodyHearsOfSuccessWhenTheSyncFailed) {
  constexpr int kThreads = 4;
  FakeLog log;
  WalSyncer syncer(SystemClock(), kNever, log.writer());
  log.Hold();
  log.Fail(true);
  syncer.NoteCommit(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const Status status = syncer.Sync();
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().code(), ErrorCode::kIo);
    });
  }
  log.AwaitSyncsBegun(1);
  log.LetGo();
  for (std::thread& thread : threads) thread.join();
  log.Fail(false);
  EXPECT_TRUE(syncer.Sync());
  EXPECT_EQ(log.syncs(), kThreads + 1);
}

TEST(WalSyncerTest, ThreadWritesOutAndSyncsWithinTheIntervalsAndThenSleeps) {
  FakeLog log;
  CountingClock clock;
  const auto start = clock.Monotonic();
  {
    WalSyncer syncer(clock, {.flush_interval = milliseconds(100), .sync_interval = seconds(5)},
                     log.writer());
    syncer.NoteCommit(1);
    log.AwaitFlushes(1);
    log.AwaitSyncsBegun(1);
  }
  EXPECT_GE(clock.Monotonic() - start, seconds(5));
  EXPECT_LE(clock.Monotonic() - start, seconds(6));
  // On this clock, whose waits are over at once, a thread that polled would have waited without
  // end.
  EXPECT_LE(clock.waits, 51);
  EXPECT_EQ(log.syncs(), 1);
}

TEST(WalSyncerTest, ThreadWakesForEachNewCommit) {
  FakeLog log;
  ManualClock clock;
  WalSyncer syncer(clock, {}, log.writer());
  for (int i = 1; i <= 200; ++i) {
    syncer.NoteCommit(i);
    log.AwaitFlushes(i);  // never returns if a wake-up is lost
    log.AwaitSyncsBegun(i);
  }
}

TEST(WalSyncerTest, ThreadGivesUpUntilTheNextCommitAfterAFailure) {
  FakeLog log;
  CountingClock clock;
  {
    WalSyncer syncer(clock, {.flush_interval = milliseconds(100), .sync_interval = seconds(5)},
                     log.writer());
    log.Fail(true);
    syncer.NoteCommit(1);
    log.AwaitSyncsBegun(1);
    log.Fail(false);
    EXPECT_TRUE(syncer.Sync());
    EXPECT_EQ(log.syncs(), 2);
  }
  EXPECT_LE(clock.waits, 52);
}

}  // namespace
}  // namespace tifs::kv
