// Operations of several threads at once: what consistency.md says may not come apart does not, and
// what they leave is sound. ThreadSanitizer watches these run.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "fs/file_system.h"
#include "fs/fs_check.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

constexpr int kThreads = 4;
constexpr OpenFlags kReadWrite = {.read = true, .write = true};

// Lets other threads in between a transaction's reads and its commit: operations over memory are
// too quick to meet by themselves.
class DawdlingTransaction : public kv::ForwardingTransaction {
 public:
  DawdlingTransaction(std::unique_ptr<kv::Transaction> base, uint64_t seed)
      : ForwardingTransaction(std::move(base)), random_(seed) {}

  Result<std::optional<kv::Value>> Get(std::string_view key) override {
    Dawdle();
    return ForwardingTransaction::Get(key);
  }
  Status Commit() override {
    Dawdle();
    return ForwardingTransaction::Commit();
  }

 private:
  void Dawdle() {
    if (!random_.OneIn(3)) return;
    for (uint64_t i = random_.Below(20); i > 0; --i) std::this_thread::yield();
  }

  Random random_;
};

class DawdlingStore : public kv::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<kv::Transaction>> Begin() override {
    return std::make_unique<DawdlingTransaction>(TRY(ForwardingStore::Begin()), next_seed_++);
  }

 private:
  std::atomic<uint64_t> next_seed_{1};
};

class FileSystemThreadsTest : public testing::Test {
 protected:
  void SetUp() override { Start({.block_size_bytes = 4096}); }

  void Start(const FormatOptions& format) {
    fs_.reset();
    store_.emplace();
    dawdling_.emplace(*store_);
    ASSERT_TRUE(Format(*store_, SystemClock(), format));
    auto opened = FileSystem::Open(*dawdling_, SystemClock(), {});
    ASSERT_TRUE(opened) << opened.error().ToString();
    fs_ = *std::move(opened);
  }

  void TearDown() override {
    ASSERT_TRUE(fs_->Close());
    fs_.reset();
    const auto report = Check(*store_, SystemClock(), {});
    ASSERT_TRUE(report);
    for (const CheckFinding& finding : report->findings) ADD_FAILURE() << finding.what;
  }

  // Runs `body(thread)` on all threads at once, round after round; `after` in between, on one.
  void Race(int threads, int rounds, const std::function<void(int)>& body,
            const std::function<void()>& after) {
    std::atomic<int> arrived = 0;
    std::atomic<bool> failed = false;
    // All leave it within the same microsecond, which a barrier that sleeps does not do.
    const auto meet = [&, threads](int count) {
      ++arrived;
      while (arrived < count * threads) std::this_thread::yield();
    };
    std::vector<std::jthread> running;
    for (int thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        for (int round = 0; round < rounds; ++round) {
          meet(2 * round + 1);
          if (failed) return;
          body(thread);
          meet(2 * round + 2);
          if (thread == 0) after();
          if (thread == 0) failed = HasFailure();
        }
      });
    }
  }

  InodeNumber Mkdir(InodeNumber parent, std::string_view name) {
    auto made = fs_->Mkdir(context_, parent, name, 0755);
    EXPECT_TRUE(made) << made.error().ToString();
    return made->attributes.inode;
  }

  InodeNumber MakeFile(InodeNumber parent, std::string_view name) {
    auto made = fs_->Create(context_, parent, name, 0644, kReadWrite);
    EXPECT_TRUE(made) << made.error().ToString();
    EXPECT_TRUE(fs_->Release(made->entry.attributes.inode, made->file.handle));
    return made->entry.attributes.inode;
  }

  bool Exists(InodeNumber parent, std::string_view name) {
    return fs_->Lookup(context_, parent, name).ok();
  }

  const OpContext context_;
  std::optional<kv::MemKv> store_;
  std::optional<DawdlingStore> dawdling_;
  std::unique_ptr<FileSystem> fs_;
};

TEST_F(FileSystemThreadsTest, OneOfManyCreatorsWins) {
  std::atomic<int> won = 0;
  Race(
      kThreads, 500,
      [&](int) {
        auto made = fs_->Create(context_, kRootInode, "name", 0644, kReadWrite);
        if (!made) {
          EXPECT_EQ(made.error().code(), ErrorCode::kExists);
          return;
        }
        ++won;
        EXPECT_TRUE(fs_->Release(made->entry.attributes.inode, made->file.handle));
      },
      [&] {
        EXPECT_EQ(won.exchange(0), 1);
        EXPECT_TRUE(fs_->Unlink(context_, kRootInode, "name"));
      });
}

TEST_F(FileSystemThreadsTest, ADirectoryIsNotRemovedFromUnderANewEntry) {
  InodeNumber directory = Mkdir(kRootInode, "d");
  std::atomic<int> succeeded = 0;
  Race(
      2, 1000,
      [&](int thread) {
        const bool ok = thread == 0 ? fs_->Rmdir(context_, kRootInode, "d").ok()
                                    : fs_->Symlink(context_, directory, "entry", "nowhere").ok();
        succeeded += ok ? 1 : 0;
      },
      [&] {
        EXPECT_EQ(succeeded.exchange(0), 1);
        if (!Exists(kRootInode, "d")) {
          directory = Mkdir(kRootInode, "d");
        } else {
          EXPECT_TRUE(fs_->Unlink(context_, directory, "entry"));
        }
      });
}

// From different parents, so that the two moves have no directory in common.
TEST_F(FileSystemThreadsTest, DirectoriesNeverBecomeTheirOwnAncestors) {
  const InodeNumber p = Mkdir(kRootInode, "p"), q = Mkdir(kRootInode, "q");
  const InodeNumber a = Mkdir(p, "a"), b = Mkdir(q, "b");
  std::atomic<int> moved = 0;
  Race(
      2, 1000,
      [&](int thread) {
        const Status status = thread == 0 ? fs_->Rename(context_, p, "a", b, "a", 0)
                                          : fs_->Rename(context_, q, "b", a, "b", 0);
        moved += status.ok() ? 1 : 0;
      },
      [&] {
        ASSERT_EQ(moved.exchange(0), 1);
        const Status back = Exists(b, "a") ? fs_->Rename(context_, b, "a", p, "a", 0)
                                           : fs_->Rename(context_, a, "b", q, "b", 0);
        ASSERT_TRUE(back);
      });
}

TEST_F(FileSystemThreadsTest, ALinkNeverNamesAFileThatIsGone) {
  InodeNumber file = MakeFile(kRootInode, "old");
  Race(
      2, 1000,
      [&](int thread) {
        if (thread == 0) {
          EXPECT_TRUE(fs_->Unlink(context_, kRootInode, "old"));
        } else {
          (void)fs_->Link(context_, file, kRootInode, "new");
        }
      },
      [&] {
        if (auto found = fs_->Lookup(context_, kRootInode, "new"); found) {
          EXPECT_EQ(found->attributes.nlink, 1u);
          EXPECT_TRUE(fs_->Unlink(context_, kRootInode, "new"));
        }
        file = MakeFile(kRootInode, "old");
      });
}

TEST_F(FileSystemThreadsTest, AnOpenFileOutlivesItsName) {
  InodeNumber file = MakeFile(kRootInode, "f");
  const auto refill = [&] {
    EXPECT_TRUE(fs_->Write(context_, file, {}, 0, std::string(100'000, 'x'), {}));
  };
  refill();
  Race(
      2, 500,
      [&](int thread) {
        if (thread == 0) {
          EXPECT_TRUE(fs_->Unlink(context_, kRootInode, "f"));
          return;
        }
        const auto opened = fs_->Open(context_, file, {.read = true});
        if (!opened) return;  // it had gone
        std::string bytes(100'000, '\0');
        const auto read = fs_->Read(context_, file, opened->handle, 0, bytes);
        ASSERT_TRUE(read) << read.error().ToString();
        EXPECT_EQ(bytes, std::string(100'000, 'x'));
        EXPECT_TRUE(fs_->Release(file, opened->handle));
      },
      [&] {
        file = MakeFile(kRootInode, "f");
        refill();
      });
}

TEST_F(FileSystemThreadsTest, AppendsAreKeptWholeAndAll) {
  const InodeNumber file = MakeFile(kRootInode, "log");
  constexpr int kRecords = 100;
  constexpr size_t kRecordBytes = 97;  // crosses blocks
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        const std::string record(kRecordBytes, static_cast<char>('a' + thread));
        for (int i = 0; i < kRecords; ++i) {
          ASSERT_TRUE(fs_->Write(context_, file, {}, 0, record, {.at_end = true}));
        }
      });
    }
  }
  std::string bytes(2 * kThreads * kRecords * kRecordBytes, '\0');
  const auto size = fs_->Read(context_, file, {}, 0, bytes);
  ASSERT_TRUE(size);
  ASSERT_EQ(*size, kThreads * kRecords * kRecordBytes);
  for (size_t at = 0; at < *size; at += kRecordBytes) {
    ASSERT_EQ(bytes.substr(at, kRecordBytes), std::string(kRecordBytes, bytes[at])) << at;
  }
}

TEST_F(FileSystemThreadsTest, AReadSeesAWriteWholeOrNotAtAll) {
  const InodeNumber file = MakeFile(kRootInode, "f");
  constexpr size_t kBytes = 3 * 4096 + 5;
  ASSERT_TRUE(fs_->Write(context_, file, {}, 0, std::string(kBytes, 'a'), {}));
  std::atomic<bool> done = false;
  std::jthread reader([&] {
    std::string bytes(kBytes, '\0');
    while (!done) {
      ASSERT_TRUE(fs_->Read(context_, file, {}, 0, bytes));
      ASSERT_EQ(bytes, std::string(kBytes, bytes[0]));
    }
  });
  for (int i = 0; i < 200; ++i) {
    const std::string bytes(kBytes, static_cast<char>('a' + i % 26));
    EXPECT_TRUE(fs_->Write(context_, file, {}, 0, bytes, {}));
  }
  done = true;
}

TEST_F(FileSystemThreadsTest, LimitsAreReachedAndNeverOvershot) {
  constexpr uint64_t kInodes = 200;
  Start({.block_size_bytes = 4096, .max_inodes = kInodes});
  const uint64_t used = fs_->Info()->used_inodes;
  std::atomic<uint64_t> made = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (uint64_t i = 0; i < kInodes; ++i) {
          const std::string name = std::to_string(thread) + "." + std::to_string(i);
          auto link = fs_->Symlink(context_, kRootInode, name, "nowhere");
          if (!link) {
            ASSERT_EQ(link.error().code(), ErrorCode::kNoSpace);
            break;
          }
          ++made;
          ASSERT_LE(fs_->Info()->used_inodes, kInodes);
        }
      });
    }
  }
  EXPECT_EQ(used + made, kInodes);
}

TEST_F(FileSystemThreadsTest, AListingNeverMissesWhatStays) {
  for (int i = 0; i < 50; ++i) MakeFile(kRootInode, "stays" + std::to_string(i));
  std::atomic<bool> done = false;
  std::jthread changer([&] {
    for (int i = 0; !done; ++i) {
      const std::string name = "comes and goes" + std::to_string(i % 20);
      if (!fs_->Symlink(context_, kRootInode, name, "nowhere")) {
        (void)fs_->Unlink(context_, kRootInode, name);
      }
    }
  });
  for (int round = 0; round < 30; ++round) {
    std::multiset<std::string> seen;
    uint64_t cookie = 0;
    for (bool more = true; more;) {
      more = false;
      ASSERT_TRUE(fs_->ReadDirectory(context_, kRootInode, cookie, 7, true, [&](const auto& entry) {
        if (entry.name.starts_with("stays")) seen.emplace(entry.name);
        cookie = entry.cookie;
        return more = true;
      }));
    }
    ASSERT_EQ(seen.size(), 50u);
    ASSERT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 50u);
  }
  done = true;
}

// One thread of operations at random on few names, so that they meet; answers may be any errno that
// a file system has for them, but none that speaks of damage.
class RandomWalker {
 public:
  RandomWalker(FileSystem& fs, uint64_t seed, std::vector<InodeNumber> directories)
      : fs_(fs), random_(seed), directories_(std::move(directories)) {}

  void Run(int operations) {
    for (int i = 0; i < operations; ++i) Step();
    for (const auto& [inode, handle] : open_) EXPECT_TRUE(fs_.Release(inode, handle));
  }

 private:
  InodeNumber Directory() { return directories_[random_.Below(directories_.size())]; }
  std::string Name() { return std::string(1, static_cast<char>('a' + random_.Below(6))); }
  InodeNumber Known() {
    return known_.empty() ? Directory() : known_[random_.Below(known_.size())];
  }

  template <typename T>
  void Accept(const char* what, const Result<T>& result) {
    if (result) return;
    const ErrorCode code = result.error().code();
    EXPECT_TRUE(code != ErrorCode::kIo && code != ErrorCode::kCorrupt &&
                result.error().ToErrno() != EIO)
        << what << ": " << result.error().ToString();
  }

  void Note(const Result<Entry>& entry) {
    if (entry) known_.push_back(entry->attributes.inode);
  }

  void Step() {
    switch (random_.Below(12)) {
      case 0: return Open();
      case 1: return Names();
      case 2: return Write();
      case 3: return Cut();
      default: return random_.OneIn(2) ? Names() : Look();
    }
  }

  void Open() {
    if (open_.size() > 4 || random_.OneIn(3)) {
      if (open_.empty()) return;
      Accept("release", fs_.Release(open_.back().first, open_.back().second));
      open_.pop_back();
      return;
    }
    const InodeNumber inode = Known();
    const auto opened = fs_.Open(context_, inode, kReadWrite);
    Accept("open", opened);
    if (opened) open_.emplace_back(inode, opened->handle);
  }

  void Names() {
    const InodeNumber from = Directory(), to = Directory();
    const std::string name = Name(), new_name = Name();
    switch (random_.Below(8)) {
      case 0:
      case 1: {
        const auto made = fs_.Create(context_, from, name, 0644, kReadWrite);
        Accept("create", made);
        if (!made) return;
        known_.push_back(made->entry.attributes.inode);
        open_.emplace_back(made->entry.attributes.inode, made->file.handle);
        return;
      }
      case 2: {
        const auto made = fs_.Mkdir(context_, from, name, 0755);
        Accept("mkdir", made);
        return Note(made);
      }
      case 3: return Accept("unlink", fs_.Unlink(context_, from, name));
      case 4: return Accept("rmdir", fs_.Rmdir(context_, from, name));
      case 5: return Accept("link", fs_.Link(context_, Known(), to, new_name));
      default: {
        const auto flags = static_cast<uint32_t>(random_.Below(3));
        return Accept("rename", fs_.Rename(context_, from, name, to, new_name, flags));
      }
    }
  }

  void Write() {
    const std::string bytes(1 + random_.Below(20'000), static_cast<char>('a' + random_.Below(26)));
    Accept("write", fs_.Write(context_, Known(), {}, random_.Below(30'000), bytes,
                              {.at_end = random_.OneIn(4)}));
  }

  void Cut() {
    if (random_.OneIn(3)) {
      return Accept("punch",
                    fs_.Allocate(context_, Known(), {}, {.keep_size = true, .punch_hole = true},
                                 random_.Below(30'000), 1 + random_.Below(30'000)));
    }
    AttributeChanges changes;
    changes.size_bytes = random_.OneIn(3) ? 10'000'000 : random_.Below(30'000);
    Accept("truncate", fs_.SetAttributes(context_, Known(), changes));
  }

  void Look() {
    switch (random_.Below(5)) {
      case 0: {
        std::string bytes(random_.Below(40'000), '\0');
        return Accept("read", fs_.Read(context_, Known(), {}, random_.Below(30'000), bytes));
      }
      case 1: {
        const auto found = fs_.Lookup(context_, Directory(), Name());
        Accept("lookup", found);
        return Note(found);
      }
      case 2:
        return Accept("readdir", fs_.ReadDirectory(context_, Directory(), 0, 100, true,
                                                   [](const auto&) { return true; }));
      case 3:
        return Accept("setxattr",
                      fs_.SetXattr(context_, Known(), "user." + Name(), "v", XattrFlag::kAny));
      default: return Accept("getattr", fs_.GetAttributes(context_, Known()));
    }
  }

  FileSystem& fs_;
  Random random_;
  const OpContext context_;
  std::vector<InodeNumber> directories_;
  std::vector<InodeNumber> known_;
  std::vector<std::pair<InodeNumber, HandleId>> open_;
};

TEST_F(FileSystemThreadsTest, RandomOperationsLeaveASoundStore) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Start({.block_size_bytes = 4096});
    std::vector<InodeNumber> directories = {kRootInode};
    for (const char* name : {"x", "y", "z"}) directories.push_back(Mkdir(kRootInode, name));
    directories.push_back(Mkdir(directories[1], "deep"));
    {
      std::vector<std::jthread> threads;
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          RandomWalker(*fs_, seed * 100 + static_cast<uint64_t>(thread), directories).Run(1500);
        });
      }
    }
    ASSERT_TRUE(fs_->Close());
    const auto report = Check(*store_, SystemClock(), {});
    ASSERT_TRUE(report);
    for (const CheckFinding& finding : report->findings) ADD_FAILURE() << finding.what;
  }
}

}  // namespace
}  // namespace tifs::fs
