#include "block/transfer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "block/mem_device.h"

namespace tifs::block {
namespace {

class TransferTest : public testing::Test {
 protected:
  const std::unique_ptr<MemDevice> device_ =
      MemDevice::Open({.size_bytes = 1 << 20, .identity = "mem:1MiB"}).value();
  std::string buffer_ = std::string(8192, 'x');
  IoRequest read_ = IoRequest::Read(4096, buffer_);
};

TEST_F(TransferTest, GoesOnAfterAShortTransferAtAWholeBlock) {
  Transfer transfer(*device_, read_);
  EXPECT_EQ(transfer.offset_bytes(), 4096u);
  EXPECT_EQ(transfer.size_bytes(), 8192u);
  EXPECT_FALSE(transfer.Advance(1000));
  EXPECT_EQ(transfer.offset_bytes(), 4096u + 512);
  EXPECT_EQ(transfer.buffer(), buffer_.data() + 512);
  EXPECT_EQ(transfer.size_bytes(), 8192u - 512);
  EXPECT_TRUE(transfer.Advance(8192 - 512));
  EXPECT_TRUE(read_.done);
  EXPECT_TRUE(read_.status.ok());
}

TEST_F(TransferTest, GoesOnAfterASignal) {
  Transfer transfer(*device_, read_);
  for (int i = 0; i < 10'000; ++i) ASSERT_FALSE(transfer.Advance(-EINTR));
  EXPECT_EQ(transfer.offset_bytes(), 4096u);
  EXPECT_TRUE(transfer.Advance(8192));
  EXPECT_TRUE(read_.status.ok());
}

TEST_F(TransferTest, GivesUpOnWhatNeverBecomesReady) {
  Transfer transfer(*device_, read_);
  int calls = 1;
  while (!transfer.Advance(-EAGAIN)) ASSERT_LT(++calls, 100'000);
  EXPECT_GT(calls, 10);
  EXPECT_EQ(read_.status.error().code(), ErrorCode::kIo);
}

TEST_F(TransferTest, AFileThatEndsEarlyIsAnError) {
  Transfer transfer(*device_, read_);
  EXPECT_FALSE(transfer.Advance(4096));
  EXPECT_TRUE(transfer.Advance(0));
  EXPECT_EQ(read_.status.error().code(), ErrorCode::kIo);
  EXPECT_EQ(read_.status.error().detail(),
            "mem:1MiB: read at offset 4096, length 8192: the device ends before");

  IoRequest again = IoRequest::Read(0, buffer_);
  Transfer less_than_a_block(*device_, again);
  EXPECT_TRUE(less_than_a_block.Advance(100));
  EXPECT_EQ(again.status.error().code(), ErrorCode::kIo);
}

TEST_F(TransferTest, SaysWhatTheSystemSaid) {
  const auto code_of = [&](int error_number) {
    IoRequest write = IoRequest::Write(512, buffer_);
    Transfer transfer(*device_, write);
    EXPECT_TRUE(transfer.Advance(-error_number));
    EXPECT_TRUE(write.done);
    EXPECT_NE(write.status.error().detail().find("write at offset 512, length 8192"),
              std::string_view::npos);
    return write.status.error().code();
  };
  EXPECT_EQ(code_of(EIO), ErrorCode::kIo);
  EXPECT_EQ(code_of(ENOSPC), ErrorCode::kNoSpace);
  EXPECT_EQ(code_of(ENOMEM), ErrorCode::kNoMemory);
  EXPECT_EQ(code_of(EOPNOTSUPP), ErrorCode::kNotSupported);
  EXPECT_EQ(code_of(ENODATA), ErrorCode::kIo) << "how Linux reports a bad sector";
}

TEST_F(TransferTest, CutsWhatIsLargerThanTheLargestTransfer) {
  const auto large = MemDevice::Open({.size_bytes = uint64_t{4} << 30});
  ASSERT_TRUE(large.ok());
  IoRequest request{.kind = IoKind::kRead, .size_bytes = (uint64_t{1} << 30) + 4096};
  Transfer transfer(**large, request);
  EXPECT_EQ(transfer.size_bytes(), uint64_t{1} << 30);
  EXPECT_FALSE(transfer.Advance(int64_t{1} << 30));
  EXPECT_EQ(transfer.size_bytes(), 4096u);
  EXPECT_TRUE(transfer.Advance(4096));
}

}  // namespace
}  // namespace tifs::block
