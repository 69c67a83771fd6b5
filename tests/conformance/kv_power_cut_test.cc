#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "kv/rocks/rocks_kv.h"
#include "sim/power_cut_disk.h"
#include "sim/power_cut_fs.h"

namespace tifs::kv {
namespace {

// Of each key the first bytes of its value and the length: the rest is filled up.
using State = std::map<std::string, std::pair<std::string, size_t>>;

std::pair<std::string, size_t> Describe(std::string_view value) {
  const size_t fill = value.find('v');
  if (fill != value.npos && value.find_first_not_of('v', fill) != value.npos) return {"torn", 0};
  return {std::string(value.substr(0, fill)), value.size()};
}

// One history of commits on a store whose disk loses power again and again. The oracle: what is
// there after a cut is the state after some commit, not older than the last one that was synced and
// not newer than the last one that was tried.
class History {
 public:
  explicit History(uint64_t seed) : random_(seed) { states_.push_back({}); }

  sim::PowerCutDisk& disk() { return disk_; }

  // Commits and syncs until the power goes, then brings it back.
  void RunUntilPowerCut() {
    disk_.CutAfter(random_.Below(random_.OneIn(3) ? 600 : 100));
    if (Result<std::unique_ptr<RocksKv>> store = Open()) {
      while (!disk_.IsOff() && CommitOne(**store)) {
        if (random_.OneIn(8) && (*store)->Sync()) synced_ = committed_;
        if (random_.OneIn(100)) break;  // an orderly end
      }
    }
    disk_.CutAfter(0);
    disk_.PowerOn(random_);
  }

  // Which commit the store holds the state after; nothing if it is none, or a wrong one.
  ::testing::AssertionResult Recover() {
    Result<std::unique_ptr<RocksKv>> store = Open();
    if (!store) return ::testing::AssertionFailure() << store.error().ToString();
    State found;
    auto transaction = (*store)->Begin();
    const Status scanned =
        (*transaction)
            ->Scan({}, 0, Direction::kForward, [&](std::string_view key, std::string_view value) {
              found.emplace(key, Describe(value));
              return true;
            });
    transaction->reset();
    if (!scanned) return ::testing::AssertionFailure() << scanned.error().ToString();
    const size_t number = found.contains("number") ? std::stoul(found["number"].first) : 0;
    if (number < synced_) {
      return ::testing::AssertionFailure() << "synced " << synced_ << ", found " << number;
    }
    if (number >= states_.size()) return ::testing::AssertionFailure() << "never was " << number;
    if (found != states_[number]) return ::testing::AssertionFailure() << "a hole in " << number;
    // Goes on from here: the lost commits never were.
    states_.resize(number + 1);
    if (!(*store)->Sync()) return ::testing::AssertionFailure() << "sync";
    committed_ = synced_ = number;
    return ::testing::AssertionSuccess();
  }

 private:
  Result<std::unique_ptr<RocksKv>> Open() {
    RocksOptions options{.path = "/store", .create = true, .memory_bytes = 16 << 20};
    // Whatever is written out or synced, the test does it.
    options.wal = {.flush_interval = std::chrono::hours(1), .sync_interval = std::chrono::hours(1)};
    options.file_system = std::make_shared<sim::PowerCutFs>(disk_);
    options.file_system_is_posix = random_.OneIn(2);
    return RocksKv::Open(options);
  }

  bool CommitOne(RocksKv& store) {
    State state = states_.back();
    const std::string number = std::to_string(states_.size());
    auto transaction = store.Begin();
    auto put = [&](const std::string& key, const std::string& value) {
      EXPECT_TRUE((*transaction)->Put(key, value));
      state[key] = Describe(value);
    };
    put("number", number);
    for (uint64_t n = random_.Below(4); n > 0; --n) {
      const std::string key = "key" + std::to_string(random_.Below(20));
      if (random_.OneIn(4)) {
        EXPECT_TRUE((*transaction)->Delete(key));
        state.erase(key);
      } else {
        put(key, number + std::string(ValueBytes(), 'v'));
      }
    }
    states_.push_back(std::move(state));  // also if it fails: then it may be there or not
    if (!(*transaction)->Commit()) return false;
    committed_ = states_.size() - 1;
    return true;
  }

  // Now and then so large that the log is switched, and written without waiting for a sync.
  size_t ValueBytes() {
    if (random_.OneIn(25)) return 2'500'000;
    return random_.Below(random_.OneIn(4) ? 100'000 : 300);
  }

  Random random_;
  sim::PowerCutDisk disk_;
  std::vector<State> states_;  // after each commit
  size_t committed_ = 0;
  size_t synced_ = 0;
};

class KvPowerCutTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Lost power is in every one of them.
    ASSERT_TRUE(OpenLog({.sink = LogOptions::Sink::kFile, .file = "/dev/null"}));
  }
};

TEST_F(KvPowerCutTest, WhatRemainsIsAPrefixWithAllThatWasSynced) {
  const char* asked = std::getenv("TIFS_SEED");
  const uint64_t first = asked ? std::stoull(asked) : 1;
  const uint64_t count = asked ? 1 : 6;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    std::printf("TIFS_SEED=%llu\n", static_cast<unsigned long long>(seed));
    History history(seed);
    for (int cut = 0; cut < 12; ++cut) {
      history.RunUntilPowerCut();
      ASSERT_TRUE(history.Recover()) << "seed " << seed << " cut " << cut;
    }
  }
}

// The test must be able to fail: a disk that lies about the syncs of logs is found out.
TEST_F(KvPowerCutTest, LyingDiskIsFoundOut) {
  int found_out = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    History history(seed);
    history.disk().LieAboutSync([](sim::SyncKind kind, std::string_view path) {
      return kind == sim::SyncKind::kFile && path.ends_with(".log");
    });
    for (int cut = 0; cut < 12; ++cut) {
      history.RunUntilPowerCut();
      if (!history.Recover()) {
        ++found_out;
        break;
      }
    }
  }
  EXPECT_GT(found_out, 0);
}

}  // namespace
}  // namespace tifs::kv
