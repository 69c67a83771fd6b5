#include "kv/run_transaction.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "kv/mem_kv.h"

namespace tifs::kv {
namespace {

// What the next commits, and the questions about them, answer; success where nothing is said.
struct Script {
  std::deque<ErrorCode> begins;
  std::deque<ErrorCode> commits;
  std::deque<Result<bool>> determined;
};

Status Next(std::deque<ErrorCode>& answers) {
  if (answers.empty()) return {};
  const ErrorCode code = answers.front();
  answers.pop_front();
  return Error(code, "scripted");
}

class ScriptedTransaction : public ForwardingTransaction {
 public:
  ScriptedTransaction(std::unique_ptr<Transaction> base, Script& script)
      : ForwardingTransaction(std::move(base)), script_(script) {}

  Status Commit() override {
    TRY(Next(script_.commits));
    return base().Commit();
  }
  Result<bool> DetermineCommit() override {
    Result<bool> answer = std::move(script_.determined.front());
    script_.determined.pop_front();
    if (answer && *answer) {
      EXPECT_TRUE(base().Commit());
    }
    return answer;
  }

 private:
  Script& script_;
};

class ScriptedStore : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<Transaction>> Begin() override {
    TRY(Next(script.begins));
    return std::make_unique<ScriptedTransaction>(TRY(base().Begin()), script);
  }

  Script script;
};

class RunTransactionTest : public ::testing::Test {
 protected:
  // Appends a letter to a value: what ran twice shows.
  Result<int> Append(TransactionRunner& runner) {
    return runner.Run([&](Transaction& transaction) -> Result<int> {
      ++bodies_;
      const std::optional<Value> old = TRY(transaction.Get("k"));
      TRY(transaction.Put("k", std::string(old ? old->view() : "") + "x"));
      return bodies_;
    });
  }
  std::string Latest() {
    const auto value = *base_.GetLatest("k");
    return value ? std::string(value->view()) : "";
  }

  ManualClock clock_;
  MemKv base_;
  ScriptedStore store_{base_};
  Script& script_ = store_.script;
  TransactionRunner runner_{store_, clock_};
  int bodies_ = 0;
};

TEST_F(RunTransactionTest, ReturnsWhatTheBodyReturned) {
  EXPECT_EQ(*Append(runner_), 1);
  EXPECT_EQ(Latest(), "x");
  EXPECT_EQ(runner_.metrics().started.value(), 1u);
  EXPECT_EQ(runner_.metrics().committed.value(), 1u);
}

TEST_F(RunTransactionTest, RunsAgainAfterConflictsAndWhileUnavailable) {
  script_.begins = {ErrorCode::kUnavailable};
  script_.commits = {ErrorCode::kConflict, ErrorCode::kUnavailable, ErrorCode::kConflict};
  EXPECT_EQ(*Append(runner_), 4);
  EXPECT_EQ(Latest(), "x");
  EXPECT_EQ(runner_.metrics().conflicts.value(), 2u);
  EXPECT_EQ(runner_.metrics().unavailable.value(), 2u);
  EXPECT_EQ(runner_.metrics().committed.value(), 1u);
}

TEST_F(RunTransactionTest, WaitsLongerAndLongerBetweenAttempts) {
  auto waited = [&](size_t attempts) {
    const auto start = clock_.Monotonic();
    script_.commits.assign(attempts, ErrorCode::kConflict);
    EXPECT_TRUE(Append(runner_));
    return clock_.Monotonic() - start;
  };
  EXPECT_EQ(waited(0).count(), 0);
  EXPECT_LE(waited(1), RetryOptions().initial_backoff);
  const auto six = waited(6);
  EXPECT_GE(six, 31 * RetryOptions().initial_backoff);
  EXPECT_LE(six, 63 * RetryOptions().initial_backoff);
  // The longest wait is capped.
  EXPECT_LE(waited(40), 40 * RetryOptions().max_backoff);
}

TEST_F(RunTransactionTest, ReadsTheNewStateWhenItRunsAgain) {
  bool overtaken = false;
  EXPECT_TRUE(runner_.Run([&](Transaction& transaction) -> Status {
    const std::optional<Value> old = TRY(transaction.Get("k"));
    if (!std::exchange(overtaken, true)) {
      EXPECT_TRUE(Append(runner_));
    }
    return transaction.Put("k", std::string(old ? old->view() : "") + "y");
  }));
  EXPECT_EQ(Latest(), "xy");
}

TEST_F(RunTransactionTest, UndeterminedThatHappenedIsSuccessAndDoesNotRunAgain) {
  script_.commits = {ErrorCode::kUndetermined};
  script_.determined.emplace_back(Error(ErrorCode::kUnavailable, "scripted"));
  script_.determined.emplace_back(true);
  EXPECT_EQ(*Append(runner_), 1);
  EXPECT_EQ(Latest(), "x");
  EXPECT_EQ(runner_.metrics().undetermined.value(), 1u);
  EXPECT_EQ(runner_.metrics().committed.value(), 1u);
}

TEST_F(RunTransactionTest, UndeterminedThatDidNotHappenRunsAgain) {
  script_.commits = {ErrorCode::kUndetermined};
  script_.determined.emplace_back(false);
  EXPECT_EQ(*Append(runner_), 2);
  EXPECT_EQ(Latest(), "x");
}

TEST_F(RunTransactionTest, UndeterminedThatCannotBeAskedIsAnError) {
  script_.commits = {ErrorCode::kUndetermined};
  script_.determined.emplace_back(Error(ErrorCode::kCorrupt, "scripted"));
  EXPECT_EQ(Append(runner_).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(bodies_, 1);
}

TEST_F(RunTransactionTest, FinalErrorsAreReturnedAtOnce) {
  script_.commits = {ErrorCode::kNoSpace};
  EXPECT_EQ(Append(runner_).error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(bodies_, 1);
  const Status body = runner_.Run([&](Transaction& transaction) -> Status {
    TRY(transaction.Put("k", "body"));
    return Error(ErrorCode::kExists, "body");
  });
  EXPECT_EQ(body.error().code(), ErrorCode::kExists);
  EXPECT_EQ(Latest(), "") << "an error of the body abandons what it put";
}

TEST_F(RunTransactionTest, GivesUpAtTheDeadline) {
  TransactionRunner runner(store_, clock_, {.deadline = std::chrono::milliseconds(50)});
  script_.commits.assign(1'000'000, ErrorCode::kConflict);
  const auto start = clock_.Monotonic();
  EXPECT_EQ(Append(runner).error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_LE(clock_.Monotonic() - start, std::chrono::milliseconds(50));
  EXPECT_GT(bodies_, 5);
}

TEST_F(RunTransactionTest, ReadCommitsNothing) {
  script_.begins = {ErrorCode::kUnavailable};
  script_.commits = {ErrorCode::kNoSpace};
  EXPECT_EQ(*runner_.Read([&](Transaction& transaction) -> Result<int> {
    TRY(transaction.Put("k", "x"));
    return 7;
  }),
            7);
  EXPECT_EQ(Latest(), "");
}

}  // namespace
}  // namespace tifs::kv
