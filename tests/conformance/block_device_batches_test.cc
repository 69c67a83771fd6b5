// Many requests at once: Run, and queues.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/conformance/block_device_conformance.h"

namespace tifs::block {
namespace {

constexpr uint64_t kSize = DeviceUnderTest::kSizeBytes;

TEST_P(BlockDeviceConformance, RunsABatchOfAnySize) {
  for (uint64_t i = 0; i < 512; ++i) {
    const DmaBuffer data = Filled(1, i);
    ASSERT_TRUE(device().Write(i * block(), data.bytes()).ok());
  }
  for (uint64_t count : {1, 2, 3, 63, 64, 65, 500}) {
    std::vector<DmaBuffer> buffers;
    std::vector<IoRequest> requests;
    for (uint64_t i = 0; i < count; ++i) {
      buffers.push_back(Blank(1));
      requests.push_back(IoRequest::Read((i * 37 % 512) * block(), buffers.back().bytes()));
      requests.back().tag = i;
    }
    ASSERT_TRUE(device().Run(requests).ok());
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(requests[i].done);
      EXPECT_EQ(requests[i].tag, i);
      EXPECT_TRUE(Same(buffers[i], Filled(1, i * 37 % 512))) << i << " of " << count;
    }
  }
}

TEST_P(BlockDeviceConformance, RunsAllKindsTogether) {
  const DmaBuffer data = Filled(64, 1);
  std::vector<DmaBuffer> buffers;
  std::vector<IoRequest> requests;
  for (uint64_t i = 0; i < 64; ++i) {
    const auto piece = data.bytes().subspan(i * block(), block());
    const auto durability = i % 8 == 0 ? Durability::kThrough : Durability::kOnFlush;
    requests.push_back(IoRequest::Write((100 + i) * block(), piece, durability));
    buffers.push_back(Blank(1));
    requests.push_back(IoRequest::Read((500 + i) * block(), buffers.back().bytes()));
    if (i % 16 == 3) requests.push_back(IoRequest::Flush());
    if (i % 16 == 5 && device().geometry().has_discard) {
      requests.push_back(IoRequest::Discard((1000 + i) * block(), block()));
    }
  }
  ASSERT_TRUE(device().Run(requests).ok());
  DmaBuffer found = Blank(64);
  ASSERT_TRUE(device().Read(100 * block(), found.bytes()).ok());
  EXPECT_TRUE(Same(found, data));
}

TEST_P(BlockDeviceConformance, ABatchTransfersMoreThanTheLargestTransfer) {
  const uint64_t most = device().geometry().max_transfer_bytes;
  (void)medium().Resize(2 * kSize);
  ASSERT_TRUE(device().RefreshSize().ok());
  const uint64_t blocks = most / block() + 1;
  if ((blocks + 1) * block() > device().size_bytes()) GTEST_SKIP() << "the device is smaller";
  const DmaBuffer written = Filled(blocks + 1, 3);
  ASSERT_TRUE(device().Write(0, written.bytes()).ok());
  DmaBuffer first = Blank(blocks);
  DmaBuffer second = Blank(blocks);
  IoRequest reads[] = {IoRequest::Read(0, first.bytes()), IoRequest::Read(block(), second.bytes())};
  ASSERT_TRUE(device().Run(reads).ok());
  const std::string_view all(written.data(), written.size());
  EXPECT_TRUE(all.substr(0, first.size()) == std::string_view(first.data(), first.size()));
  EXPECT_TRUE(all.substr(block()) == std::string_view(second.data(), second.size()));
}

TEST_P(BlockDeviceConformance, AWrongRequestFailsAloneInItsBatch) {
  const DmaBuffer data = Filled(1, 1);
  DmaBuffer found = Blank(1);
  std::vector<IoRequest> requests;
  requests.push_back(IoRequest::Write(0, data.bytes()));
  requests.push_back(IoRequest::Read(kSize, found.bytes()));
  requests.push_back(IoRequest::Read(block() / 2, found.bytes()));
  requests.push_back(IoRequest::Write(4 * block(), data.bytes()));
  EXPECT_EQ(device().Run(requests).error().code(), ErrorCode::kInvalid);
  EXPECT_TRUE(requests[0].status.ok());
  EXPECT_EQ(requests[1].status.error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(requests[2].status.error().code(), ErrorCode::kInvalid);
  EXPECT_TRUE(requests[3].status.ok());
  for (uint64_t offset : {uint64_t{0}, 4 * block()}) {
    ASSERT_TRUE(device().Read(offset, found.bytes()).ok());
    EXPECT_TRUE(Same(found, data));
  }
  // A request may be used again, and forgets how it ended.
  requests[1].offset_bytes = 4 * block();
  requests[2].offset_bytes = 0;
  EXPECT_TRUE(device().Run(requests).ok());
}

TEST_P(BlockDeviceConformance, AMediumThatShrankUnseenFailsThoseBeyondIt) {
  if (device().backend() == "memory" || !medium().Resize(kSize / 2)) {
    GTEST_SKIP() << "its medium cannot shrink";
  }
  std::vector<DmaBuffer> buffers;
  std::vector<IoRequest> requests;
  for (uint64_t i = 0; i < 8; ++i) {
    buffers.push_back(Blank(2));
    requests.push_back(IoRequest::Read(i * kSize / 8, buffers.back().bytes()));
  }
  EXPECT_FALSE(device().Run(requests).ok());
  for (uint64_t i = 0; i < 8; ++i) EXPECT_EQ(requests[i].status.ok(), i < 4) << i;
}

TEST_P(BlockDeviceConformance, BatchesOfManyThreadsDoNotMeet) {
  constexpr uint64_t kThreads = 6;
  const uint64_t share = kSize / kThreads / block();
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t round = 1; round <= 12; ++round) {
        const DmaBuffer data = Filled(80, t * 1000 + round);
        DmaBuffer found = Blank(80);
        std::vector<IoRequest> writes;
        std::vector<IoRequest> reads;
        for (uint64_t i = 0; i < 80; ++i) {
          const uint64_t offset = (t * share + i * 7 % share) * block();
          writes.push_back(IoRequest::Write(offset, data.bytes().subspan(i * block(), block())));
          reads.push_back(IoRequest::Read(offset, found.bytes().subspan(i * block(), block())));
        }
        ASSERT_TRUE(device().Run(writes).ok());
        ASSERT_TRUE(device().Run(reads).ok());
        ASSERT_TRUE(Same(data, found));
      }
    });
  }
}

TEST_P(BlockDeviceConformance, AQueueKeepsItsDepthAndLosesNothing) {
  for (uint32_t depth : {1, 3, 64}) {
    auto opened = device().OpenQueue(depth);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    IoQueue& queue = **opened;
    EXPECT_EQ(queue.depth(), depth);
    EXPECT_EQ(queue.in_flight(), 0u);
    const DmaBuffer data = Filled(200, depth);
    std::vector<IoRequest> requests;
    std::vector<IoRequest*> pointers;
    for (uint64_t i = 0; i < 200; ++i) {
      requests.push_back(IoRequest::Write(i * block(), data.bytes().subspan(i * block(), block())));
      requests.back().tag = i;
    }
    for (IoRequest& request : requests) pointers.push_back(&request);
    std::set<uint64_t> seen;
    std::span<IoRequest* const> rest = pointers;
    std::vector<IoRequest*> done(depth);
    while (!rest.empty() || queue.in_flight() > 0) {
      const size_t before = queue.in_flight();
      const size_t taken = queue.Submit(rest);
      EXPECT_EQ(taken, std::min<size_t>(rest.size(), depth - before));
      EXPECT_EQ(queue.in_flight(), before + taken);
      rest = rest.subspan(taken);
      const size_t count = queue.Poll(1, done);
      ASSERT_GE(count, 1u);
      for (IoRequest* request : std::span(done).first(count)) {
        EXPECT_TRUE(request->done);
        EXPECT_TRUE(request->status.ok());
        EXPECT_TRUE(seen.insert(request->tag).second) << "twice";
      }
    }
    EXPECT_EQ(seen.size(), 200u);
    DmaBuffer found = Blank(200);
    ASSERT_TRUE(device().Read(0, found.bytes()).ok());
    EXPECT_TRUE(Same(found, data));
  }
}

TEST_P(BlockDeviceConformance, AQueueGivesWrongRequestsBackWithTheirErrors) {
  auto queue = device().OpenQueue(4);
  ASSERT_TRUE(queue.ok());
  DmaBuffer found = Blank(1);
  IoRequest wrong = IoRequest::Read(kSize, found.bytes());
  IoRequest right = IoRequest::Read(0, found.bytes());
  IoRequest* both[] = {&wrong, &right};
  ASSERT_EQ((*queue)->Submit(both), 2u);
  IoRequest* done[4];
  size_t count = 0;
  while ((*queue)->in_flight() > 0) count += (*queue)->Poll((*queue)->in_flight(), done);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(wrong.status.error().code(), ErrorCode::kInvalid);
  EXPECT_TRUE(right.status.ok());
}

TEST_P(BlockDeviceConformance, PollingAnIdleQueueReturnsAtOnce) {
  auto queue = device().OpenQueue(4);
  ASSERT_TRUE(queue.ok());
  IoRequest* done[4];
  EXPECT_EQ((*queue)->Poll(0, done), 0u);
  EXPECT_EQ((*queue)->Poll(4, done), 0u);
}

TEST_P(BlockDeviceConformance, AQueueFinishesWhatItHasBeforeItEnds) {
  const DmaBuffer data = Filled(32, 9);
  std::vector<IoRequest> requests;
  std::vector<IoRequest*> pointers;
  for (uint64_t i = 0; i < 32; ++i) {
    requests.push_back(IoRequest::Write(i * block(), data.bytes().subspan(i * block(), block())));
  }
  for (IoRequest& request : requests) pointers.push_back(&request);
  {
    auto queue = device().OpenQueue(32);
    ASSERT_TRUE(queue.ok());
    ASSERT_EQ((*queue)->Submit(pointers), 32u);
  }
  for (const IoRequest& request : requests) EXPECT_TRUE(request.done);
  DmaBuffer found = Blank(32);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  EXPECT_TRUE(Same(found, data));
}

TEST_P(BlockDeviceConformance, HasNoQueuesOfAbsurdDepth) {
  EXPECT_EQ(device().OpenQueue(0).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().OpenQueue(4097).error().code(), ErrorCode::kInvalid);
  EXPECT_TRUE(device().OpenQueue(4096).ok());
}

TEST_P(BlockDeviceConformance, ThreadsThatComeAndGoLeaveNothing) {
  DmaBuffer data = Filled(2, 1);
  for (int i = 0; i < 50; ++i) {
    std::jthread([&] {
      IoRequest requests[] = {IoRequest::Write(0, data.bytes().first(block())),
                              IoRequest::Write(block(), data.bytes().last(block()))};
      EXPECT_TRUE(device().Run(requests).ok());
    }).join();
  }
  DmaBuffer found = Blank(2);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  EXPECT_TRUE(Same(found, data));
}

}  // namespace
}  // namespace tifs::block
