#include <atomic>
#include <charconv>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "kv_conformance.h"

namespace tifs::kv {
namespace {

int ToInt(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Result<int> GetInt(Transaction& transaction, std::string_view key) {
  std::optional<Value> value = TRY(transaction.Get(key));
  return value ? ToInt(value->view()) : 0;
}

// Several threads at once, joined at the end.
class Threads {
 public:
  template <typename Body>
  void Start(int count, Body body) {
    for (int i = 0; i < count; ++i) threads_.emplace_back(body, i);
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::vector<std::thread> threads_;
};

// Through a TransactionRunner, over the store with its faults.
template <typename T>
class KvConcurrencyTest : public KvTest<T> {
 protected:
  TransactionRunner runner_{this->store_with_faults(),
                            SystemClock(),
                            {.initial_backoff = std::chrono::microseconds(5),
                             .max_backoff = std::chrono::milliseconds(1)}};
};
TYPED_TEST_SUITE(KvConcurrencyTest, Stores);

TYPED_TEST(KvConcurrencyTest, NoIncrementIsLostOrDoubled) {
  constexpr int kThreads = 4;
  constexpr int kIncrements = 150;
  Threads threads;
  threads.Start(kThreads, [&](int) {
    for (int i = 0; i < kIncrements; ++i) {
      Must(this->runner_.Run([](Transaction& transaction) -> Status {
        const int count = TRY(GetInt(transaction, "counter"));
        return transaction.Put("counter", std::to_string(count + 1));
      }));
    }
  });
  threads.Join();
  EXPECT_EQ(Must(this->runner_.Read([](Transaction& t) { return GetInt(t, "counter"); })),
            kThreads * kIncrements);
}

TYPED_TEST(KvConcurrencyTest, TransfersKeepTheSumInEverySnapshot) {
  constexpr int kAccounts = 5;
  constexpr int kEach = 100;
  auto name = [](uint64_t account) { return "account" + std::to_string(account); };
  for (int i = 0; i < kAccounts; ++i) {
    Must(this->runner_.Run([&](Transaction& t) { return t.Put(name(i), std::to_string(kEach)); }));
  }
  Threads threads;
  threads.Start(3, [&](int seed) {
    Random random(seed);
    for (int i = 0; i < 120; ++i) {
      const uint64_t from = random.Below(kAccounts);
      const uint64_t to = random.Below(kAccounts);
      if (from == to) continue;
      Must(this->runner_.Run([&](Transaction& transaction) -> Status {
        const int has = TRY(GetInt(transaction, name(from)));
        const int gets = TRY(GetInt(transaction, name(to)));
        TRY(transaction.Put(name(from), std::to_string(has - 1)));
        return transaction.Put(name(to), std::to_string(gets + 1));
      }));
    }
  });
  threads.Start(1, [&](int) {
    for (int i = 0; i < 100; ++i) {
      Must(this->runner_.Read([&](Transaction& transaction) -> Status {
        int scanned = 0;
        TRY(transaction.Scan({}, 0, i % 2 ? Direction::kForward : Direction::kBackward,
                             [&](std::string_view, std::string_view value) {
                               scanned += ToInt(value);
                               return true;
                             }));
        int got = 0;
        for (int account = 0; account < kAccounts; ++account) {
          got += TRY(GetInt(transaction, name(account)));
        }
        EXPECT_EQ(scanned, kAccounts * kEach);
        EXPECT_EQ(got, kAccounts * kEach);
        return {};
      }));
    }
  });
  threads.Join();
}

TYPED_TEST(KvConcurrencyTest, BeginAndGetLatestSeeWhatCommittedBefore) {
  constexpr int kCommits = 300;
  std::atomic<int> committed{0};
  Threads threads;
  threads.Start(1, [&](int) {
    for (int i = 1; i <= kCommits; ++i) {
      Must(this->runner_.Run([&](Transaction& t) { return t.Put("n", std::to_string(i)); }));
      committed.store(i);
    }
  });
  threads.Start(2, [&](int thread) {
    for (int before = 0; before < kCommits;) {
      before = committed.load();
      int seen = 0;
      if (thread == 0) {
        seen = Must(this->runner_.Read([](Transaction& t) { return GetInt(t, "n"); }));
      } else {
        Result<std::optional<Value>> latest = this->store().GetLatest("n");
        if (!latest) continue;  // an injected fault
        seen = *latest ? ToInt((*latest)->view()) : 0;
      }
      ASSERT_GE(seen, before);
    }
  });
  threads.Join();
}

TYPED_TEST(KvConcurrencyTest, LocksKeepAnInvariantAcrossKeys) {
  // Of two switches at least one stays on: each thread switches its own off only while the other is
  // on, and on again.
  for (const char* key : {"0", "1"}) {
    Must(this->runner_.Run([&](Transaction& t) { return t.Put(key, "1"); }));
  }
  Threads threads;
  threads.Start(2, [&](int me) {
    const std::string mine = std::to_string(me);
    const std::string other = std::to_string(1 - me);
    for (int i = 0; i < 150; ++i) {
      Must(this->runner_.Run([&](Transaction& transaction) -> Status {
        const bool am_on = TRY(GetInt(transaction, mine)) == 1;
        const bool is_on = TRY(GetInt(transaction, other)) == 1;
        EXPECT_TRUE(am_on || is_on);
        if (!am_on) return transaction.Put(mine, "1");
        if (!is_on) return {};
        TRY(transaction.Lock(other));
        return transaction.Put(mine, "0");
      }));
    }
  });
  threads.Join();
}

TYPED_TEST(KvConcurrencyTest, SyncMayBeCalledByMany) {
  Threads threads;
  threads.Start(4, [&](int thread) {
    for (int i = 0; i < 20; ++i) {
      const std::string key = std::to_string(thread);
      Must(this->runner_.Run([&](Transaction& t) { return t.Put(key, "v"); }));
      Must(this->store().Sync());
    }
  });
  threads.Join();
}

}  // namespace
}  // namespace tifs::kv
