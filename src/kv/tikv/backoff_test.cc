#include "kv/tikv/backoff.h"

#include <gtest/gtest.h>

namespace tifs::kv::tikv {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

class BackoffTest : public ::testing::Test {
 protected:
  // How long one wait of the kind takes.
  nanoseconds WaitOf(Backoff& backoff, BackoffKind kind, nanoseconds at_least = {}) {
    const nanoseconds before = clock_.Monotonic();
    EXPECT_TRUE(backoff.Wait(kind, cause_, at_least));
    return clock_.Monotonic() - before;
  }

  ManualClock clock_;
  StopSignal stop_;
  const Error cause_{ErrorCode::kUnavailable, "the cause"};
};

TEST_F(BackoffTest, DoublesEachKindByItselfUpToItsCap) {
  Backoff backoff(clock_, stop_, seconds(1000), 1);
  nanoseconds full = milliseconds(20);
  for (int i = 0; i < 12; ++i) {
    const nanoseconds wait = WaitOf(backoff, BackoffKind::kTransport);
    EXPECT_GE(wait, full / 2);
    EXPECT_LE(wait, full);
    full = std::min<nanoseconds>(full * 2, seconds(1));
  }
  EXPECT_LE(WaitOf(backoff, BackoffKind::kRegion), milliseconds(1));
}

TEST_F(BackoffTest, WaitsAsLongAsTheStoreAsks) {
  Backoff backoff(clock_, stop_, seconds(1000), 1);
  EXPECT_EQ(WaitOf(backoff, BackoffKind::kServerBusy, seconds(7)), seconds(7));
  const nanoseconds before = clock_.Monotonic();
  EXPECT_TRUE(backoff.WaitAtMost(BackoffKind::kTransport, cause_, milliseconds(3)));
  EXPECT_EQ(clock_.Monotonic() - before, milliseconds(3));
}

TEST_F(BackoffTest, GivesUpRatherThanWaitPastTheDeadline) {
  Backoff backoff(clock_, stop_, seconds(5), 1);
  const nanoseconds began = clock_.Monotonic();
  Status status;
  while ((status = backoff.Wait(BackoffKind::kTransport, cause_))) {
  }
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(status.error().detail().find("the cause"), std::string_view::npos);
  EXPECT_LE(clock_.Monotonic() - began, seconds(5));
  EXPECT_GE(clock_.Monotonic() - began, seconds(4));
}

TEST_F(BackoffTest, EndsWhenTheClientCloses) {
  Backoff backoff(clock_, stop_, seconds(5), 1);
  stop_.Stop();
  EXPECT_EQ(backoff.Wait(BackoffKind::kLock, cause_).error().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE(stop_.stopped());
}

}  // namespace
}  // namespace tifs::kv::tikv
