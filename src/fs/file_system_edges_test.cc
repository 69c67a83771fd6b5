// What lies at the edges of FileSystem: times of the future, huge reservations, hostile input,
// corrupt neighbours, a mount that becomes read-only.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/file_system.h"
#include "fs/record_store.h"
#include "fs/schema.h"
#include "kv/mem_kv.h"

namespace tifs::fs {
namespace {

constexpr uint32_t kBlock = 4096;

// Does something once, right before a transaction commits.
class InterruptedStore : public kv::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<kv::Transaction>> Begin() override {
    return std::make_unique<Interrupted>(TRY(base().Begin()), *this);
  }
  void set_before_commit(std::function<void()> action) { before_commit_ = std::move(action); }

 private:
  class Interrupted : public kv::ForwardingTransaction {
   public:
    Interrupted(std::unique_ptr<Transaction> base, InterruptedStore& store)
        : ForwardingTransaction(std::move(base)), store_(store) {}
    Status Commit() override {
      if (auto action = std::exchange(store_.before_commit_, {})) action();
      return base().Commit();
    }

   private:
    InterruptedStore& store_;
  };

  std::function<void()> before_commit_;
};

class FileSystemEdgesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Format(store_, clock_, {.block_size_bytes = kBlock}).ok());
    Mount({.background_thread = false});
  }

  void Mount(const FileSystemOptions& options) {
    fs_.reset();
    auto opened = FileSystem::Open(interrupted_, clock_, options);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    fs_ = *std::move(opened);
    schema_.emplace("", Meta().hash_seed);
  }

  MetaRecord Meta() {
    const auto value = store_.GetLatest(Schema().Meta());
    return *MetaRecord::Decode((*value)->view());
  }

  InodeNumber Create(std::string_view name) {
    const auto created = fs_->Create(context_, kRootInode, name, 0644, {});
    EXPECT_TRUE(created.ok());
    EXPECT_TRUE(fs_->Release(created->entry.attributes.inode, created->file.handle).ok());
    return created->entry.attributes.inode;
  }

  Attributes Stat(InodeNumber inode) {
    const auto entry = fs_->GetAttributes(context_, inode);
    EXPECT_TRUE(entry.ok()) << entry.error().ToString();
    return entry.ok() ? entry->attributes : Attributes();
  }

  Status SetSize(InodeNumber inode, uint64_t size_bytes) {
    AttributeChanges changes;
    changes.size_bytes = size_bytes;
    const auto changed = fs_->SetAttributes(context_, inode, changes);
    if (!changed) return changed.error().Clone();
    return {};
  }

  void Damage(std::string_view key, std::string_view value) {
    auto txn = store_.Begin();
    ASSERT_TRUE((*txn)->Put(key, value).ok());
    ASSERT_TRUE((*txn)->Commit().ok());
  }

  template <typename T>
  static std::optional<ErrorCode> CodeOf(const Result<T>& result) {
    if (result) return std::nullopt;
    return result.error().code();
  }

  kv::MemKv store_;
  InterruptedStore interrupted_{store_};
  ManualClock clock_;
  const OpContext context_;
  std::optional<Schema> schema_;
  std::unique_ptr<FileSystem> fs_;
};

TEST_F(FileSystemEdgesTest, ANewEntryMovesADirectorysTimeBackFromTheFuture) {
  const Timespec future{clock_.RealTime().seconds + 1'000'000, 0};
  AttributeChanges changes;
  changes.mtime = TimeUpdate{.now = false, .time = future};
  ASSERT_TRUE(fs_->SetAttributes(context_, kRootInode, changes).ok());
  EXPECT_EQ(Stat(kRootInode).mtime, future);
  Create("a");
  EXPECT_EQ(Stat(kRootInode).mtime, clock_.RealTime());
  ASSERT_TRUE(fs_->SetAttributes(context_, kRootInode, changes).ok());
  EXPECT_EQ(Stat(kRootInode).mtime, future);
}

TEST_F(FileSystemEdgesTest, ReservingMoreThanThereIsFailsAtOnceAndTakesNothing) {
  const InodeNumber inode = Create("a");
  for (uint64_t length : {uint64_t{1} << 40, kMaxFileBytes}) {
    EXPECT_EQ(CodeOf(fs_->Allocate(context_, inode, {}, {}, 0, length)), ErrorCode::kNoSpace);
    EXPECT_EQ(Stat(inode).allocated_bytes, 0u);
    EXPECT_EQ(Stat(inode).size_bytes, 0u);
  }
  // What it has already needs no more room.
  constexpr uint64_t kHalf = uint64_t{300} << 30;
  const uint64_t before = fs_->transaction_metrics().started.value();
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {}, 0, kHalf).ok());
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {}, 0, kHalf).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, kHalf);
  ASSERT_TRUE(SetSize(inode, 0).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, 0u);
  EXPECT_LT(fs_->transaction_metrics().started.value(), before + 40)
      << "what is absent is to cost nothing";
}

TEST_F(FileSystemEdgesTest, GrowingKeepsWhatWasReservedAndCuttingGivesItUp) {
  const InodeNumber inode = Create("a");
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {.keep_size = true}, 0, 10 * kBlock).ok());
  ASSERT_TRUE(SetSize(inode, kBlock).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, 10 * kBlock);
  ASSERT_TRUE(SetSize(inode, kBlock).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, kBlock);
}

TEST_F(FileSystemEdgesTest, GivesUpReservationsAroundPresentBlocksInSteps) {
  const InodeNumber inode = Create("a");
  constexpr uint64_t kBlocks = 5000;  // more than one transaction looks at
  for (uint64_t i = 0; i < kBlocks; i += 200) {
    ASSERT_TRUE(
        fs_->Write(context_, inode, {}, i * kBlock, std::string(200 * kBlock, 'x'), {}).ok());
  }
  ASSERT_TRUE(fs_->Allocate(context_, inode, {}, {}, 0, 2 * kBlocks * kBlock).ok());
  EXPECT_EQ(Stat(inode).allocated_bytes, 2 * kBlocks * kBlock);
  ASSERT_TRUE(
      fs_->Allocate(context_, inode, {}, {.punch_hole = true}, 0, 2 * kBlocks * kBlock).ok());
  while (*fs_->RunBackgroundStep()) {
  }
  EXPECT_EQ(Stat(inode).allocated_bytes, 0u);
}

// A limit of this release (docs/LIMITS.md): what a user can keep in them ends at what can be
// listed.
TEST_F(FileSystemEdgesTest, AttributesCostNothingOfTheCapacityAndAreBoundedByTheirNames) {
  const InodeNumber inode = Create("a");
  const uint64_t before = fs_->Info()->used_bytes;
  const std::string value(kMaxXattrValueBytes, 'v');
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(
        fs_->SetXattr(context_, inode, "user." + std::to_string(i), value, XattrFlag::kAny).ok());
  }
  EXPECT_EQ(fs_->Info()->used_bytes, before);
  EXPECT_EQ(Stat(inode).allocated_bytes, 0u);
  Status last;
  size_t names = 0;
  for (; last.ok() && names < kMaxXattrListBytes; ++names) {
    const std::string name = "user." + std::string(240, 'n') + std::to_string(names);
    last = fs_->SetXattr(context_, inode, name, "", XattrFlag::kAny);
  }
  EXPECT_EQ(CodeOf(last), ErrorCode::kNoSpace);
  EXPECT_LT(names, kMaxXattrListBytes / 240);
}

TEST_F(FileSystemEdgesTest, ACorruptInodeIsListedByItsName) {
  const InodeNumber bad = Create("bad");
  Create("good");
  const auto dir = fs_->Mkdir(context_, kRootInode, "dir", 0755);
  Damage(schema_->Inode(bad), "\x07junk");
  Damage(schema_->Stripe(dir->attributes.inode, 0), "\x07junk");
  std::vector<std::string> plain, with_attributes;
  const auto take = [&](const DirectoryEntry& entry) {
    (entry.entry != nullptr ? with_attributes : plain).emplace_back(entry.name);
    return true;
  };
  const Status listed = fs_->ReadDirectory(context_, kRootInode, 0, 0, true, take);
  ASSERT_TRUE(listed.ok()) << listed.error().ToString();
  std::ranges::sort(plain);
  EXPECT_EQ(plain, (std::vector<std::string>{"bad", "dir"}));
  EXPECT_EQ(with_attributes, (std::vector<std::string>{".", "..", "good"}));
  EXPECT_EQ(CodeOf(fs_->Lookup(context_, kRootInode, "bad")), ErrorCode::kCorrupt);
}

TEST_F(FileSystemEdgesTest, AHostilePositionInADirectoryIsItsEnd) {
  Create("a");
  for (uint64_t cookie : {uint64_t{1} << 63, UINT64_MAX}) {
    size_t seen = 0;
    ASSERT_TRUE(fs_->ReadDirectory(context_, kRootInode, cookie, 0, false,
                                   [&](const auto&) {
                                     ++seen;
                                     return true;
                                   })
                    .ok());
    EXPECT_EQ(seen, 0u);
  }
}

TEST_F(FileSystemEdgesTest, RefusesTypesAndTimesThatAreNone) {
  EXPECT_EQ(CodeOf(fs_->Mknod(context_, kRootInode, "a", S_IFMT | 0644, 0)), ErrorCode::kInvalid);
  AttributeChanges changes;
  changes.mtime = TimeUpdate{.now = false, .time = {1, 1'000'000'000}};
  EXPECT_EQ(CodeOf(fs_->SetAttributes(context_, kRootInode, changes)), ErrorCode::kInvalid);
  EXPECT_TRUE(fs_->GetAttributes(context_, kRootInode).ok());
}

TEST_F(FileSystemEdgesTest, AsManyAttributesAsCanBeListedAndNoMore) {
  const InodeNumber inode = Create("a");
  size_t list_bytes = 0;
  Status set;
  for (int i = 0; set.ok(); ++i) {
    ASSERT_LE(list_bytes, kMaxXattrListBytes);
    std::string name = "user." + std::to_string(i);
    name.resize(kMaxXattrNameBytes, 'x');
    set = fs_->SetXattr(context_, inode, name, "v", XattrFlag::kAny);
    if (set.ok()) list_bytes += name.size() + 1;
  }
  EXPECT_EQ(set.error().code(), ErrorCode::kNoSpace);
  const auto list = fs_->ListXattrs(context_, inode);
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->size(), list_bytes);
}

TEST_F(FileSystemEdgesTest, BecomingReadOnlyCountsUsageExactlyAndBack) {
  const InodeNumber inode = Create("a");
  ASSERT_TRUE(fs_->Write(context_, inode, {}, 0, std::string(4 * kBlock, 'x'), {}).ok());
  const auto usage = [&] {
    const auto value = store_.GetLatest(schema_->Usage());
    return *UsageRecord::Decode((*value)->view());
  };
  EXPECT_FALSE(usage().exact);
  ASSERT_TRUE(fs_->SetReadOnly(true).ok());
  EXPECT_TRUE(usage().exact);
  EXPECT_EQ(usage().bytes, 4 * kBlock);
  EXPECT_EQ(CodeOf(fs_->Unlink(context_, kRootInode, "a")), ErrorCode::kReadOnly);
  ASSERT_TRUE(fs_->SetReadOnly(false).ok());
  EXPECT_FALSE(usage().exact) << "a crash from here on must not believe it";
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "a").ok());
}

TEST_F(FileSystemEdgesTest, AReadsTimeIsSeenWhetherOrNotItIsStored) {
  Mount({.atime_mode = AtimeMode::kStrictatime, .background_thread = false});
  const InodeNumber inode = Create("a");
  ASSERT_TRUE(fs_->Write(context_, inode, {}, 0, "x", {}).ok());
  clock_.Advance(std::chrono::hours(1));
  char byte;
  ASSERT_TRUE(fs_->Read(context_, inode, {}, 0, {&byte, 1}).ok());
  const Timespec read_at = clock_.RealTime();
  EXPECT_EQ(Stat(inode).atime, read_at);
  Mount({.background_thread = false});
  EXPECT_EQ(Stat(inode).atime, read_at);
}

TEST_F(FileSystemEdgesTest, AnAccessTimeThatIsSetOutranksAReadBeforeIt) {
  Mount({.atime_mode = AtimeMode::kStrictatime, .background_thread = false});
  const InodeNumber inode = Create("a");
  ASSERT_TRUE(fs_->Write(context_, inode, {}, 0, "x", {}).ok());
  clock_.Advance(std::chrono::hours(1));
  char byte;
  ASSERT_TRUE(fs_->Read(context_, inode, {}, 0, {&byte, 1}).ok());
  const Timespec read_at = clock_.RealTime();
  AttributeChanges changes;
  changes.atime = TimeUpdate{.now = false, .time = {12345, 0}};
  interrupted_.set_before_commit([&] {
    EXPECT_EQ(Stat(inode).atime, read_at) << "it is seen while it is being stored";
    EXPECT_TRUE(fs_->SetAttributes(context_, inode, changes).ok());
  });
  ASSERT_TRUE(fs_->SetReadOnly(true).ok());  // stores what reads have moved
  EXPECT_EQ(Stat(inode).atime, (Timespec{12345, 0}));
}

TEST_F(FileSystemEdgesTest, AnUnlinkedFileCanBeOpenedAnewWhileItIsOpen) {
  const auto file = fs_->Create(context_, kRootInode, "a", 0644, {});
  const InodeNumber inode = file->entry.attributes.inode;
  ASSERT_TRUE(fs_->Write(context_, inode, {}, 0, "here", {}).ok());
  ASSERT_TRUE(fs_->Unlink(context_, kRootInode, "a").ok());
  const auto again = fs_->Open(context_, inode, {.read = true});
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  ASSERT_TRUE(fs_->Release(inode, file->file.handle).ok());
  while (*fs_->RunBackgroundStep()) {
  }
  std::string out(4, '\0');
  EXPECT_TRUE(fs_->Read(context_, inode, {}, 0, out).ok());
  EXPECT_EQ(out, "here");
  ASSERT_TRUE(fs_->Release(inode, again->handle).ok());
  EXPECT_EQ(CodeOf(fs_->Open(context_, inode, {.read = true})), ErrorCode::kStale);
  while (*fs_->RunBackgroundStep()) {
  }
  EXPECT_EQ(CodeOf(fs_->GetAttributes(context_, inode)), ErrorCode::kStale);
}

TEST_F(FileSystemEdgesTest, AbsurdRangesAndCountsAreCorrupt) {
  InodeRecord inode;
  inode.mode = S_IFREG | 0644;
  for (const std::vector<BlockRange>& ranges :
       std::vector<std::vector<BlockRange>>{{{{0}, {UINT64_MAX}}},
                                            {{{5}, {5}}},
                                            {{{6}, {5}}},
                                            {{{0}, {5}}, {{5}, {9}}},
                                            {{{8}, {9}}, {{1}, {2}}}}) {
    inode.preallocated = ranges;
    EXPECT_EQ(CodeOf(InodeRecord::Decode({7}, inode.Encode())), ErrorCode::kCorrupt);
  }
  EXPECT_EQ(CodeOf(UsageRecord::Decode(UsageRecord{UINT64_MAX, 1, true}.Encode())),
            ErrorCode::kCorrupt);
  MetaRecord meta = Meta();
  meta.capacity_bytes = UINT64_MAX;
  EXPECT_EQ(CodeOf(MetaRecord::Decode(meta.Encode())), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace tifs::fs
