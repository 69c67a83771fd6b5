#include <map>

#include "kv_conformance.h"

namespace tifs::kv {
namespace {

constexpr sim::FaultRates kOften{.unavailable_permille = 100,
                                 .read_io_permille = 100,
                                 .conflict_permille = 100,
                                 .undetermined_happened_permille = 150,
                                 .undetermined_lost_permille = 150,
                                 .undetermined_late_permille = 150,
                                 .determine_unavailable_permille = 300};

class FaultyStoreTest : public ::testing::Test {
 protected:
  // What a transaction that puts `key` answers in the end: whether it happened.
  bool PutOnce(sim::FaultyStore& store, const std::string& key) {
    Result<std::unique_ptr<Transaction>> transaction = store.Begin();
    if (!transaction) return false;
    Must((*transaction)->Put(key, "v"));
    const Status status = (*transaction)->Commit();
    if (status) return true;
    const RetryClass retry = status.error().retry_class();
    if (retry != RetryClass::kUndetermined) {
      EXPECT_TRUE(retry == RetryClass::kConflict || retry == RetryClass::kUnavailable);
      return false;
    }
    for (;;) {
      Result<bool> happened = (*transaction)->DetermineCommit();
      if (!happened) {
        EXPECT_EQ(happened.error().code(), ErrorCode::kUnavailable);
        continue;
      }
      ++(*happened ? undetermined_happened_ : undetermined_lost_);
      return *happened;
    }
  }

  MemKv base_;
  int undetermined_happened_ = 0;
  int undetermined_lost_ = 0;
};

TEST_F(FaultyStoreTest, AnswersAreTrueWhateverStrikes) {
  sim::FaultyStore store(base_, 1, kOften);
  for (int i = 0; i < 2000; ++i) {
    const std::string key = std::to_string(i);
    const bool happened = PutOnce(store, key);
    EXPECT_EQ(Must(base_.GetLatest(key)).has_value(), happened) << i;
  }
  EXPECT_GT(undetermined_happened_, 100);
  EXPECT_GT(undetermined_lost_, 100);
  EXPECT_GT(store.counts().unavailable.value(), 100u);
  EXPECT_GT(store.counts().conflict.value(), 100u);
  EXPECT_GT(store.counts().undetermined.value(), 300u);
}

TEST_F(FaultyStoreTest, TheSameSeedMeetsTheSameFaults) {
  auto history = [&](uint64_t seed) {
    sim::FaultyStore store(base_, seed, kOften);
    std::string outcomes;
    for (int i = 0; i < 300; ++i) outcomes += PutOnce(store, "k") ? '1' : '0';
    return outcomes;
  };
  EXPECT_EQ(history(5), history(5));
  EXPECT_NE(history(5), history(6));
}

TEST_F(FaultyStoreTest, ReadsFailOrAnswerRightly) {
  for (char c = 'a'; c <= 'z'; ++c) {
    auto transaction = Must(base_.Begin());
    Must(transaction->Put(std::string(1, c), "v"));
    Must(transaction->Commit());
  }
  sim::FaultyStore store(base_, 3, kOften);
  std::map<ErrorCode, int> errors;
  int failed_midway = 0;
  for (int i = 0; i < 500; ++i) {
    Result<std::unique_ptr<Transaction>> transaction = store.Begin();
    if (!transaction) continue;
    size_t visited = 0;
    const Status status =
        (*transaction)
            ->Scan({}, 0, Direction::kForward, [&](std::string_view key, std::string_view) {
              EXPECT_EQ(key[0], static_cast<char>('a' + visited));
              ++visited;
              return true;
            });
    if (status) {
      EXPECT_EQ(visited, 26u);
    } else {
      ++errors[status.error().code()];
      failed_midway += visited > 0;
    }
    Result<std::optional<Value>> value = (*transaction)->Get("a");
    if (value) {
      EXPECT_EQ((*value)->view(), "v");
    } else {
      ++errors[value.error().code()];
    }
  }
  EXPECT_GT(errors[ErrorCode::kIo], 20);
  EXPECT_GT(errors[ErrorCode::kUnavailable], 20);
  EXPECT_EQ(errors.size(), 2u);
  EXPECT_GT(failed_midway, 20);
}

TEST_F(FaultyStoreTest, LateCommitConflictsIfOvertaken) {
  sim::FaultyStore store(base_, 1, {.undetermined_late_permille = 1000});
  auto late = Must(store.Begin());
  Must(late->Put("k", "late"));
  EXPECT_EQ(late->Commit().error().code(), ErrorCode::kUndetermined);
  auto overtakes = Must(base_.Begin());
  Must(overtakes->Put("k", "overtakes"));
  Must(overtakes->Commit());
  EXPECT_FALSE(Must(late->DetermineCommit()));
  EXPECT_FALSE(Must(late->DetermineCommit()));
  EXPECT_EQ(Must(base_.GetLatest("k"))->view(), "overtakes");
}

TEST_F(FaultyStoreTest, SwitchedOffForwardsAll) {
  sim::FaultyStore store(base_, 1, {.unavailable_permille = 1000, .read_io_permille = 1000});
  EXPECT_FALSE(store.Begin());
  store.SetEnabled(false);
  auto transaction = Must(store.Begin());
  EXPECT_FALSE(Must(transaction->Get("a")));
  Must(transaction->Put("a", "1"));
  Must(transaction->Commit());
  store.SetEnabled(true);
  EXPECT_EQ(store.GetLatest("a").error().code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace tifs::kv
