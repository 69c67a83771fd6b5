#include "volume/journal.h"

#include <gtest/gtest.h>

#include <thread>

#include "volume/journal_reader.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    block::MemDeviceOptions options;
    options.size_bytes = 4 << 20;
    disk_ = std::move(block::MemDevice::Open(options)).value();
    device_ = std::make_unique<TestDisk>(*disk_, faults_);
    guarded_ = std::make_unique<GuardedDevice>(*device_, nullptr);
    superblock_ = {.uuid = {5}, .extent_unit_bytes = 64 << 10};
    EXPECT_TRUE(LayOut(superblock_, 4 << 20, 0, 0).ok());
  }

  // A record of about `bytes`.
  static Record Some(uint64_t inode, size_t bytes = 100) {
    return FileRecord{.inode = inode, .size_bytes = bytes, .tail = std::string(bytes, 't')};
  }
  void Append(Journal& journal, const Record& record) {
    ASSERT_TRUE(journal.TryReserve());
    JournalRoom room(journal);
    journal.Append(record);
  }
  std::vector<uint64_t> Replay(uint64_t position, uint64_t& next_sequence) {
    JournalReader reader(*disk_, superblock_);
    const JournalEnd end = reader.FindEnd(position, superblock_.generation).value();
    EXPECT_FALSE(end.lost.has_value());
    EXPECT_TRUE(end.single.empty());
    next_sequence = end.next_sequence;
    std::vector<uint64_t> inodes;
    const Status replayed = reader.Replay(position, end, [&](const Record& record) -> Status {
      inodes.push_back(std::get<FileRecord>(record).inode);
      return {};
    });
    EXPECT_TRUE(replayed.ok());
    return inodes;
  }

  std::unique_ptr<block::MemDevice> disk_;
  TestDisk::Faults faults_;
  std::unique_ptr<TestDisk> device_;
  std::unique_ptr<GuardedDevice> guarded_;
  Superblock superblock_;
};

TEST_F(JournalTest, CommittedRecordsAreReplayedInOrder) {
  Journal journal(*guarded_, superblock_, {});
  std::vector<uint64_t> wanted;
  uint64_t end = 0;
  for (uint64_t i = 1; i <= 20; ++i) {
    Append(journal, Some(i, 50 * i));
    if (i % 3 == 0) {
      ASSERT_TRUE(journal.Commit(i).ok());
    }
    if (i <= 18) wanted.push_back(i);
  }
  EXPECT_EQ(journal.durable_number(), 18u);
  EXPECT_EQ(Replay(1, end), wanted);
  EXPECT_EQ(end, 1 + journal.blocks());
}

TEST_F(JournalTest, ARingThatIsFullWaitsForACheckpoint) {
  Journal journal(*guarded_, superblock_, {});
  uint64_t number = 0;
  while (journal.TryReserve()) {
    JournalRoom room(journal);
    number = journal.Append(Some(number + 1, 4'000));
    ASSERT_TRUE(journal.Commit(number).ok());
    ASSERT_LE(journal.next_sequence() - 1, superblock_.journal_blocks);
  }
  EXPECT_TRUE(journal.WantsCheckpoint());
  EXPECT_FALSE(journal.WaitForRoom());
  // A checkpoint in the middle: from there on all is kept, and goes around.
  const uint64_t position = journal.next_sequence() - 10;
  journal.Release(position);
  journal.CheckpointBegan(position);
  uint64_t added = 0;
  for (; journal.TryReserve(); ++added) {
    JournalRoom room(journal);
    number = journal.Append(Some(number + 1, 4'000));
    ASSERT_TRUE(journal.Commit(number).ok());
  }
  EXPECT_GT(added, 3u);
  uint64_t end = 0;
  EXPECT_EQ(Replay(position, end).back(), number);
}

TEST_F(JournalTest, ReservedRoomIsThere) {
  Journal journal(*guarded_, superblock_, {});
  uint64_t reserved = 0;
  while (journal.TryReserve()) ++reserved;
  EXPECT_GE(reserved, 5u);
  for (uint64_t i = 1; i <= reserved; ++i) {
    journal.Append(Some(i, 4'096));
    ASSERT_TRUE(journal.Commit(i).ok());  // each on its own: the most blocks
    journal.Unreserve();
  }
}

TEST_F(JournalTest, ALongBatchIsWhole) {
  Journal journal(*guarded_, superblock_, {});
  for (uint64_t i = 1; i <= 6; ++i) Append(journal, Some(i, 4'000));
  ASSERT_TRUE(journal.Commit(6).ok());
  uint64_t end = 0;
  EXPECT_EQ(Replay(1, end).size(), 6u);
  // Without one of its blocks none of it counts.
  std::string zeros(kBlockBytes, '\0');
  for (const uint64_t offset : superblock_.journal_offsets) {
    ASSERT_TRUE(disk_->Write(offset + 3 * kBlockBytes, zeros).ok());
  }
  EXPECT_EQ(Replay(1, end).size(), 0u);
  EXPECT_EQ(end, 1u);
}

TEST_F(JournalTest, ThreadsShareCommits) {
  Journal journal(*guarded_, superblock_, {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(journal.TryReserve());
        const uint64_t number = journal.Append(Some(1, 10));
        ASSERT_TRUE(journal.Commit(number).ok());
        ASSERT_GE(journal.durable_number(), number);
        journal.Unreserve();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(journal.records(), 20u);
  EXPECT_LE(journal.commits(), 20u);
  uint64_t end = 0;
  EXPECT_EQ(Replay(1, end).size(), 20u);
}

TEST_F(JournalTest, AFailedCommitFailsAllThatFollow) {
  Journal journal(*guarded_, superblock_, {});
  Append(journal, Some(1));
  faults_.writes = true;
  EXPECT_EQ(CodeOf(journal.Commit(1)), ErrorCode::kIo);
  faults_.writes = false;
  Append(journal, Some(2));
  EXPECT_EQ(CodeOf(journal.Commit(2)), ErrorCode::kReadOnly);
  EXPECT_EQ(journal.durable_number(), 0u);
}

// --- the end of the journal, from headers alone ---

class JournalEndTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlocks = 32;

  JournalEndTest() {
    for (auto& copy : seen_) copy.resize(kBlocks);
  }
  void Put(uint64_t sequence, uint64_t generation, uint64_t durable_below, const char* place = "fl",
           int copies = 3) {
    const std::string_view flags(place);
    for (int copy = 0; copy < 2; ++copy) {
      if ((copies & (1 << copy)) == 0) continue;
      seen_[copy][sequence % kBlocks] = {.sequence = sequence,
                                         .generation = generation,
                                         .durable_below = durable_below,
                                         .first = flags.find('f') != flags.npos,
                                         .last = flags.find('l') != flags.npos};
    }
  }

  JournalEnd End(uint64_t position, uint64_t generation) {
    return FindJournalEnd(seen_, {position, generation, from_sequence_, from_generation_});
  }

  SeenJournal seen_;
  uint64_t from_sequence_ = 40;
  uint64_t from_generation_ = 2;
};

TEST_F(JournalEndTest, ATornBatchIsTheEnd) {
  Put(40, 2, 40);
  Put(41, 2, 41, "f");
  Put(43, 2, 41, "l");
  const JournalEnd end = End(40, 1);
  EXPECT_EQ(end.next_sequence, 41u);
  EXPECT_FALSE(end.lost.has_value());
  EXPECT_EQ(end.bad_copies, 0u);
}

TEST_F(JournalEndTest, AGapThatWasDurableIsDamage) {
  Put(40, 2, 40);
  Put(42, 2, 42);
  Put(43, 2, 43);
  const JournalEnd end = End(40, 1);
  EXPECT_EQ(end.lost, 41u);
  EXPECT_EQ(end.blocks_behind, 2u);
}

// The torn batch of a crash, of which a later generation wrote over the beginning.
TEST_F(JournalEndTest, LeftoversOfAnEarlierGenerationDoNotConnect) {
  from_sequence_ = 41;
  from_generation_ = 3;
  Put(40, 2, 40);
  Put(41, 3, 41);
  Put(42, 2, 41, "");
  Put(43, 2, 41, "l");
  EXPECT_EQ(End(40, 1).next_sequence, 42u);
  // Both were torn, and what is left of them looks like one.
  Put(41, 2, 41, "f");
  Put(43, 3, 41, "l");
  EXPECT_EQ(End(40, 1).next_sequence, 41u);
  // Also if nothing says where the later generation began.
  from_sequence_ = 1;
  from_generation_ = 2;
  EXPECT_EQ(End(40, 1).next_sequence, 41u);
}

// The later generation's write was torn as well, and where it arrived it says the same (zeros
// behind the payload): the earlier, torn batch is whole by now.
TEST_F(JournalEndTest, ATornBatchThatBecameWholeDoesNotCount) {
  from_sequence_ = 41;
  from_generation_ = 3;
  Put(40, 2, 40);
  Put(41, 2, 41);
  const JournalEnd end = End(40, 1);
  EXPECT_EQ(end.next_sequence, 41u);
  EXPECT_FALSE(end.lost.has_value());
}

TEST_F(JournalEndTest, WhatTheLastOpeningReadMustBeThere) {
  from_sequence_ = 42;
  from_generation_ = 3;
  Put(40, 2, 40);
  EXPECT_EQ(End(40, 1).lost, 41u);
}

TEST_F(JournalEndTest, TheLaterGenerationOfTwoCopiesCounts) {
  from_sequence_ = 41;
  from_generation_ = 4;
  Put(40, 2, 40, "f", 1);
  Put(40, 3, 40, "fl", 2);
  const JournalEnd end = End(40, 1);
  EXPECT_EQ(end.next_sequence, 41u);
  EXPECT_EQ(end.copy, std::vector<uint8_t>{1});
  EXPECT_EQ(end.single, std::vector<uint64_t>{40});
  EXPECT_EQ(end.bad_copies, 1u);
}

TEST_F(JournalEndTest, ABadCopyIsCounted) {
  Put(40, 2, 40, "fl", 1);
  Put(41, 2, 41, "fl", 2);
  Put(42, 2, 42);
  const JournalEnd end = End(40, 1);
  EXPECT_EQ(end.next_sequence, 43u);
  EXPECT_EQ(end.bad_copies, 2u);
  EXPECT_EQ(end.copy, (std::vector<uint8_t>{0, 1, 0}));
}

TEST_F(JournalEndTest, OlderLapsAreNoEndAndNoDamage) {
  for (uint64_t sequence = 10; sequence < 40; ++sequence) Put(sequence, 1, sequence);
  Put(40, 2, 40);
  const JournalEnd end = End(40, 2);
  EXPECT_EQ(end.next_sequence, 41u);
  EXPECT_FALSE(end.lost.has_value());
  // A whole ring, and not more.
  for (uint64_t sequence = 40; sequence < 40 + kBlocks; ++sequence) Put(sequence, 2, sequence);
  EXPECT_EQ(End(40, 2).next_sequence, 40 + kBlocks);
}

}  // namespace
}  // namespace tifs::volume
