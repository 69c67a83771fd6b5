#include "sim/sim_block_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "block/dma_buffer.h"
#include "sim/power_cut_disk.h"

namespace tifs::sim {
namespace {

using block::Durability;
using block::IoKind;
using block::IoQueue;
using block::IoRequest;

constexpr uint32_t kBlock = 512;

// Blocks of the device, a letter a block: "ab.." is two written blocks and two of zeros.
class SimBlockDeviceTest : public testing::Test {
 protected:
  static SimDeviceOptions Small() { return {.size_bytes = 8 * kBlock, .record = true}; }

  static block::DmaBuffer Blocks(const std::string& letters) {
    auto buffer = block::DmaBuffer::Allocate(letters.size() * kBlock, kBlock);
    CHECK(buffer.ok());
    for (size_t i = 0; i < letters.size(); ++i) {
      std::memset(buffer->data() + i * kBlock, letters[i], kBlock);
    }
    return *std::move(buffer);
  }
  static Status Write(SimBlockDevice& device, uint64_t block, const std::string& letters,
                      Durability durability = Durability::kOnFlush) {
    const block::DmaBuffer data = Blocks(letters);
    return device.Write(block * kBlock, data.bytes(), durability);
  }
  static std::string Letters(const DiskImage& image) {
    std::string letters;
    for (uint64_t offset = 0; offset < image.size_bytes(); offset += kBlock) {
      std::string bytes(kBlock, 'x');
      image.Read(offset, bytes);
      const bool even = bytes == std::string(kBlock, bytes[0]);
      letters += !even ? '?' : bytes[0] == 0 ? '.' : bytes[0] == '\xdb' ? '~' : bytes[0];
    }
    return letters;
  }
  static std::set<std::string> AllWrites(const WriteCache& cache) {
    std::set<std::string> found;
    for (uint64_t mask = 0; mask < uint64_t{1} << cache.writes(); ++mask) {
      found.insert(Letters(cache.KeepWrites(mask)));
    }
    return found;
  }
  static std::set<std::string> AllUnits(const WriteCache& cache) {
    std::set<std::string> found;
    for (uint64_t mask = 0; mask < uint64_t{1} << cache.units(); ++mask) {
      found.insert(Letters(cache.KeepUnits(mask)));
    }
    return found;
  }
};

TEST_F(SimBlockDeviceTest, AnySubsetOfUnflushedWritesSurvives) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "a").ok());
  ASSERT_TRUE(device.Flush().ok());
  ASSERT_TRUE(Write(device, 1, "bb").ok());
  ASSERT_TRUE(Write(device, 0, "c").ok());
  const WriteCache cache = device.Cache();
  EXPECT_EQ(AllWrites(cache),
            (std::set<std::string>{"a.......", "abb.....", "c.......", "cbb....."}));
  EXPECT_EQ(cache.units(), 3u);
  EXPECT_TRUE(AllUnits(cache).contains("ab......")) << "torn between its blocks";
  EXPECT_TRUE(AllUnits(cache).contains("c.b....."));
  EXPECT_FALSE(AllUnits(cache).contains("?.......")) << "never within one";
}

TEST_F(SimBlockDeviceTest, NeverTearsTheAtomicUnit) {
  SimDeviceOptions options = Small();
  options.atomic_write_bytes = 2 * kBlock;
  SimBlockDevice device(options);
  ASSERT_TRUE(Write(device, 1, "aaa").ok());
  EXPECT_EQ(AllUnits(device.Cache()),
            (std::set<std::string>{"........", ".a......", "..aa....", ".aaa...."}));
}

TEST_F(SimBlockDeviceTest, TheLastOfOverlappingWritesThatSurviveCounts) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "a").ok());
  ASSERT_TRUE(Write(device, 0, "b").ok());
  EXPECT_EQ(AllWrites(device.Cache()), (std::set<std::string>{"........", "a.......", "b......."}));
}

TEST_F(SimBlockDeviceTest, WhatIsWrittenThroughStaysAndIsNotOvertakenByOlderWrites) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "aaa").ok());
  ASSERT_TRUE(Write(device, 1, "b", Durability::kThrough).ok());
  EXPECT_EQ(AllWrites(device.Cache()), (std::set<std::string>{".b......", "aba....."}));
  ASSERT_TRUE(device.Flush().ok());
  EXPECT_EQ(Letters(device.Cache().durable()), "aba.....");
}

TEST_F(SimBlockDeviceTest, ADiscardIsUnflushedAsAWriteIs) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "aa").ok());
  ASSERT_TRUE(device.Flush().ok());
  ASSERT_TRUE(device.Discard(0, kBlock).ok());
  EXPECT_EQ(Letters(device.Contents()), "~a......");
  EXPECT_EQ(AllWrites(device.Cache()), (std::set<std::string>{"aa......", "~a......"}));
}

TEST_F(SimBlockDeviceTest, CutsAtEveryCallWithTheCallUnderWay) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "a").ok());
  ASSERT_TRUE(device.Flush().ok());
  ASSERT_TRUE(Write(device, 1, "b", Durability::kThrough).ok());
  const DeviceLog log = device.Log();
  std::vector<std::set<std::string>> found;
  for (CutSequence cuts(log); cuts.has_cut(); cuts.Next()) found.push_back(AllWrites(cuts.cache()));
  EXPECT_EQ(found, (std::vector<std::set<std::string>>{{"........", "a......."},
                                                       {"........", "a......."},
                                                       {"a.......", "ab......"},
                                                       {"ab......"}}));
}

TEST_F(SimBlockDeviceTest, GoesOnWithWhatSurvivedByItsSeed) {
  std::set<std::string> found;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    std::string twice;
    for (int again = 0; again < 2; ++again) {
      SimBlockDevice device(Small());
      ASSERT_TRUE(Write(device, 0, "a", Durability::kThrough).ok());
      ASSERT_TRUE(Write(device, 1, "b").ok());
      ASSERT_TRUE(Write(device, 2, "cc").ok());
      device.power().CutAfter(1);
      EXPECT_EQ(device.Flush().error().code(), ErrorCode::kIo);
      block::DmaBuffer buffer = Blocks(".");
      EXPECT_EQ(device.Read(0, buffer.bytes()).error().code(), ErrorCode::kIo);
      Random random(seed);
      device.power().TurnOn(random);
      ASSERT_TRUE(device.Read(0, buffer.bytes()).ok());
      twice += Letters(device.Contents());
      EXPECT_EQ(Letters(device.Contents()), Letters(device.Cache().durable()));
      EXPECT_TRUE(device.Log().calls.empty());
    }
    EXPECT_EQ(twice.substr(0, 8), twice.substr(8)) << "seed " << seed;
    EXPECT_EQ(twice[0], 'a');
    found.insert(twice.substr(0, 8));
  }
  EXPECT_EQ(found.size(), 8u) << "all subsets of three blocks";
}

TEST_F(SimBlockDeviceTest, AWriteThatMeetsTheCutMaySurvive) {
  std::set<std::string> found;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimBlockDevice device(Small());
    device.power().CutAfter(1);
    EXPECT_FALSE(Write(device, 0, "a", Durability::kThrough).ok());
    EXPECT_FALSE(Write(device, 1, "b").ok());
    Random random(seed);
    device.power().TurnOn(random);
    found.insert(Letters(device.Contents()));
  }
  EXPECT_EQ(found, (std::set<std::string>{"........", "a......."}));
}

TEST_F(SimBlockDeviceTest, LosesPowerTogetherWithAFileSystem) {
  PowerSupply power;
  SimBlockDevice device(Small(), power);
  PowerCutDisk disk(power);
  auto file = disk.Open("/f", {.create = true});
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("one").ok());
  power.CutAfter(3);
  ASSERT_TRUE(Write(device, 0, "a").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_FALSE(device.Flush().ok()) << "the third call";
  EXPECT_FALSE((*file)->Append("two").ok());
  EXPECT_TRUE(disk.IsOff());
  Random random(1);
  disk.PowerOn(random);
  EXPECT_TRUE(Write(device, 0, "b").ok());
  EXPECT_TRUE(disk.Open("/g", {.create = true}).ok());
}

TEST_F(SimBlockDeviceTest, AFlushCoversNothingThatIsInFlightWithIt) {
  SimBlockDevice device(Small());
  const block::DmaBuffer data = Blocks("ab");
  std::vector<IoRequest> batch;
  batch.push_back(IoRequest::Write(0, data.bytes().first(kBlock)));
  batch.push_back(IoRequest::Write(kBlock, data.bytes().last(kBlock)));
  batch.push_back(IoRequest::Flush());
  ASSERT_TRUE(device.Run(batch).ok());
  EXPECT_EQ(Letters(device.Contents()), "ab......");
  EXPECT_EQ(Letters(device.Cache().durable()), "........");

  auto queue = device.OpenQueue(4);
  ASSERT_TRUE(queue.ok());
  IoRequest* started[] = {&batch[0], &batch[2]};
  ASSERT_EQ((*queue)->Submit(started), 2u);
  EXPECT_EQ(device.Cache().writes(), 0u) << "what was done before is flushed, the rest not begun";
  IoRequest* done[4];
  size_t count = 0;
  while ((*queue)->in_flight() > 0) count += (*queue)->Poll(1, done);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(device.Cache().writes(), 1u);
}

TEST_F(SimBlockDeviceTest, DoesWhatIsInFlightInAnyOrder) {
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SimDeviceOptions options = Small();
    options.seed = seed;
    SimBlockDevice device(options);
    const block::DmaBuffer data = Blocks("abc");
    std::vector<IoRequest> batch;
    for (uint64_t i = 0; i < 3; ++i) {
      batch.push_back(IoRequest::Write(i * kBlock, data.bytes().subspan(i * kBlock, kBlock)));
    }
    ASSERT_TRUE(device.Run(batch).ok());
    std::string order;
    for (const LoggedCall& call : device.Log().calls) order += (*call.patch.data)[0];
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST_F(SimBlockDeviceTest, FailsTheCallsThatThePlanMeets) {
  SimBlockDevice device(Small());
  device.Inject({.kind = IoKind::kWrite, .skip = 1, .count = 2});
  device.Inject({.kind = IoKind::kRead, .begin_bytes = kBlock, .end_bytes = 2 * kBlock});
  std::string outcomes;
  for (int i = 0; i < 4; ++i) outcomes += Write(device, 4, "a").ok() ? '.' : 'E';
  EXPECT_EQ(outcomes, ".EE.");
  block::DmaBuffer buffer = Blocks("xx");
  EXPECT_TRUE(device.Read(2 * kBlock, buffer.bytes()).ok());
  EXPECT_EQ(device.Read(0, buffer.bytes()).error().code(), ErrorCode::kIo);
  EXPECT_TRUE(device.Read(0, buffer.bytes()).ok());
}

TEST_F(SimBlockDeviceTest, AFailedWriteMayHappenInPart) {
  std::set<std::string> found;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDeviceOptions options = Small();
    options.seed = seed;
    SimBlockDevice device(options);
    device.Inject({.kind = IoKind::kWrite});
    EXPECT_FALSE(Write(device, 0, "ab").ok());
    found.insert(Letters(device.Contents()));
    EXPECT_EQ(AllUnits(device.Cache()).size(), 4u);
  }
  EXPECT_EQ(found, (std::set<std::string>{"........", "a.......", ".b......", "ab......"}));
}

TEST_F(SimBlockDeviceTest, AFailedFlushCanLoseWritesForGood) {
  std::set<std::string> durable;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDeviceOptions options = Small();
    options.seed = seed;
    SimBlockDevice device(options);
    ASSERT_TRUE(Write(device, 0, "a").ok());
    ASSERT_TRUE(Write(device, 1, "b").ok());
    device.Inject({.kind = IoKind::kFlush});
    EXPECT_FALSE(device.Flush().ok());
    EXPECT_TRUE(device.Flush().ok()) << "and nobody is told again";
    EXPECT_EQ(Letters(device.Contents()), "ab......");
    durable.insert(Letters(device.Cache().durable()));
  }
  EXPECT_EQ(durable, (std::set<std::string>{"........", "a.......", ".b......", "ab......"}));
}

TEST_F(SimBlockDeviceTest, AFailedFlushNeverLetsAnOlderWriteOvertake) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDeviceOptions options = Small();
    options.seed = seed;
    SimBlockDevice device(options);
    ASSERT_TRUE(Write(device, 0, "a").ok());
    ASSERT_TRUE(Write(device, 0, "b").ok());
    device.Inject({.kind = IoKind::kFlush});
    EXPECT_FALSE(device.Flush().ok());
    const bool has_newer = Letters(device.Cache().durable())[0] == 'b';
    EXPECT_TRUE(device.Flush().ok());
    if (has_newer) {
      EXPECT_EQ(Letters(device.Cache().durable())[0], 'b') << "seed " << seed;
    }
  }
}

TEST_F(SimBlockDeviceTest, LosesMisdirectsAndSpoilsWrites) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "aaaa").ok());
  device.Inject({.kind = IoKind::kWrite, .fault = DeviceFault::kLost});
  ASSERT_TRUE(Write(device, 0, "b").ok());
  EXPECT_EQ(Letters(device.Contents()), "aaaa....");

  device.Inject(
      {.kind = IoKind::kWrite, .fault = DeviceFault::kMisdirected, .shift_bytes = 4 * kBlock});
  ASSERT_TRUE(Write(device, 1, "c").ok());
  EXPECT_EQ(Letters(device.Contents()), "aaaa.c..");

  device.Inject({.kind = IoKind::kWrite, .fault = DeviceFault::kFlipped});
  ASSERT_TRUE(Write(device, 2, "d").ok());
  EXPECT_EQ(Letters(device.Contents()), "aa?a.c..");
  device.Inject({.kind = IoKind::kFlush, .fault = DeviceFault::kLost});
  ASSERT_TRUE(device.Flush().ok());
  EXPECT_EQ(Letters(device.Cache().durable()), "........");
}

TEST_F(SimBlockDeviceTest, ReadsStaleAndSpoiledBytes) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "a").ok());
  ASSERT_TRUE(device.Flush().ok());
  ASSERT_TRUE(Write(device, 0, "b").ok());
  block::DmaBuffer buffer = Blocks("x");
  device.Inject({.kind = IoKind::kRead, .fault = DeviceFault::kStale});
  ASSERT_TRUE(device.Read(0, buffer.bytes()).ok());
  EXPECT_EQ(std::string(buffer.data(), kBlock), std::string(kBlock, 'a'));

  device.Inject({.kind = IoKind::kRead, .fault = DeviceFault::kFlipped});
  ASSERT_TRUE(device.Read(0, buffer.bytes()).ok());
  int flipped_bits = 0;
  for (char byte : buffer.bytes()) flipped_bits += __builtin_popcount(byte ^ 'b');
  EXPECT_EQ(flipped_bits, 1);
  ASSERT_TRUE(device.Read(0, buffer.bytes()).ok());
  EXPECT_EQ(std::string(buffer.data(), kBlock), std::string(kBlock, 'b'));
}

TEST_F(SimBlockDeviceTest, FlipsABitAtRestForGood) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 0, "a").ok());
  device.FlipBit(7, 3);
  EXPECT_EQ(Letters(device.Contents())[0], '?');
  ASSERT_TRUE(device.Flush().ok());
  EXPECT_EQ(Letters(device.Cache().durable())[0], '?');
  ASSERT_TRUE(Write(device, 0, "b").ok());
  EXPECT_EQ(Letters(device.Contents())[0], 'b');
}

TEST_F(SimBlockDeviceTest, OpensWhatAnotherOneLeft) {
  SimBlockDevice device(Small());
  ASSERT_TRUE(Write(device, 3, "a").ok());
  SimBlockDevice next(Small(), device.Cache().KeepWrites(1));
  EXPECT_EQ(next.size_bytes(), 8u * kBlock);
  ASSERT_TRUE(Write(next, 0, "b").ok());
  EXPECT_EQ(Letters(next.Contents()), "b..a....");
  EXPECT_EQ(Letters(device.Contents()), "...a....") << "images share, and do not mix";
}

TEST(DiskImageTest, WorksAcrossChunksAndForgetsWhatIsCutOff) {
  DiskImage image(100'000);
  std::string data(70'000, 'a');
  image.Write(20'000, data);
  DiskImage copy = image;
  EXPECT_TRUE(copy == image);
  copy.Fill(30'000, 40'000, 0);
  EXPECT_FALSE(copy == image);
  std::string found(100'000, 'x');
  copy.Read(0, found);
  std::string expected(100'000, '\0');
  expected.replace(20'000, 10'000, 10'000, 'a').replace(70'000, 20'000, 20'000, 'a');
  EXPECT_TRUE(found == expected);
  image.Resize(50'000);
  image.Resize(100'000);
  image.Read(0, found);
  expected.assign(100'000, '\0').replace(20'000, 30'000, 30'000, 'a');
  EXPECT_TRUE(found == expected);
}

}  // namespace
}  // namespace tifs::sim
