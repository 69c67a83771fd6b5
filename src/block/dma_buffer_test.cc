#include "block/dma_buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace tifs::block {
namespace {

TEST(DmaBufferTest, LiesWhereItIsAskedTo) {
  for (size_t alignment : {1, 512, 4096, 65536}) {
    const auto buffer = DmaBuffer::Allocate(1000, alignment);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.value().data()) % alignment, 0u);
    EXPECT_EQ(buffer.value().size(), 1000u);
  }
}

TEST(DmaBufferTest, SaysThatMemoryIsOut) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's heap ends the process instead";
#endif
  const auto buffer = DmaBuffer::Allocate(size_t{1} << 62, 4096);
  EXPECT_EQ(buffer.error().code(), ErrorCode::kNoMemory);
}

TEST(DmaBufferTest, IsFreedOnce) {
  static int freed = 0;
  char bytes[2];
  const auto free = [](char*, size_t) { ++freed; };
  {
    DmaBuffer first(bytes, 1, free);
    DmaBuffer second(bytes + 1, 1, free);
    DmaBuffer moved = std::move(first);
    EXPECT_EQ(freed, 0);
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): what a move leaves
    moved = std::move(second);
    EXPECT_EQ(freed, 1);
    EXPECT_EQ(moved.data(), bytes + 1);
  }
  EXPECT_EQ(freed, 2);
}

}  // namespace
}  // namespace tifs::block
