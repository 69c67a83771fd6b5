// Sessions that die, and what they leave: nothing of theirs happens after others have gone on.
#include <functional>
#include <vector>

#include "fs/schema.h"
#include "fs/session_fence.h"
#include "tests/tikv/shared_fixture.h"

namespace tifs::tikv_store {
namespace {

class SharedSessionsTest : public SharedTest {
 protected:
  // Calls `action` when the `nth` request of the method from now on is about to be looked at.
  void AtNth(const std::string& method, int nth, std::function<void()> action) {
    cluster_.Before(method, [this, method, nth, action = std::move(action)]() mutable {
      if (nth == 1) {
        action();
      } else {
        AtNth(method, nth - 1, std::move(action));
      }
    });
  }
  // What a mount sees of the root directory and of one file.
  struct Sight {
    std::map<std::string, uint64_t> names;
    std::string bytes;
    bool operator==(const Sight&) const = default;
  };
  static Sight Look(SharedMount& mount, InodeNumber inode) {
    return {List(mount), Must(Read(mount, inode))};
  }
  static constexpr CommitWay kWays[] = {CommitWay::kOnePhase, CommitWay::kAsync,
                                        CommitWay::kTwoPhases};
};

TEST_F(SharedSessionsTest, AreListedWhileTheyAreThere) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const auto sessions = Must(fs::ListSessions(*outside_, clock_));
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[0].record.host, "host");
  EXPECT_EQ(sessions[0].record.state, fs::SessionState::kAlive);
  EXPECT_NE(sessions[0].record.id, sessions[1].record.id);
  EXPECT_EQ(Must(a->Info()).session, sessions[0].record.id.value);
  a.fs.reset();
  EXPECT_EQ(SessionCount(), 1u);
  b.fs.reset();
  EXPECT_EQ(SessionCount(), 0u);
  EXPECT_EQ(Check(), "");
}

// The heart of it: whatever an operation was at when its process stopped, once the others have
// ended its session it changes nothing, and what it is told is the truth.
TEST_F(SharedSessionsTest, AFencedSessionCommitsNothing) {
  Format();
  SharedMount b = NewMount(CommitWay::kTwoPhases);
  int fired = 0;
  int refused = 0;
  int number = 0;
  for (const bool split : {false, true}) {
    if (split) {
      for (char scope = 1; scope < 10; ++scope) {
        cluster_.Split(std::string("F\0\0\0\x01", 5) + scope);
      }
    }
    for (const CommitWay way : kWays) {
      for (const char* method : {"KvPrewrite", "Tso", "KvCommit", "KvGet"}) {
        for (int nth = 1; nth <= 4; ++nth) {
          SCOPED_TRACE(std::string(method) + " " + std::to_string(nth) + " way " +
                       std::to_string(static_cast<int>(way)) + (split ? " split" : ""));
          SharedMount a = NewMount(way);
          const std::string name = "f" + std::to_string(++number);
          const InodeNumber inode = Create(a, name, "old");
          Must(b->Beat());
          std::optional<Sight> seen;
          AtNth(method, nth, [&] {
            ++fired;
            LetOthersDie(b);
            EXPECT_EQ(SessionCount(), 1u);
            seen = Look(b, inode);
          });
          // Two keys of two scopes each: a name and an inode.
          const Status renamed =
              a->Rename(Root(), fs::kRootInode, name, fs::kRootInode, name + " moved", 0);
          a.store->DrainCleanup();
          cluster_.Before(method, [] {});
          if (!seen) continue;  // it takes fewer
          EXPECT_EQ(Look(b, inode), *seen);
          EXPECT_EQ(seen->names.contains(name + " moved"), renamed.ok());
          EXPECT_NE(seen->names.contains(name + " moved"), seen->names.contains(name));
          if (!renamed) {
            ++refused;
            EXPECT_EQ(CodeOf(renamed), ErrorCode::kStale) << renamed.error().ToString();
          }
          // It finds out, and goes on as another.
          EXPECT_EQ(CodeOf(a->Write(Root(), inode, {}, 0, "new", {})), ErrorCode::kStale);
          EXPECT_EQ(Must(Read(b, inode)), "old");
          Must(a->Beat());
          Must(a->Write(Root(), inode, {}, 0, "new", {}));
          EXPECT_EQ(Must(Read(b, inode)), "new");
        }
      }
    }
  }
  EXPECT_GE(fired, 40);
  EXPECT_GE(refused, 20);
  EXPECT_EQ(cluster_.CommitsBeyondLimit(), 0u);
  Settle(b);
  b.fs.reset();
  EXPECT_EQ(Check(), "");
}

TEST_F(SharedSessionsTest, OneWhoseHeartbeatsComeIsNotFenced) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const uint64_t id = Must(a->Info()).session;
  for (int i = 0; i < 30; ++i) {
    clock_.Advance(seconds(2));
    Must(a->Beat());
    Must(b->Beat());
    while (Must(b->RunBackgroundStep())) {
    }
  }
  EXPECT_EQ(SessionCount(), 2u);
  EXPECT_EQ(Must(a->Info()).session, id);
}

TEST_F(SharedSessionsTest, AJumpOfTheStoresTimeKillsNobody) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  cluster_.JumpTime(3'600'000);
  Create(a, "f", "x");  // waits for a heartbeat, and goes on
  Must(b->Beat());
  Must(b->Beat());
  EXPECT_EQ(SessionCount(), 2u);
  EXPECT_TRUE(Find(b, "f"));
}

TEST_F(SharedSessionsTest, ReadsOfADeadSessionAnswerNothing) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const InodeNumber inode = Create(a, "f", "old");
  LetOthersDie(b);
  Must(b->Write(Root(), inode, {}, 0, "new", {}));
  EXPECT_EQ(CodeOf(Read(a, inode)), ErrorCode::kStale);
  Must(a->Beat());
  EXPECT_EQ(Must(Read(a, inode)), "new");
}

TEST_F(SharedSessionsTest, WhatADeadSessionHeldOpenIsReclaimed) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const InodeNumber inode = Create(b, "f", "x");
  const auto handle = Must(a->Open(Root(), inode, {.read = true})).handle;
  Must(b->Unlink(Root(), fs::kRootInode, "f"));
  Settle(a, b);
  EXPECT_EQ(Must(Read(a, inode, handle)), "x");
  LetOthersDie(b);
  Settle(b);
  EXPECT_EQ(CodeOf(Read(b, inode)), ErrorCode::kStale);
  Rejoin(a);
  EXPECT_EQ(CodeOf(Read(a, inode, handle)), ErrorCode::kStale);
  Must(a->Release(inode, handle));
  a.fs.reset();
  Settle(b);
  b.fs.reset();
  EXPECT_EQ(Check(), "");
}

TEST_F(SharedSessionsTest, WhoJoinsAnewKeepsWhatIsStillThere) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const InodeNumber linked = Create(a, "linked", "1");
  const InodeNumber unlinked = Create(b, "unlinked", "2");
  const auto first = Must(a->Open(Root(), linked, {.read = true})).handle;
  const auto second = Must(a->Open(Root(), unlinked, {.read = true})).handle;
  Must(b->Unlink(Root(), fs::kRootInode, "unlinked"));
  Settle(a, b);
  const uint64_t id = Must(a->Info()).session;
  LetOthersDie(b);
  Rejoin(a);
  EXPECT_NE(Must(a->Info()).session, id);
  EXPECT_EQ(Must(Read(a, linked, first)), "1");
  const auto kept = Read(a, unlinked, second);
  if (kept) {
    Settle(a, b);
    EXPECT_EQ(Must(Read(a, unlinked, second)), "2");
  } else {
    EXPECT_EQ(CodeOf(kept), ErrorCode::kStale);
  }
  Must(a->Release(linked, first));
  Must(a->Release(unlinked, second));
  Settle(a, b);
  EXPECT_EQ(CodeOf(Read(b, unlinked)), ErrorCode::kStale);
}

TEST_F(SharedSessionsTest, OneIsEvictedWhileItLives) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const fs::SessionId id{Must(a->Info()).session};
  Must(fs::EvictSession(*outside_, clock_, id));  // waits, on the clock, until its bound has passed
  EXPECT_EQ(CodeOf(fs::EvictSession(*outside_, clock_, id)), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(a->Write(Root(), fs::kRootInode, {}, 0, "x", {})), ErrorCode::kStale);
  Must(a->Beat());
  Create(a, "f");
  Must(b->Beat());
  EXPECT_TRUE(Find(b, "f"));
}

TEST_F(SharedSessionsTest, WhoWorksAloneIsAlone) {
  Format();
  SharedMount a = NewMount();
  EXPECT_EQ(CodeOf(fs::ExclusiveSession::Begin(*outside_, clock_, {})), ErrorCode::kBusy);
  EXPECT_EQ(CodeOf(fs::CloseForGood(*outside_, clock_)), ErrorCode::kBusy);
  a.fs.reset();
  auto alone = Must(fs::ExclusiveSession::Begin(*outside_, clock_, {}));
  fs::FileSystemOptions options;
  options.cache_mode = fs::CacheMode::kStrict;
  options.shared = true;
  options.session.thread = false;
  EXPECT_EQ(CodeOf(FileSystem::Open(*outside_, clock_, options)), ErrorCode::kBusy);
  EXPECT_EQ(CodeOf(fs::EvictSession(*outside_, clock_,
                                    Must(fs::ListSessions(*outside_, clock_)).front().record.id)),
            ErrorCode::kNotSupported);
  alone.reset();
  a = NewMount();
  a.fs.reset();
  Must(fs::CloseForGood(*outside_, clock_));
  EXPECT_EQ(CodeOf(FileSystem::Open(*outside_, clock_, options)), ErrorCode::kNotFound);
}

TEST_F(SharedSessionsTest, WhatNobodyTookUpIsReclaimedByTheNextMount) {
  Format();
  SharedMount a = NewMount();
  Create(a, "f", "x");
  Must(a->Unlink(Root(), fs::kRootInode, "f"));
  a.fs.reset();
  EXPECT_EQ(Check(), "1 orphans\n");
  a = NewMount();
  while (Must(a->RunBackgroundStep())) {
  }
  EXPECT_EQ(Check(), "");
}

// --- limits ---

TEST_F(SharedSessionsTest, TwoMountsDoNotOvershootTheCapacity) {
  constexpr uint64_t kCapacity = 8 << 20;
  Format(kCapacity);
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const std::string chunk(64 << 10, 'x');
  const InodeNumber of_a = Create(a, "a");
  const InodeNumber of_b = Create(b, "b");
  uint64_t written = 0;
  bool full_a = false;
  bool full_b = false;
  for (uint64_t i = 0; !full_a || !full_b; ++i) {
    for (auto* side : {&a, &b}) {
      bool& full = side == &a ? full_a : full_b;
      if (full) continue;
      const auto wrote =
          (*side)->Write(Root(), side == &a ? of_a : of_b, {}, i * chunk.size(), chunk, {});
      full = !wrote;
      if (wrote) {
        written += chunk.size();
      } else {
        EXPECT_EQ(CodeOf(wrote), ErrorCode::kNoSpace);
      }
    }
    ASSERT_LE(written, kCapacity);
  }
  // What one has reserved and not used, it gives back to the other, who then fills it up.
  Settle(a, b);
  for (uint64_t i = 0;; ++i) {
    if (!b->Write(Root(), of_b, {}, (1000 + i) * chunk.size(), chunk, {})) break;
    written += chunk.size();
  }
  EXPECT_LE(written, kCapacity);
  EXPECT_GE(written, kCapacity - 2 * chunk.size());
  // And who frees some gives that away as well.
  Must(a->Unlink(Root(), fs::kRootInode, "a"));
  Settle(a, b);
  EXPECT_TRUE(b->Write(Root(), of_b, {}, 5000 * chunk.size(), chunk, {}).ok());
  a.fs.reset();
  Settle(b);
  b.fs.reset();
  EXPECT_EQ(Check(), "");
}

TEST_F(SharedSessionsTest, TwoMountsDoNotOvershootTheInodes) {
  constexpr uint64_t kInodes = 100;
  Format(0, kInodes);
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  int made = 1;  // the root
  for (int i = 0; i < 200; ++i) {
    SharedMount& mount = i % 2 == 0 ? a : b;
    const auto created =
        mount->Mknod(Root(), fs::kRootInode, "f" + std::to_string(i), S_IFREG | 0644, 0);
    if (created) {
      ++made;
    } else {
      EXPECT_EQ(CodeOf(created), ErrorCode::kNoSpace);
      Settle(a, b);
    }
  }
  EXPECT_EQ(made, static_cast<int>(kInodes));
  EXPECT_EQ(Must(a->Info()).used_inodes, kInodes);
}

TEST_F(SharedSessionsTest, TwoThatReserveAtOnceDoNotFindTheSameRoom) {
  constexpr uint64_t kCapacity = 1 << 20;
  Format(kCapacity);
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  const InodeNumber of_a = Create(a, "a");
  const InodeNumber of_b = Create(b, "b");
  const std::string most(700 << 10, 'x');
  Result<size_t> second = Error(ErrorCode::kIo, "not done");
  cluster_.Before("KvPrewrite", [&] { second = b->Write(Root(), of_b, {}, 0, most, {}); });
  const auto first = a->Write(Root(), of_a, {}, 0, most, {});
  EXPECT_TRUE(second.ok());
  EXPECT_EQ(CodeOf(first), ErrorCode::kNoSpace);
}

TEST_F(SharedSessionsTest, UsageIsExactOnceAllHaveLeft) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  Create(a, "a", std::string(100'000, 'a'));
  Create(b, "b", std::string(50'000, 'b'));
  Must(b->Unlink(Root(), fs::kRootInode, "a"));
  Settle(a, b);
  const uint64_t used = Must(b->Info()).used_bytes;
  a.fs.reset();
  b.fs.reset();
  EXPECT_EQ(Check(), "");
  SharedMount c = NewMount();
  EXPECT_EQ(Must(c->Info()).used_bytes, used);
  EXPECT_EQ(Must(c->Info()).used_inodes, 2u);
}

// As when the store was away for longer than the timeout: who is back first heard of nobody.
TEST_F(SharedSessionsTest, WhoCouldNotLookTakesNobodyForDead) {
  Format();
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  Must(a->Beat());
  Must(b->Beat());
  clock_.Advance(kTimeout * 3);
  Must(b->Beat());
  Must(a->Beat());
  Must(b->Beat());
  EXPECT_EQ(SessionCount(), 2U);
  Create(a, "still here");
}

TEST_F(SharedSessionsTest, WhatADeadSessionReservedIsCountedAnew) {
  Format(uint64_t{1} << 30);
  SharedMount a = NewMount();
  SharedMount b = NewMount();
  Create(a, "a", std::string(100'000, 'a'));
  const uint64_t used = 100'000 / 4096 * 4096 + 4096;
  LetOthersBeSilent(b);
  Must(b->Beat());
  // Ended, and not yet counted.
  const fs::Schema schema;
  kv::TransactionRunner runner(*outside_, clock_);
  Must(
      fs::EndDeadSession(runner, schema, {Must(fs::ListSessions(*outside_, clock_))[0].record.id}));
  EXPECT_GT(Must(b->Info()).used_bytes, used);
  Settle(b);
  EXPECT_EQ(Must(b->Info()).used_bytes, used);
  EXPECT_EQ(Must(b->Info()).used_inodes, 2u);
  a.fs.reset();
  b.fs.reset();
  EXPECT_EQ(Check(), "");
}

}  // namespace
}  // namespace tifs::tikv_store
