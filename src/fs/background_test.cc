// What operations leave to the background: that it deletes what it should, nothing else, and can be
// stopped anywhere.
#include "fs/background.h"

#include <algorithm>
#include <string>
#include <vector>

#include "fs/fs_check_test_fixture.h"

namespace tifs::fs {
namespace {

class BackgroundTest : public FsCheckFixture {
 protected:
  explicit BackgroundTest(bool extents = false) : FsCheckFixture(extents) {}

  static void Finish(FileSystem& fs) {
    for (;;) {
      const auto more = fs.RunBackgroundStep();
      ASSERT_TRUE(more.ok()) << more.error().ToString();
      if (!*more) return;
    }
  }
  void Resize(FileSystem& fs, InodeNumber inode, uint64_t size_bytes) {
    AttributeChanges changes;
    changes.size_bytes = size_bytes;
    ASSERT_TRUE(fs.SetAttributes(context_, inode, changes).ok());
  }
  void Punch(FileSystem& fs, InodeNumber inode, uint64_t block, uint64_t blocks) {
    ASSERT_TRUE(fs.Allocate(context_, inode, {}, {.keep_size = true, .punch_hole = true},
                            block * kBlock, blocks * kBlock)
                    .ok());
  }
  size_t CountKeys(const KeySpan& span) {
    size_t count = 0;
    auto txn = store_.Begin();
    EXPECT_TRUE((*txn)
                    ->Scan(span.range(), 0, kv::Direction::kForward,
                           [&](std::string_view, std::string_view) {
                             ++count;
                             return true;
                           })
                    .ok());
    return count;
  }
  size_t CountBlocks(InodeNumber inode) {
    return CountKeys(schema_->Blocks(inode, {0}, {UINT64_MAX}));
  }
  size_t CountLeftovers() { return CountKeys(schema_->AllOf(Schema::Scope::kLeftover)); }
};

// More blocks than one transaction deletes.
constexpr uint64_t kMany = 600;

TEST_F(BackgroundTest, ClearsTheRangeAndNothingElse) {
  const auto fs = Mount();
  const InodeNumber large = Create(*fs, kRootInode, "large", std::string(kMany * kBlock, 'l'));
  Punch(*fs, large, 10, 500);
  // Written since, among what waits to be cleared.
  ASSERT_TRUE(fs->Write(context_, large, {}, 20 * kBlock, std::string(kBlock, 'n'), {}).ok());
  std::string expected(kMany * kBlock, 'l');
  expected.replace(10 * kBlock, 500 * kBlock, 500 * kBlock, '\0');
  expected.replace(20 * kBlock, kBlock, kBlock, 'n');
  int steps = 0;
  do {
    EXPECT_EQ(Read(*fs, large), expected);
    ExpectClean();
    ++steps;
  } while (*fs->RunBackgroundStep());
  EXPECT_GE(steps, 3) << "in bounded steps";
  EXPECT_EQ(CountBlocks(large), kMany - 500 + 1);
  EXPECT_EQ(CountLeftovers(), 0u);
  EXPECT_TRUE(InodeOf(large).pending_clears.empty());
  EXPECT_EQ(fs->Info()->used_bytes, (kMany - 500 + 1 + 2) * kBlock + 512);
}

TEST_F(BackgroundTest, ClearsOfSeveralRangesKeepApart) {
  const auto fs = Mount();
  const InodeNumber large = Create(*fs, kRootInode, "large", std::string(2 * kMany * kBlock, 'l'));
  Punch(*fs, large, 700, 300);
  Punch(*fs, large, 100, 300);
  Punch(*fs, large, 650, 300);  // overlaps the first, and does not cover it
  EXPECT_EQ(InodeOf(large).pending_clears.size(), 3u);
  std::string expected(2 * kMany * kBlock, 'l');
  expected.replace(100 * kBlock, 300 * kBlock, 300 * kBlock, '\0');
  expected.replace(650 * kBlock, 350 * kBlock, 350 * kBlock, '\0');
  EXPECT_EQ(Read(*fs, large), expected);
  Punch(*fs, large, 50, 350);  // covers the second
  expected.replace(50 * kBlock, 50 * kBlock, 50 * kBlock, '\0');
  EXPECT_EQ(InodeOf(large).pending_clears.size(), 3u);
  EXPECT_EQ(Read(*fs, large), expected);
  Finish(*fs);
  EXPECT_EQ(Read(*fs, large), expected);
  EXPECT_EQ(CountBlocks(large), 2 * kMany - 350 - 350);
  ExpectClean();
}

TEST_F(BackgroundTest, ReclaimsALargeOrphanInStepsAndAllOfIt) {
  InodeNumber large;
  {
    const auto fs = Mount();
    large = Create(*fs, kRootInode, "large", std::string(kMany * kBlock, 'l'));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(
          fs->SetXattr(context_, large, "user." + std::to_string(i), "x", XattrFlag::kAny).ok());
    }
    ASSERT_TRUE(fs->Allocate(context_, large, {}, {}, 0, 2 * kMany * kBlock).ok());
    ASSERT_TRUE(fs->Unlink(context_, kRootInode, "large").ok());
    EXPECT_EQ(CountBlocks(large), kMany);
    ASSERT_TRUE(*fs->RunBackgroundStep());
    EXPECT_GT(CountBlocks(large), 0u) << "in bounded steps";
    ExpectClean();
  }
  // Another mount goes on.
  const auto fs = Mount();
  Finish(*fs);
  EXPECT_EQ(CountBlocks(large), 0u);
  EXPECT_EQ(CountKeys(schema_->Xattrs(large)), 0u);
  EXPECT_EQ(ValueOf(schema_->Inode(large)), "nothing");
  EXPECT_EQ(CountLeftovers(), 0u);
  EXPECT_EQ(fs->Info()->used_bytes, 2 * kBlock + 512);
  EXPECT_EQ(fs->Info()->used_inodes, 4u);
  ExpectClean();
}

TEST_F(BackgroundTest, ReclaimsADirectoryThatWasOpenWithItsStripes) {
  const auto fs = Mount();
  const InodeNumber open = fs->Mkdir(context_, kRootInode, "open", 0755)->attributes.inode;
  Create(*fs, open, "file", "");
  ASSERT_TRUE(fs->Unlink(context_, open, "file").ok());
  const auto handle = fs->OpenDirectory(context_, open);
  ASSERT_TRUE(fs->Rmdir(context_, kRootInode, "open").ok());
  Finish(*fs);
  EXPECT_NE(ValueOf(schema_->Inode(open)), "nothing") << "it is open";
  ASSERT_TRUE(fs->ReleaseDirectory(open, *handle).ok());
  Finish(*fs);
  EXPECT_EQ(ValueOf(schema_->Inode(open)), "nothing");
  EXPECT_EQ(ValueOf(schema_->Stripe(open, 0)), "nothing");
  ExpectClean();
}

TEST_F(BackgroundTest, ALeftoverThatIsNoneCostsNothing) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.AddLeftover(file_, LeftoverKind::kOrphan).ok());
    ASSERT_TRUE(r.AddLeftover(small_, LeftoverKind::kClear).ok());
    ASSERT_TRUE(r.AddLeftover({777}, LeftoverKind::kOrphan).ok());
  });
  const auto fs = Mount();
  Finish(*fs);
  EXPECT_EQ(Read(*fs, file_).size(), 2 * kBlock);
  EXPECT_EQ(Read(*fs, small_), "in line");
  EXPECT_EQ(CountLeftovers(), 0u);
}

TEST_F(BackgroundTest, ACorruptOrphanIsLeftToFsck) {
  Damage([&](RecordStore& r) {
    ASSERT_TRUE(r.AddLeftover(file_, LeftoverKind::kOrphan).ok());
    ASSERT_TRUE(r.transaction().Put(schema_->Inode(file_), "\x07junk").ok());
    ASSERT_TRUE(r.transaction().Put(schema_->Leftover(0, small_), "junk").ok());
  });
  const auto fs = Mount();
  const auto step = fs->RunBackgroundStep();
  ASSERT_FALSE(step.ok());
  EXPECT_EQ(step.error().code(), ErrorCode::kCorrupt);
  const auto next = fs->RunBackgroundStep();
  ASSERT_TRUE(next.ok()) << "it is tried again and again";
  EXPECT_FALSE(*next);
  EXPECT_EQ(CountLeftovers(), 2u) << "it is still known";
  EXPECT_EQ(CountBlocks(file_), 2u);
}

TEST_F(BackgroundTest, WorkThatFailedIsTriedAgain) {
  class FailingStore : public kv::ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<std::unique_ptr<kv::Transaction>> Begin() override {
      if (fails) return Error(ErrorCode::kIo, "test");
      return base().Begin();
    }
    bool fails = false;
  };
  FailingStore store(store_);
  auto fs = FileSystem::Open(store, clock_, {.background_thread = false});
  const InodeNumber large = Create(**fs, kRootInode, "large", std::string(kMany * kBlock, 'l'));
  ASSERT_TRUE((*fs)->Unlink(context_, kRootInode, "large").ok());
  store.fails = true;
  EXPECT_EQ((*fs)->RunBackgroundStep().error().code(), ErrorCode::kIo);
  store.fails = false;
  Finish(**fs);
  EXPECT_EQ(ValueOf(schema_->Inode(large)), "nothing");
  EXPECT_EQ(CountBlocks(large), 0u);
}

TEST_F(BackgroundTest, NothingIsReclaimedWhileItIsReadOnly) {
  const auto fs = Mount();
  const InodeNumber large = Create(*fs, kRootInode, "large", std::string(kMany * kBlock, 'l'));
  ASSERT_TRUE(fs->Unlink(context_, kRootInode, "large").ok());
  ASSERT_TRUE(fs->SetReadOnly(true).ok());
  const auto before = Dump();
  const auto step = fs->RunBackgroundStep();
  ASSERT_TRUE(step.ok());
  EXPECT_FALSE(*step);
  EXPECT_EQ(Dump(), before);
  ASSERT_TRUE(fs->SetReadOnly(false).ok());
  Finish(*fs);
  EXPECT_EQ(CountBlocks(large), 0u);
}

TEST_F(BackgroundTest, CountsUsageAnewAfterACrash) {
  Put(schema_->Usage(), UsageRecord{1 << 30, 1000, false}.Encode());
  const auto fs = Mount();
  EXPECT_EQ(fs->Info()->used_bytes, 1u << 30);
  Finish(*fs);
  EXPECT_EQ(fs->Info()->used_bytes, 2 * kBlock + 512);
  EXPECT_EQ(fs->Info()->used_inodes, 4u);
}

// What a data file and the store's log saw, in order.
using Events = std::vector<std::string>;

// Has no room for more until a large piece is given back.
class FullDevice : public BorrowedExtentDevice {
 public:
  FullDevice(ExtentDevice& device, Events& events, bool& full)
      : BorrowedExtentDevice(device), events_(events), full_(full) {}
  Status Write(uint64_t offset_bytes, std::string_view data) override {
    if (full_) return Error(ErrorCode::kNoSpace, "test");
    return BorrowedExtentDevice::Write(offset_bytes, data);
  }
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    events_.push_back("discard");
    if (length_bytes > 100 * 4096) full_ = false;
    return BorrowedExtentDevice::Discard(offset_bytes, length_bytes);
  }
  Status Sync() override {
    events_.push_back("sync data");
    return BorrowedExtentDevice::Sync();
  }

 private:
  Events& events_;
  bool& full_;
};

class BackgroundExtentsTest : public BackgroundTest {
 protected:
  BackgroundExtentsTest() : BackgroundTest(true) {}
};

TEST_F(BackgroundExtentsTest, GivesSpaceBackOnceTheRemovalIsDurable) {
  class LoggingStore : public kv::ForwardingStore {
   public:
    LoggingStore(kv::Store& base, Events& events) : ForwardingStore(base), events_(events) {}
    Status Sync() override {
      events_.push_back("sync store");
      return base().Sync();
    }

   private:
    Events& events_;
  };
  Events events;
  bool full = false;
  LoggingStore store(store_, events);
  auto fs = FileSystem::Open(
      store, clock_, {.background_thread = false},
      std::make_unique<ExtentBlocks>(std::make_unique<FullDevice>(device_, events, full), clock_));
  ASSERT_TRUE(fs.ok());
  Create(**fs, kRootInode, "large", std::string(kMany * kBlock, 'l'));
  ASSERT_TRUE((*fs)->Unlink(context_, kRootInode, "large").ok());
  Finish(**fs);
  events.clear();
  full = true;
  Create(**fs, kRootInode, "next", std::string(2 * kBlock, 'n'));
  events.erase(std::unique(events.begin(), events.end()), events.end());
  EXPECT_EQ(events, (Events{"sync data", "sync store", "discard", "sync data"}));
}

}  // namespace
}  // namespace tifs::fs
