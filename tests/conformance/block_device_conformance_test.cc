// Blocking calls: what every device does with one request.

#include "tests/conformance/block_device_conformance.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"

namespace tifs::block {
namespace {

constexpr uint64_t kSize = DeviceUnderTest::kSizeBytes;

TEST_P(BlockDeviceConformance, HasASensibleGeometry) {
  const Geometry& geometry = device().geometry();
  EXPECT_TRUE(std::has_single_bit(geometry.block_bytes));
  EXPECT_GE(geometry.block_bytes, 512u);
  EXPECT_LE(geometry.block_bytes, 65536u);
  EXPECT_GE(geometry.atomic_write_bytes, geometry.block_bytes);
  EXPECT_GE(geometry.max_transfer_bytes, 65536u);
  EXPECT_EQ(device().size_bytes(), kSize);
  EXPECT_FALSE(device().identity().empty());
  EXPECT_FALSE(device().backend().empty());
  EXPECT_FALSE(device().read_only());
}

TEST_P(BlockDeviceConformance, ReadsZerosWhereNobodyWrote) { EXPECT_TRUE(IsZero(0, kSize)); }

TEST_P(BlockDeviceConformance, ReadsWhatItWrote) {
  const uint64_t counts[] = {1, 2, 7, 128, 3 * (1 << 20) / block()};
  for (uint64_t blocks : counts) {
    for (uint64_t first : {uint64_t{0}, uint64_t{5}, kSize / block() - blocks}) {
      const DmaBuffer written = Filled(blocks, blocks * 1000 + first);
      ASSERT_TRUE(device().Write(first * block(), written.bytes()).ok());
      DmaBuffer found = Blank(blocks);
      ASSERT_TRUE(device().Read(first * block(), found.bytes()).ok());
      EXPECT_TRUE(Same(written, found)) << blocks << " blocks at block " << first;
    }
  }
}

TEST_P(BlockDeviceConformance, WritesNothingBesides) {
  const DmaBuffer around = Filled(16, 1);
  ASSERT_TRUE(device().Write(0, around.bytes()).ok());
  const DmaBuffer middle = Filled(4, 2);
  ASSERT_TRUE(device().Write(6 * block(), middle.bytes()).ok());
  DmaBuffer found = Blank(16);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  const std::string_view before(around.data(), around.size());
  const std::string_view after(found.data(), found.size());
  EXPECT_EQ(after.substr(0, 6 * block()), before.substr(0, 6 * block()));
  EXPECT_EQ(after.substr(10 * block()), before.substr(10 * block()));
  EXPECT_EQ(after.substr(6 * block(), 4 * block()), std::string_view(middle.data(), middle.size()));
}

TEST_P(BlockDeviceConformance, TransfersMoreThanTheLargestTransfer) {
  const uint64_t most = device().geometry().max_transfer_bytes;
  if (most + block() > kSize && !medium().Resize(2 * kSize)) {
    GTEST_SKIP() << "its largest transfer is larger than the device";
  }
  ASSERT_TRUE(device().RefreshSize().ok());
  if (most + block() > device().size_bytes()) GTEST_SKIP() << "the device is smaller than that";
  const DmaBuffer written = Filled(most / block() + 1, 3);
  ASSERT_TRUE(device().Write(0, written.bytes()).ok());
  DmaBuffer found = Blank(most / block() + 1);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  EXPECT_TRUE(Same(written, found));
}

TEST_P(BlockDeviceConformance, RefusesWhatIsNotInWholeBlocks) {
  DmaBuffer buffer = Blank(4);
  const auto bytes = buffer.bytes();
  EXPECT_EQ(device().Read(1, bytes).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().Read(block() / 2, bytes).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().Read(0, bytes.first(block() - 1)).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().Write(0, bytes.first(block() + 1)).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().Write(block() + 1, bytes).error().code(), ErrorCode::kInvalid);
  if (device().geometry().has_discard) {
    EXPECT_EQ(device().Discard(1, block()).error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(device().Discard(0, block() / 2).error().code(), ErrorCode::kInvalid);
  }
  EXPECT_TRUE(IsZero(0, 16 * block()));
}

TEST_P(BlockDeviceConformance, RefusesBuffersThatAreNotAligned) {
  const uint32_t alignment = device().geometry().buffer_alignment_bytes;
  if (alignment == 1) GTEST_SKIP() << "takes any buffer";
  DmaBuffer buffer = Blank(3);
  const auto off = buffer.bytes().subspan(alignment / 2, block());
  EXPECT_EQ(device().Read(0, off).error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(device().Write(0, off).error().code(), ErrorCode::kInvalid);
  // And the least alignment that it asks for is enough.
  const auto least = buffer.bytes().subspan(alignment, block());
  EXPECT_TRUE(device().Write(0, least).ok());
  EXPECT_TRUE(device().Read(0, least).ok());
}

TEST_P(BlockDeviceConformance, RefusesWhatIsBeyondTheEnd) {
  DmaBuffer buffer = Blank(2);
  EXPECT_TRUE(device().Read(kSize - 2 * block(), buffer.bytes()).ok());
  for (uint64_t offset : {kSize - block(), kSize, kSize + block(), uint64_t{0} - block(),
                          uint64_t{0} - 2 * block()}) {
    EXPECT_EQ(device().Read(offset, buffer.bytes()).error().code(), ErrorCode::kInvalid) << offset;
    EXPECT_EQ(device().Write(offset, buffer.bytes()).error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(device().Discard(offset, 2 * block()).error().code(), ErrorCode::kInvalid);
  }
  // Offset and length together are nothing again.
  EXPECT_EQ(device().Discard(block(), uint64_t{0} - block()).error().code(), ErrorCode::kInvalid);
}

TEST_P(BlockDeviceConformance, ErrorsNameDeviceOffsetAndLength) {
  DmaBuffer buffer = Blank(2);
  const Status status = device().Read(kSize, buffer.bytes());
  ASSERT_FALSE(status.ok());
  const std::string_view detail = status.error().detail();
  EXPECT_NE(detail.find(device().identity()), std::string_view::npos) << detail;
  EXPECT_NE(detail.find(std::to_string(kSize)), std::string_view::npos) << detail;
  EXPECT_NE(detail.find(std::to_string(2 * block())), std::string_view::npos) << detail;
}

TEST_P(BlockDeviceConformance, TakesRequestsOfNothing) {
  EXPECT_TRUE(device().Read(0, {}).ok());
  EXPECT_TRUE(device().Write(kSize, {}).ok());
  EXPECT_EQ(device().Discard(block(), 0).ok(), device().geometry().has_discard);
  EXPECT_TRUE(device().Run({}).ok());
}

TEST_P(BlockDeviceConformance, FlushesAndWritesThrough) {
  const DmaBuffer written = Filled(8, 4);
  ASSERT_TRUE(device().Write(0, written.bytes(), Durability::kThrough).ok());
  ASSERT_TRUE(device().Flush().ok());
  ASSERT_TRUE(device().Write(8 * block(), written.bytes()).ok());
  ASSERT_TRUE(device().Flush().ok());
  ASSERT_TRUE(device().Flush().ok()) << "also when there is nothing to flush";
  DmaBuffer found = Blank(8);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  EXPECT_TRUE(Same(written, found));
}

TEST_P(BlockDeviceConformance, DiscardsAndNothingBesides) {
  if (!device().geometry().has_discard) {
    EXPECT_EQ(device().Discard(0, block()).error().code(), ErrorCode::kNotSupported);
    return;
  }
  const uint64_t blocks = (1 << 20) / block();
  const DmaBuffer written = Filled(blocks, 5);
  ASSERT_TRUE(device().Write(0, written.bytes()).ok());
  const uint64_t begin = blocks / 4 + 1;
  const uint64_t end = blocks / 2 + 3;
  ASSERT_TRUE(device().Discard(begin * block(), (end - begin) * block()).ok());
  DmaBuffer found = Blank(blocks);
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  const std::string_view before(written.data(), written.size());
  const std::string_view after(found.data(), found.size());
  EXPECT_TRUE(after.substr(0, begin * block()) == before.substr(0, begin * block()));
  EXPECT_TRUE(after.substr(end * block()) == before.substr(end * block()));
  if (device().geometry().discard_reads_zeros) {
    EXPECT_TRUE(IsZero(begin * block(), (end - begin) * block()));
  }
  ASSERT_TRUE(device().Write(0, written.bytes()).ok());
  ASSERT_TRUE(device().Read(0, found.bytes()).ok());
  EXPECT_TRUE(Same(written, found)) << "and takes writes there again";
}

TEST_P(BlockDeviceConformance, SizeFollowsTheMediumWhenAsked) {
  if (!medium().Resize(2 * kSize)) GTEST_SKIP() << "its medium cannot grow";
  EXPECT_EQ(device().size_bytes(), kSize) << "not by itself";
  const auto larger = device().RefreshSize();
  ASSERT_TRUE(larger.ok()) << larger.error().ToString();
  EXPECT_EQ(larger.value(), 2 * kSize);
  EXPECT_EQ(device().size_bytes(), 2 * kSize);
  const DmaBuffer written = Filled(4, 6);
  ASSERT_TRUE(device().Write(2 * kSize - 4 * block(), written.bytes()).ok());
  DmaBuffer found = Blank(4);
  ASSERT_TRUE(device().Read(2 * kSize - 4 * block(), found.bytes()).ok());
  EXPECT_TRUE(Same(written, found));

  ASSERT_TRUE(medium().Resize(kSize));
  ASSERT_TRUE(device().RefreshSize().ok());
  EXPECT_EQ(device().Read(kSize, found.bytes()).error().code(), ErrorCode::kInvalid);
}

TEST_P(BlockDeviceConformance, AMediumThatShrankUnseenIsAnError) {
  if (!medium().Resize(kSize / 2)) GTEST_SKIP() << "its medium cannot shrink";
  if (device().backend() == "memory") GTEST_SKIP() << "memory stays mapped until its end";
  DmaBuffer found = Blank(4);
  EXPECT_EQ(device().Read(kSize - 4 * block(), found.bytes()).error().code(), ErrorCode::kIo);
}

TEST_P(BlockDeviceConformance, AReaderCannotChangeAnything) {
  Reopen({.read_only = true});
  EXPECT_TRUE(device().read_only());
  const DmaBuffer data = Filled(1, 7);
  EXPECT_EQ(device().Write(0, data.bytes()).error().code(), ErrorCode::kReadOnly);
  EXPECT_EQ(device().Discard(0, block()).error().code(), ErrorCode::kReadOnly);
  EXPECT_TRUE(device().Flush().ok());
  EXPECT_TRUE(IsZero(0, 4 * block()));
}

TEST_P(BlockDeviceConformance, ServesManyThreadsAtOnce) {
  constexpr uint64_t kThreads = 8;
  const uint64_t share = kSize / kThreads;
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<uint64_t> seeds(share / (4 * block()));
      for (int i = 0; i < 150; ++i) {
        const uint64_t place = random.Below(seeds.size());
        const uint64_t offset = t * share + place * 4 * block();
        if (random.OneIn(2) || seeds[place] == 0) {
          seeds[place] = random.Next() | 1;
          const DmaBuffer data = Filled(4, seeds[place]);
          ASSERT_TRUE(device().Write(offset, data.bytes()).ok());
          if (random.OneIn(20)) {
            ASSERT_TRUE(device().Flush().ok());
          }
        } else {
          DmaBuffer found = Blank(4);
          ASSERT_TRUE(device().Read(offset, found.bytes()).ok());
          ASSERT_TRUE(Same(found, Filled(4, seeds[place])));
        }
      }
    });
  }
}

}  // namespace
}  // namespace tifs::block
