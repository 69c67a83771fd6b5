#include "fs/data/extent_blocks.h"

#include <gtest/gtest.h>

#include <string>

#include "fs/data/block_value.h"
#include "fs/data/mem_extent_device.h"
#include "fs/file_system.h"
#include "fs/fs_check.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

constexpr uint32_t kBlock = 4096;

class StoreThatMayNotSync : public kv::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Status Sync() override {
    if (fail_sync) return Error(ErrorCode::kIo, "test");
    return base().Sync();
  }
  bool fail_sync = false;
};

class ExtentBlocksTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Format(store_, clock_, {.block_size_bytes = kBlock, .extents = true}).ok());
    Mount();
  }

  void Mount() {
    fs_.reset();
    auto blocks =
        std::make_unique<ExtentBlocks>(std::make_unique<BorrowedExtentDevice>(device_), clock_);
    blocks_ = blocks.get();
    auto opened = FileSystem::Open(store_, clock_, {.background_thread = false}, std::move(blocks));
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    fs_ = *std::move(opened);
  }

  InodeNumber Create(std::string_view name) {
    const auto created = fs_->Create(context_, kRootInode, name, 0644, {});
    EXPECT_TRUE(created.ok());
    const InodeNumber inode = created->entry.attributes.inode;
    EXPECT_TRUE(fs_->Release(inode, created->file.handle).ok());
    return inode;
  }
  void Write(InodeNumber inode, uint64_t offset, std::string_view data) {
    auto written = fs_->Write(context_, inode, {}, offset, data, {});
    ASSERT_TRUE(written.ok()) << written.error().ToString();
  }
  std::string Read(InodeNumber inode, uint64_t offset, size_t size) {
    std::string bytes(size, 'x');
    auto read = fs_->Read(context_, inode, {}, offset, bytes);
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    bytes.resize(*read);
    return bytes;
  }
  void Truncate(InodeNumber inode, uint64_t size) {
    AttributeChanges changes;
    changes.size_bytes = size;
    ASSERT_TRUE(fs_->SetAttributes(context_, inode, changes).ok());
  }
  void RunBackground() {
    for (;;) {
      auto more = fs_->RunBackgroundStep();
      ASSERT_TRUE(more.ok());
      if (!*more) return;
    }
  }
  // The mount ends without closing; it is kept to the end, when nothing it does matters.
  void Crash() {
    crashed_.push_back(std::move(fs_));
    Mount();
  }
  // A crash that loses all that was written to the data file.
  void CrashAndLoseTheDataFile() {
    ASSERT_TRUE(device_.Truncate(0).ok());
    Crash();
  }
  size_t deferred_count() {
    const Schema schema;
    const KeySpan all = schema.AllOf(Schema::Scope::kDeferred);
    size_t count = 0;
    auto txn = store_.Begin();
    EXPECT_TRUE((*txn)
                    ->Scan(all.range(), 0, kv::Direction::kForward,
                           [&](std::string_view, std::string_view) { return ++count > 0; })
                    .ok());
    return count;
  }
  void ExpectClean() {
    const auto report = Check(store_, clock_, {});
    EXPECT_EQ(report->finding_count, 0u) << report->findings.front().what;
  }

  kv::MemKv memory_;
  StoreThatMayNotSync store_{memory_};
  MemExtentDevice device_;
  ManualClock clock_;
  const OpContext context_;
  std::unique_ptr<FileSystem> fs_;
  ExtentBlocks* blocks_ = nullptr;
  std::vector<std::unique_ptr<FileSystem>> crashed_;
};

TEST_F(ExtentBlocksTest, WhatALostGrowthLeftGoesDurablyBeforeTheBlockGrows) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(kBlock, 'a') + "tail");
  ASSERT_TRUE(fs_->Sync().ok());
  ASSERT_TRUE(device_.Write(kBlock + 100, "lost").ok());  // as if its record had been cut off
  Mount();
  const uint64_t before = device_.syncs();
  Write(inode, kBlock + 1000, "end");
  EXPECT_EQ(device_.syncs(), before + 1);
  EXPECT_EQ(Read(inode, kBlock + 4, 996), std::string(996, '\0'));
  EXPECT_EQ(device_.bytes().substr(kBlock + 100, 4), std::string(4, '\0'));
  Write(inode, kBlock + 2000, "end");
  EXPECT_EQ(device_.syncs(), before + 1);
}

TEST_F(ExtentBlocksTest, ACleanTailCostsNoSync) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(kBlock, 'a') + "tail");
  Mount();
  const uint64_t before = device_.syncs();
  Write(inode, kBlock + 1000, "end");
  EXPECT_EQ(device_.syncs(), before);
}

TEST_F(ExtentBlocksTest, KeepsLargeDataOutsideTheStore) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(10 * kBlock, 'a') + "tail");
  EXPECT_EQ(device_.bytes().size(), 10 * kBlock + 4);
  Mount();
  EXPECT_EQ(Read(inode, 0, 20 * kBlock), std::string(10 * kBlock, 'a') + "tail");
  EXPECT_EQ(fs_->GetAttributes(context_, inode)->attributes.allocated_bytes, 11 * kBlock);
  ExpectClean();
}

TEST_F(ExtentBlocksTest, OverwritesInPlaceAndFillsGapsWithZeros) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(5000, 'a'));
  const size_t size = device_.bytes().size();
  Write(inode, 100, "bcd");
  EXPECT_EQ(device_.bytes().size(), size);
  Write(inode, 6000, "z");
  EXPECT_EQ(Read(inode, 0, 7000),
            std::string(100, 'a') + "bcd" + std::string(4897, 'a') + std::string(1000, '\0') + "z");
  ExpectClean();
}

TEST_F(ExtentBlocksTest, CutBytesDoNotReappearWhenTheFileGrows) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(3 * kBlock, 'a'));
  Truncate(inode, kBlock + 10);
  Truncate(inode, 3 * kBlock);
  EXPECT_EQ(Read(inode, 0, 4 * kBlock),
            std::string(kBlock + 10, 'a') + std::string(2 * kBlock - 10, '\0'));
  Write(inode, kBlock + 100, "b");
  EXPECT_EQ(Read(inode, kBlock + 10, 91), std::string(90, '\0') + "b");
  ExpectClean();
}

TEST_F(ExtentBlocksTest, ReleasedSlotsAreUsedAgainOnlyOnceDiscarded) {
  const InodeNumber old_inode = Create("old");
  Write(old_inode, 0, std::string(8 * kBlock, 'o'));
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "old").ok());
  const InodeNumber next = Create("next");
  Write(next, 0, std::string(2 * kBlock, 'n'));
  EXPECT_EQ(device_.bytes().size(), 10 * kBlock) << "a released slot was used before its time";
  Mount();
  EXPECT_TRUE(device_.bytes().substr(0, 8 * kBlock) == std::string(8 * kBlock, '\0'));
  const InodeNumber last = Create("last");
  Write(last, kBlock + 1, "x");
  EXPECT_LE(device_.bytes().size(), 10 * kBlock);
  EXPECT_TRUE(Read(last, 0, 2 * kBlock) == std::string(kBlock + 1, '\0') + "x");
  ExpectClean();
}

TEST_F(ExtentBlocksTest, WhatACrashLeftUnnamedIsDiscardedAtTheNextStart) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(2 * kBlock, 'a'));
  ASSERT_TRUE(device_.Write(5 * kBlock, "left by a transaction that never committed").ok());
  Mount();
  EXPECT_EQ(device_.bytes().size(), 2 * kBlock);
}

TEST_F(ExtentBlocksTest, MovedBytesAreInTheirTransaction) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, "in line");
  const uint64_t syncs = device_.syncs();
  Write(inode, kBlock, std::string(3 * DeferredWrites::kMaxBytes, 'b'));
  EXPECT_EQ(device_.syncs(), syncs);
  CrashAndLoseTheDataFile();
  EXPECT_EQ(Read(inode, 0, 7), "in line");
}

TEST_F(ExtentBlocksTest, BytesThatACutLeavesAreInItsTransaction) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(20 * kBlock, 'a'));
  Truncate(inode, 100);
  CrashAndLoseTheDataFile();
  EXPECT_TRUE(Read(inode, 0, kBlock) == std::string(100, 'a'));
}

TEST_F(ExtentBlocksTest, ASmallWriteIsDurableByTheStoreAlone) {
  const InodeNumber inode = Create("a");
  const uint64_t syncs = device_.syncs();
  Write(inode, 0, std::string(2 * kBlock, 'a'));
  Write(inode, 100, "over it");
  Write(inode, 3 * kBlock, "beyond a gap");
  ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_EQ(device_.syncs(), syncs);
  CrashAndLoseTheDataFile();
  EXPECT_TRUE(Read(inode, 0, 4 * kBlock) == std::string(100, 'a') + "over it" +
                                                std::string(2 * kBlock - 107, 'a') +
                                                std::string(kBlock, '\0') + "beyond a gap");
  EXPECT_EQ(deferred_count(), 0u);
  ExpectClean();
}

TEST_F(ExtentBlocksTest, AnOldDeferredWriteIsNotDoneAgainOverALaterOne) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(2 * kBlock, 'a'));
  ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_GT(deferred_count(), 0u);
  const std::string large(3 * DeferredWrites::kMaxBytes, 'b');
  Write(inode, 0, large);
  ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_EQ(deferred_count(), 0u);
  Crash();
  EXPECT_TRUE(Read(inode, 0, large.size()) == large);
}

TEST_F(ExtentBlocksTest, ADeferredWriteDoesNotReachTheSlotsNextBlock) {
  const InodeNumber old_inode = Create("old");
  Write(old_inode, 0, std::string(2 * kBlock, 'o'));
  ASSERT_TRUE(fs_->Fsync(context_, old_inode, false).ok());
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "old").ok());
  RunBackground();
  blocks_->RecordsSynced(*blocks_->SyncData());
  EXPECT_GT(deferred_count(), 0u);
  ASSERT_TRUE(blocks_->Recycle().ok());
  EXPECT_EQ(deferred_count(), 0u);
}

TEST_F(ExtentBlocksTest, ManySmallWritesThatAreSyncedSyncTheDataFileNowAndThen) {
  const InodeNumber inode = Create("a");
  const uint64_t syncs = device_.syncs();
  constexpr uint64_t kWrites = 3 * DeferredWrites::kMaxKeptBytes / kBlock;
  for (uint64_t i = 0; i < kWrites; ++i) {
    Write(inode, i * kBlock, std::string(kBlock, 'a'));
    ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  }
  EXPECT_GE(device_.syncs(), syncs + 2);
  EXPECT_LE(device_.syncs(), syncs + 4);
  EXPECT_LE(deferred_count(), DeferredWrites::kMaxKeptBytes / kBlock + 1);
}

TEST_F(ExtentBlocksTest, WhatCutsLeaveIsBoundedToo) {
  constexpr uint64_t kFiles = 2 * DeferredWrites::kMaxKeptBytes / kBlock;
  std::vector<InodeNumber> inodes;
  for (uint64_t i = 0; i < kFiles; ++i) {
    inodes.push_back(Create("f" + std::to_string(i)));
    Write(inodes.back(), 0, std::string(2 * kBlock, 'a'));
  }
  ASSERT_TRUE(fs_->Sync().ok());
  for (const InodeNumber inode : inodes) Truncate(inode, kBlock - 1);
  EXPECT_LE(deferred_count(), DeferredWrites::kMaxKeptBytes / kBlock + 1);
}

TEST_F(ExtentBlocksTest, SlotsAreNotLostWhereGivingThemBackFails) {
  const InodeNumber old_inode = Create("old");
  Write(old_inode, 0, std::string(2 * kBlock, 'o'));
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "old").ok());
  RunBackground();
  blocks_->RecordsSynced(*blocks_->SyncData());
  store_.fail_sync = true;
  EXPECT_FALSE(blocks_->Recycle().ok());
  store_.fail_sync = false;
  EXPECT_TRUE(blocks_->HasReleased());
  ASSERT_TRUE(blocks_->Recycle().ok());
  EXPECT_FALSE(blocks_->HasReleased());
}

TEST_F(ExtentBlocksTest, WhoSyncsSeldomWritesOnce) {
  const InodeNumber inode = Create("a");
  for (uint64_t i = 0; i < 1000; ++i) Write(inode, i * kBlock, std::string(kBlock, 'a'));
  EXPECT_LE(deferred_count(), DeferredWrites::kWindowBytes / kBlock);
}

TEST_F(ExtentBlocksTest, AnUnmountLeavesNothingDeferred) {
  Write(Create("a"), 0, std::string(2 * kBlock, 'a'));
  EXPECT_GT(deferred_count(), 0u);
  ASSERT_TRUE(fs_->Close().ok());
  EXPECT_EQ(deferred_count(), 0u);
}

TEST_F(ExtentBlocksTest, ACorruptDeferredWriteIsSkipped) {
  const Schema schema;
  auto txn = store_.Begin();
  ASSERT_TRUE((*txn)->Put(schema.Deferred(7), "garbage").ok());
  ASSERT_TRUE(
      (*txn)->Put(schema.Deferred(8), DeferredValue{uint64_t{1} << 60, "far"}.Encode()).ok());
  ASSERT_TRUE((*txn)->Commit().ok());
  const InodeNumber inode = Create("a");
  Mount();
  Write(inode, 0, std::string(2 * kBlock, 'a'));
  CrashAndLoseTheDataFile();
  EXPECT_TRUE(Read(inode, 0, 2 * kBlock) == std::string(2 * kBlock, 'a'));
  EXPECT_EQ(deferred_count(), 2u);
}

TEST_F(ExtentBlocksTest, FsyncSyncsDataOnceAndOnlyIfThereIsSome) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(20 * kBlock, 'a'));
  const uint64_t syncs = device_.syncs();
  ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_EQ(device_.syncs(), syncs + 1);
  ASSERT_TRUE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_EQ(device_.syncs(), syncs + 1);
}

TEST_F(ExtentBlocksTest, AFailedSyncIsNeverRetriedIntoSuccess) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(20 * kBlock, 'a'));
  device_.set_failing(true);
  EXPECT_FALSE(fs_->Fsync(context_, inode, false).ok());
  device_.set_failing(false);
  EXPECT_FALSE(fs_->Fsync(context_, inode, false).ok());
  EXPECT_EQ(fs_->Write(context_, inode, {}, 0, std::string(kBlock, 'b'), {}).error().code(),
            ErrorCode::kReadOnly);
}

TEST_F(ExtentBlocksTest, AFullDiskBelowIsAnErrorThatPasses) {
  const InodeNumber inode = Create("a");
  device_.set_full(true);
  EXPECT_EQ(fs_->Write(context_, inode, {}, 0, std::string(2 * kBlock, 'a'), {}).error().code(),
            ErrorCode::kNoSpace);
  EXPECT_EQ(fs_->GetAttributes(context_, inode)->attributes.size_bytes, 0u);
  device_.set_full(false);
  Write(inode, 0, std::string(2 * kBlock, 'b'));
  EXPECT_EQ(Read(inode, 0, 2 * kBlock), std::string(2 * kBlock, 'b'));
  ExpectClean();
}

TEST_F(ExtentBlocksTest, ManyClearedBlocksStayHolesAndReturn) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(600 * kBlock, 'a'));
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {.punch_hole = true}, kBlock, 500 * kBlock).ok());
  EXPECT_EQ(Read(inode, kBlock, kBlock), std::string(kBlock, '\0'));
  Write(inode, 100 * kBlock, "live");
  RunBackground();
  EXPECT_EQ(Read(inode, 100 * kBlock, 5), std::string("live\0", 5));
  EXPECT_EQ(fs_->GetAttributes(context_, inode)->attributes.allocated_bytes, 101 * kBlock);
  ExpectClean();
}

// Two blocks that name one slot, or a slot that cannot be, come only from corruption.
TEST_F(ExtentBlocksTest, ACorruptSlotIsAnErrorThatDoesNotSpread) {
  const InodeNumber a = Create("a");
  const InodeNumber b = Create("b");
  const InodeNumber c = Create("c");
  for (InodeNumber inode : {a, b, c}) Write(inode, 0, std::string(2 * kBlock, 'x'));
  const auto meta = store_.GetLatest(Schema().Meta());
  const Schema schema("", MetaRecord::Decode((*meta)->view())->hash_seed);
  auto txn = store_.Begin();
  const auto of_a = (*txn)->Get(schema.Block(a, {0}));
  std::string far;
  BlockValue::AppendHead(far, BlockEncoding::kExtent, 0);
  ExtentReference{ExtentReference::kMaxSlot, kBlock}.Append(far);
  ASSERT_TRUE((*txn)->Put(schema.Block(b, {0}), (*of_a)->view()).ok());
  ASSERT_TRUE((*txn)->Put(schema.Block(c, {0}), far).ok());
  ASSERT_TRUE((*txn)->Commit().ok());
  Mount();
  std::string out(2 * kBlock, '\0');
  for (InodeNumber inode : {a, b, c}) {
    EXPECT_EQ(fs_->Read(context_, inode, {}, 0, out).error().code(), ErrorCode::kCorrupt);
    EXPECT_EQ(fs_->Write(context_, inode, {}, 0, "y", {}).error().code(), ErrorCode::kCorrupt);
    EXPECT_TRUE(fs_->Read(context_, inode, {}, kBlock, out).ok());
  }
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_TRUE(fs_->Unlink(context_, kRootInode, name).ok());
  }
  ASSERT_TRUE(fs_->Sync().ok());
  ASSERT_TRUE(fs_->SetReadOnly(true).ok());  // recycles
  ExpectClean();
  Mount();
}

TEST_F(ExtentBlocksTest, AStrangeKeyAmongTheBlocksIsAnErrorAndNoHole) {
  const InodeNumber inode = Create("a");
  Write(inode, 0, std::string(3 * kBlock, 'a'));
  const auto txn = *store_.Begin();
  const Schema schema;
  ASSERT_TRUE(txn->Put(std::string(schema.Block(inode, {1}).view()) + "x", "stray").ok());
  ASSERT_TRUE(txn->Commit().ok());
  std::string bytes(3 * kBlock, 'x');
  EXPECT_EQ(fs_->Read(context_, inode, {}, 0, bytes).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(Read(inode, 0, kBlock), std::string(kBlock, 'a'));
}

TEST(SlotAllocatorTest, HandsOutRunsAndTakesThemBackInOrder) {
  SlotAllocator slots;
  EXPECT_EQ(slots.Take(4).count, 4u);
  const SlotRun second = slots.Take(2);
  EXPECT_EQ(second.first, 4u);
  slots.Release({1, 2});
  EXPECT_TRUE(slots.TakeDurable().empty()) << "its release is not durable";
  const uint64_t mark = slots.BeginSync();
  slots.Release({3});
  slots.RecordsDurable(mark);
  const std::vector<SlotRun> runs = slots.TakeDurable();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].first, 1u);
  EXPECT_EQ(runs[0].count, 2u);
  EXPECT_EQ(slots.Take(1).first, 6u);
  slots.Free(runs);
  EXPECT_EQ(slots.Take(8).first, 1u);
  EXPECT_TRUE(slots.HasReleased());
}

}  // namespace
}  // namespace tifs::fs
