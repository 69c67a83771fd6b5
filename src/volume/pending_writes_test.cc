#include "volume/pending_writes.h"

#include <gtest/gtest.h>

#include <future>

#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

constexpr size_t kBuffer = 16 << 10;

// Files of a volume whose appended bytes are written by threads of its own.
class PendingWritesTest : public VolumeTest {
 protected:
  PendingWritesTest() {
    options_.transfer_threads = 8;  // as many as a test has buffers: none is left to its caller
    options_.write_buffer_bytes = kBuffer;
  }
  ~PendingWritesTest() override { Release(); }

  void Hold() { faults_.hold_writes = true; }
  void Release() {
    faults_.hold_writes = false;
    faults_.hold_writes.notify_all();
  }
};

TEST_F(PendingWritesTest, AppendingGoesOnWhileTheDiskWrites) {
  auto file = Create("f");
  Hold();
  const std::string bytes = Pattern(2 * kBuffer + 100, 1);
  ASSERT_TRUE(file->Append(bytes).ok());
  auto read = std::async(std::launch::async, [&] { return Read(*file); });
  Release();
  EXPECT_EQ(read.get(), bytes);
  ASSERT_TRUE(file->Sync().ok());
  Kill();
  EXPECT_EQ(Read("f"), bytes);
}

TEST_F(PendingWritesTest, MoreThanTheThreadsTakeIsWrittenByTheCaller) {
  const std::string bytes = Pattern(40 * kBuffer + 7, 2);
  Write("f", bytes);
  Kill();
  EXPECT_EQ(Read("f"), bytes);
}

TEST_F(PendingWritesTest, ALateFailureIsAnsweredBySync) {
  auto file = Create("f");
  ASSERT_TRUE(file->Append(Pattern(100, 1)).ok());
  ASSERT_TRUE(file->Sync().ok());
  Hold();
  const std::string bytes = Pattern(2 * kBuffer, 3);
  ASSERT_TRUE(file->Append(bytes).ok());
  faults_.writes = true;
  Release();
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(volume_->Latched());
  // Not even what is there of it can be told from what was there before.
  std::string out(100, '?');
  EXPECT_FALSE(file->ReadAt(0, out).ok());
  EXPECT_FALSE(file->Append("more").ok());
  EXPECT_FALSE(file->Close().ok());
}

TEST_F(PendingWritesTest, WhatWasLostIsNeverReadable) {
  // So that the extents have somebody else's bytes.
  Write("old", std::string(8 * kBuffer, 'x'));
  ASSERT_TRUE(root_->Unlink("old").ok());
  ASSERT_TRUE(volume_->Sync().ok());
  auto file = Create("f");
  Hold();
  ASSERT_TRUE(file->Append(Pattern(2 * kBuffer, 4)).ok());
  faults_.writes = true;
  Release();
  EXPECT_FALSE(file->Close().ok());
  EXPECT_EQ(Read("f"), "");
}

TEST_F(PendingWritesTest, TruncatingOverwritingAndDeletingWaitForTheDisk) {
  const auto in_time = [&](auto change) {
    auto file = Create("f");
    Hold();
    EXPECT_TRUE(file->Append(Pattern(2 * kBuffer, 5)).ok());
    const uint64_t writes = faults_.write_count;
    auto done = std::async(std::launch::async, [&] { return change(*file); });
    EXPECT_EQ(done.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
    EXPECT_LE(faults_.write_count, writes + 2);  // the two that are held
    Release();
    EXPECT_TRUE(done.get().ok());
    return Read(*file);
  };
  EXPECT_EQ(in_time([](File& file) { return file.Truncate(10); }),
            Pattern(2 * kBuffer, 5).substr(0, 10));
  ASSERT_TRUE(root_->Unlink("f").ok());
  std::string overwritten = Pattern(2 * kBuffer, 5);
  overwritten.replace(5, 3, "new");
  EXPECT_EQ(in_time([](File& file) { return file.WriteAt(5, "new"); }), overwritten);
  ASSERT_TRUE(root_->Unlink("f").ok());
}

}  // namespace
}  // namespace tifs::volume
