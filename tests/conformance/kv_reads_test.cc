#include <algorithm>
#include <map>

#include "base/random.h"
#include "kv_conformance.h"

namespace tifs::kv {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

template <typename T>
class KvReadsTest : public KvTest<T> {};
TYPED_TEST_SUITE(KvReadsTest, Stores);

TYPED_TEST(KvReadsTest, AbsentKeyReadsAsNothing) {
  EXPECT_EQ(this->Get("a"), std::nullopt);
  EXPECT_FALSE(Must(this->store().GetLatest("a")).has_value());
}

TYPED_TEST(KvReadsTest, KeysAndValuesAreAnyBytes) {
  const std::string key("\x00\xff\x7f\n", 4);
  const std::string value("\x00\x01\xfe\x00", 4);
  this->Put(key, value);
  this->Put(std::string_view("\x00", 1), "");
  EXPECT_EQ(this->Get(key), value);
  EXPECT_EQ(this->Get(std::string_view("\x00", 1)), "");
  EXPECT_EQ(this->Get(std::string_view("\x00\x00", 2)), std::nullopt);
}

TYPED_TEST(KvReadsTest, KeysSortAsUnsignedBytes) {
  for (std::string_view key : {"\xff", "a", "\x7f", "\x80", "ab", "\x01"}) this->Put(key, "v");
  auto transaction = this->Begin();
  EXPECT_THAT(this->Scan(*transaction, {}),
              ElementsAre(Pair("\x01", "v"), Pair("a", "v"), Pair("ab", "v"), Pair("\x7f", "v"),
                          Pair("\x80", "v"), Pair("\xff", "v")));
}

TYPED_TEST(KvReadsTest, SnapshotHoldsWhatCommittedBeforeBegin) {
  this->Put("a", "1");
  auto transaction = this->Begin();
  EXPECT_EQ(this->Get(*transaction, "a"), "1");
}

TYPED_TEST(KvReadsTest, SnapshotStandsStill) {
  this->Put("a", "1");
  this->Put("b", "1");
  this->Put("c", "1");
  auto transaction = this->Begin();
  EXPECT_EQ(this->Get(*transaction, "a"), "1");
  this->Put("a", "2");
  this->Put("b", "2");
  this->Delete("c");
  this->Put("d", "2");
  EXPECT_EQ(this->Get(*transaction, "a"), "1");
  EXPECT_EQ(this->Get(*transaction, "b"), "1");
  const std::vector<std::string_view> keys = {"b", "c", "d"};
  auto batch = Must(transaction->BatchGet(keys));
  EXPECT_EQ(batch[0]->view(), "1");
  EXPECT_EQ(batch[1]->view(), "1");
  EXPECT_FALSE(batch[2]);
  EXPECT_THAT(this->Scan(*transaction, {}),
              ElementsAre(Pair("a", "1"), Pair("b", "1"), Pair("c", "1")));
  EXPECT_THAT(this->Scan(*transaction, {}, 0, Direction::kBackward),
              ElementsAre(Pair("c", "1"), Pair("b", "1"), Pair("a", "1")));
  EXPECT_EQ(this->Get("b"), "2");
}

TYPED_TEST(KvReadsTest, ScanDoesNotSeeCommitsThatComeWhileItRuns) {
  for (char c = 'a'; c <= 'z'; ++c) this->Put(std::string(1, c), "1");
  auto transaction = this->Begin();
  Pairs pairs;
  Must(transaction->Scan({}, 0, Direction::kForward, [&](std::string_view key, std::string_view v) {
    pairs.emplace_back(key, v);
    if (key == "b") {
      this->Delete("c");
      this->Put("d", "2");
      this->Put("dd", "2");
    }
    return true;
  }));
  ASSERT_EQ(pairs.size(), 26u);
  for (const auto& [key, value] : pairs) EXPECT_EQ(value, "1") << key;
}

TYPED_TEST(KvReadsTest, TransactionReadsItsOwnWrites) {
  this->Put("kept", "old");
  this->Put("overwritten", "old");
  this->Put("deleted", "old");
  auto transaction = this->Begin();
  Must(transaction->Put("overwritten", "new"));
  Must(transaction->Delete("deleted"));
  Must(transaction->Put("added", "new"));
  Must(transaction->Put("added and deleted", "new"));
  Must(transaction->Delete("added and deleted"));
  EXPECT_EQ(this->Get(*transaction, "kept"), "old");
  EXPECT_EQ(this->Get(*transaction, "overwritten"), "new");
  EXPECT_EQ(this->Get(*transaction, "deleted"), std::nullopt);
  EXPECT_EQ(this->Get(*transaction, "added"), "new");
  EXPECT_EQ(this->Get(*transaction, "added and deleted"), std::nullopt);
  Must(transaction->Put("deleted", "back"));
  EXPECT_EQ(this->Get(*transaction, "deleted"), "back");
  Must(transaction->Put("added", "a longer value than the one before it"));
  EXPECT_EQ(this->Get(*transaction, "added"), "a longer value than the one before it");
  Must(transaction->Put("added", ""));
  EXPECT_EQ(this->Get(*transaction, "added"), "");

  EXPECT_EQ(this->Get("added"), std::nullopt) << "nobody else sees them";
  EXPECT_FALSE(Must(this->store().GetLatest("added")));
  Must(transaction->Commit());
  EXPECT_EQ(this->Get("overwritten"), "new");
  EXPECT_EQ(this->Get("added"), "");
  EXPECT_EQ(this->Get("deleted"), "back");
  EXPECT_EQ(this->Get("added and deleted"), std::nullopt);
}

TYPED_TEST(KvReadsTest, LockHidesNothingAndAddsNothing) {
  this->Put("a", "1");
  auto transaction = this->Begin();
  Must(transaction->Lock("a"));
  Must(transaction->Lock("b"));
  EXPECT_EQ(this->Get(*transaction, "a"), "1");
  EXPECT_EQ(this->Get(*transaction, "b"), std::nullopt);
  EXPECT_THAT(this->Scan(*transaction, {}), ElementsAre(Pair("a", "1")));
  EXPECT_THAT(this->Scan(*transaction, {}, 0, Direction::kBackward), ElementsAre(Pair("a", "1")));
  Must(transaction->Put("c", "1"));
  Must(transaction->Commit());
  EXPECT_EQ(this->Get("a"), "1");
  EXPECT_EQ(this->Get("b"), std::nullopt);
}

TYPED_TEST(KvReadsTest, AbandonedTransactionLeavesNothing) {
  {
    auto transaction = this->Begin();
    Must(transaction->Put("a", "1"));
  }
  EXPECT_EQ(this->Get("a"), std::nullopt);
}

TYPED_TEST(KvReadsTest, BatchGetAnswersInTheOrderOfTheKeys) {
  this->Put("a", "1");
  this->Put("b", "2");
  this->Put("c", std::string(100'000, 'c'));
  auto transaction = this->Begin();
  Must(transaction->Put("b", "own"));
  Must(transaction->Delete("x"));
  const std::vector<std::string_view> keys = {"c", "x", "b", "a", "nothing", "a"};
  auto values = Must(transaction->BatchGet(keys));
  ASSERT_EQ(values.size(), 6u);
  EXPECT_EQ(values[0]->view(), std::string(100'000, 'c'));
  EXPECT_FALSE(values[1]);
  EXPECT_EQ(values[2]->view(), "own");
  EXPECT_EQ(values[3]->view(), "1");
  EXPECT_FALSE(values[4]);
  EXPECT_EQ(values[5]->view(), "1");
  EXPECT_THAT(Must(transaction->BatchGet({})), IsEmpty());
}

TYPED_TEST(KvReadsTest, ScanKeepsItsBoundsAndItsLimit) {
  for (std::string_view key : {"a", "b", "c", "d", "e"}) this->Put(key, "v");
  auto transaction = this->Begin();
  auto keys = [&](KeyRange range, size_t limit, Direction direction) {
    std::string joined;
    for (const auto& [key, value] : this->Scan(*transaction, range, limit, direction)) {
      joined += key;
    }
    return joined;
  };
  constexpr auto kForward = Direction::kForward;
  constexpr auto kBackward = Direction::kBackward;
  EXPECT_EQ(keys({"b", "d"}, 0, kForward), "bc");
  EXPECT_EQ(keys({"b", "d"}, 0, kBackward), "cb");
  EXPECT_EQ(keys({"b", "d\0"}, 0, kForward), "bc");
  EXPECT_EQ(keys({"b", std::string_view("d\0", 2)}, 0, kBackward), "dcb");
  EXPECT_EQ(keys({"aa", ""}, 0, kForward), "bcde");
  EXPECT_EQ(keys({"", ""}, 0, kBackward), "edcba");
  EXPECT_EQ(keys({"", "c"}, 0, kBackward), "ba");
  EXPECT_EQ(keys({"", ""}, 2, kForward), "ab");
  EXPECT_EQ(keys({"", ""}, 2, kBackward), "ed");
  EXPECT_EQ(keys({"c", "c"}, 0, kForward), "");
  EXPECT_EQ(keys({"d", "b"}, 0, kForward), "");
  EXPECT_EQ(keys({"d", "b"}, 0, kBackward), "");
  EXPECT_EQ(keys({"f", ""}, 0, kForward), "");
  EXPECT_EQ(keys({"f", ""}, 0, kBackward), "");
  EXPECT_EQ(keys({"", "a"}, 0, kBackward), "");
}

TYPED_TEST(KvReadsTest, ScanEndsWhenTheVisitorSaysSo) {
  for (std::string_view key : {"a", "b", "c"}) this->Put(key, "v");
  auto transaction = this->Begin();
  int visited = 0;
  Must(transaction->Scan({}, 0, Direction::kBackward,
                         [&](std::string_view, std::string_view) { return ++visited < 2; }));
  EXPECT_EQ(visited, 2);
}

TYPED_TEST(KvReadsTest, VisitorMayUseTheTransaction) {
  for (char c = 'a'; c <= 'z'; ++c) this->Put(std::string(1, c), std::string(1, c));
  for (Direction direction : {Direction::kForward, Direction::kBackward}) {
    auto transaction = this->Begin();
    Must(transaction->Put("m", "own value of m"));
    Pairs seen;
    Must(transaction->Scan({"c", "x"}, 0, direction, [&](std::string_view key, std::string_view v) {
      const std::string before(v);
      Must(transaction->Put(key, "overwritten"));
      Must(transaction->Delete(std::string(key) + "x"));
      EXPECT_EQ(this->Get(*transaction, key), "overwritten");
      EXPECT_EQ(this->Scan(*transaction, {"a", "c"}).size(), 2u);
      EXPECT_EQ(v, before) << "the view must stay valid";
      seen.emplace_back(key, v);
      return true;
    }));
    EXPECT_EQ(seen.size(), size_t{'x' - 'c'});
    for (const auto& [key, value] : seen) {
      EXPECT_EQ(value, key == "m" ? "own value of m" : key);
    }
    EXPECT_THAT(this->Scan(*transaction, {"b", "d"}),
                ElementsAre(Pair("b", "b"), Pair("c", "overwritten")));
  }
}

// Own writes of every kind over committed records of every kind, against a sorted map.
TYPED_TEST(KvReadsTest, RandomScansMatchAModel) {
  Random random(7);
  auto random_key = [&] {
    std::string key;
    for (uint64_t n = random.Below(4); n > 0; --n) key += static_cast<char>('a' + random.Below(3));
    return "k" + key;
  };
  std::map<std::string, std::string> committed;
  for (int round = 0; round < 60; ++round) {
    auto transaction = this->Begin();
    std::map<std::string, std::string> own = committed;
    for (int step = 0; step < 12; ++step) {
      const std::string key = random_key();
      if (random.OneIn(3)) {
        Must(transaction->Delete(key));
        own.erase(key);
      } else if (random.OneIn(6)) {
        Must(transaction->Lock(key));
      } else {
        const std::string value = std::to_string(random.Below(1000));
        Must(transaction->Put(key, value));
        own[key] = value;
      }
    }
    for (int scan = 0; scan < 20; ++scan) {
      const std::string begin = random.OneIn(5) ? "" : random_key();
      const std::string end = random.OneIn(5) ? "" : random_key();
      const size_t limit = random.OneIn(2) ? 0 : 1 + random.Below(6);
      const auto direction = random.OneIn(2) ? Direction::kForward : Direction::kBackward;
      Pairs expected;
      for (const auto& [key, value] : own) {
        if (key >= begin && (end.empty() || key < end)) expected.emplace_back(key, value);
      }
      if (direction == Direction::kBackward) std::ranges::reverse(expected);
      if (limit > 0 && expected.size() > limit) expected.resize(limit);
      EXPECT_EQ(this->Scan(*transaction, {begin, end}, limit, direction), expected)
          << "round " << round << " [" << begin << ", " << end << ") limit " << limit;
    }
    if (random.OneIn(3)) continue;
    Must(transaction->Commit());
    committed = own;
  }
}

TYPED_TEST(KvReadsTest, GetLatestSeesTheNewestCommit) {
  this->Put("a", "1");
  auto older = this->Begin();
  EXPECT_EQ(this->Get(*older, "a"), "1");
  this->Put("a", "2");
  EXPECT_EQ(Must(this->store().GetLatest("a"))->view(), "2");
  EXPECT_EQ(this->Get(*older, "a"), "1");
  this->Delete("a");
  EXPECT_FALSE(Must(this->store().GetLatest("a")));
}

TYPED_TEST(KvReadsTest, ValuesOutliveTheirTransactionAndTheirVersion) {
  const std::string small(50, 's');
  const std::string large(200'000, 'l');
  this->Put("small", small);
  this->Put("large", large);
  std::vector<Value> values;
  {
    auto transaction = this->Begin();
    values.push_back(*Must(transaction->Get("small")));
    values.push_back(*Must(transaction->Get("large")));
    const std::vector<std::string_view> keys = {"small", "large"};
    for (auto& value : Must(transaction->BatchGet(keys))) values.push_back(*std::move(value));
    Must(transaction->Put("small", "own"));
    values.push_back(*Must(transaction->Get("small")));
    Must(transaction->Put("small", "xyz"));
  }
  values.push_back(*Must(this->store().GetLatest("small")));
  values.push_back(*Must(this->store().GetLatest("large")));
  this->Delete("small");
  for (int i = 0; i < 50; ++i) this->Put("large", std::string(300'000, static_cast<char>('a' + i)));
  EXPECT_EQ(values[0].view(), small);
  EXPECT_EQ(values[1].view(), large);
  EXPECT_EQ(values[2].view(), small);
  EXPECT_EQ(values[3].view(), large);
  EXPECT_EQ(values[4].view(), "own");
  EXPECT_EQ(values[5].view(), small);
  EXPECT_EQ(values[6].view(), large);
  Value moved = std::move(values[1]);
  EXPECT_EQ(moved.view(), large);
  EXPECT_EQ(values[1].view(), "");  // NOLINT: what a move leaves is specified
}

TYPED_TEST(KvReadsTest, BytesGivenAreCopied) {
  auto transaction = this->Begin();
  {
    std::string key = "key";
    std::string value = "value";
    Must(transaction->Put(key, value));
    key = "xxx";
    value = "yyyyy";
  }
  Must(transaction->Commit());
  EXPECT_EQ(this->Get("key"), "value");
}

TYPED_TEST(KvReadsTest, BeginTimestampRisesWithCommits) {
  auto first = this->Begin();
  const Timestamp first_began = first->begin_timestamp();
  this->Put("a", "1");
  auto second = this->Begin();
  EXPECT_GT(second->begin_timestamp(), first_began);
  EXPECT_EQ(first->begin_timestamp(), first_began);
  EXPECT_GE(this->Begin()->begin_timestamp(), second->begin_timestamp());
}

TYPED_TEST(KvReadsTest, LimitsAreInclusive) {
  const Limits limits = this->store().limits();
  const std::string longest_key(limits.max_key_bytes, 'k');
  const std::string longest_value(limits.max_value_bytes, 'v');
  this->Put(longest_key, longest_value);
  EXPECT_EQ(this->Get(longest_key), longest_value);

  auto transaction = this->Begin();
  EXPECT_EQ(transaction->Put(longest_key + "k", "").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(transaction->Delete(longest_key + "k").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(transaction->Lock(longest_key + "k").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(transaction->Put("k", longest_value + "v").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(this->Get(*transaction, "k"), std::nullopt);
  Must(transaction->Lock(longest_key));
  Must(transaction->Put("ok", ""));
  Must(transaction->Commit());
  EXPECT_EQ(this->Get("ok"), "");
}

TYPED_TEST(KvReadsTest, TransactionBeyondItsLimitIsLeftAsItWas) {
  const Limits limits = this->store().limits();
  auto transaction = this->Begin();
  Must(transaction->Put("first", "1"));
  const std::string value(limits.max_value_bytes, 'v');
  int puts = 0;
  for (;; ++puts) {
    ASSERT_LT(puts, 1000);
    const Status status = transaction->Put("k" + std::to_string(puts), value);
    if (status) continue;
    EXPECT_EQ(status.error().code(), ErrorCode::kTooLarge);
    break;
  }
  const std::string refused = "k" + std::to_string(puts);
  EXPECT_EQ(static_cast<size_t>(puts), (limits.max_transaction_bytes - 6) / (value.size() + 2));
  EXPECT_EQ(this->Get(*transaction, refused), std::nullopt);
  Must(transaction->Put("k0", "smaller"));
  Must(transaction->Put(refused, value));
  Must(transaction->Commit());
  EXPECT_EQ(this->Get("first"), "1");
  EXPECT_EQ(this->Get("k0"), "smaller");
  EXPECT_EQ(this->Get(refused), value);
}

}  // namespace
}  // namespace tifs::kv
