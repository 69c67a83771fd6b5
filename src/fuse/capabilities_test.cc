#include "fuse/capabilities.h"

#include <gtest/gtest.h>

#include "fuse/kernel_channel.h"

namespace tifs::fuse {
namespace {

constexpr uint32_t kEverything = ~uint32_t{0};

ServerOptions Exclusive() { return {.mountpoint = "/mnt", .source = "mem:"}; }
ServerOptions Strict() {
  ServerOptions options = Exclusive();
  options.cache_mode = fs::CacheMode::kStrict;
  options.default_permissions = false;
  return options;
}

TEST(CapabilitiesTest, WantsOnlyWhatTheKernelHas) {
  for (int bit = 0; bit < 32; ++bit) {
    const uint32_t capable = uint32_t{1} << bit;
    EXPECT_EQ(ChooseCapabilities(capable, Exclusive()) & ~capable, 0u) << bit;
    EXPECT_EQ(ChooseCapabilities(capable, Strict()) & ~capable, 0u) << bit;
  }
}

TEST(CapabilitiesTest, LocksSpliceAndAtomicTruncationStayOff) {
  constexpr uint32_t kOff = FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_SPLICE_READ |
                            FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ATOMIC_O_TRUNC;
  EXPECT_EQ(ChooseCapabilities(kEverything, Exclusive()) & kOff, 0u);
  EXPECT_EQ(ChooseCapabilities(kEverything, Strict()) & kOff, 0u);
}

TEST(CapabilitiesTest, AclsAreTheKernelsOnlyWhereItHasTheStoreToItself) {
  EXPECT_TRUE(ChooseCapabilities(kEverything, Exclusive()) & FUSE_CAP_POSIX_ACL);
  EXPECT_FALSE(ChooseCapabilities(kEverything, Strict()) & FUSE_CAP_POSIX_ACL);
  ServerOptions checked_here = Exclusive();
  checked_here.default_permissions = false;
  EXPECT_FALSE(ChooseCapabilities(kEverything, checked_here) & FUSE_CAP_POSIX_ACL);
}

TEST(CapabilitiesTest, WriteBackIsAChoice) {
  EXPECT_FALSE(ChooseCapabilities(kEverything, Exclusive()) & FUSE_CAP_WRITEBACK_CACHE);
  ServerOptions options = Exclusive();
  options.writeback_cache = true;
  EXPECT_TRUE(ChooseCapabilities(kEverything, options) & FUSE_CAP_WRITEBACK_CACHE);
}

TEST(CapabilitiesTest, StrictModeKeepsNothingInTheKernel) {
  constexpr uint32_t kKeeps =
      FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPENDIR_SUPPORT;
  EXPECT_EQ(ChooseCapabilities(kEverything, Strict()) & kKeeps, 0u);
  EXPECT_TRUE(ChooseCapabilities(kEverything, Strict()) & FUSE_CAP_AUTO_INVAL_DATA);
  // No mapping is shared where no write of another machine would reach its pages.
  EXPECT_EQ(ChooseInitFlags(), kHandleKillprivV2);
}

TEST(CapabilitiesTest, TheUmaskIsAppliedHereInEveryMode) {
  EXPECT_TRUE(ChooseCapabilities(kEverything, Exclusive()) & FUSE_CAP_DONT_MASK);
  EXPECT_TRUE(ChooseCapabilities(kEverything, Strict()) & FUSE_CAP_DONT_MASK);
}

TEST(CapabilitiesTest, AnswersInitWithTheOptionsSizes) {
  ServerOptions options = Exclusive();
  options.max_read_bytes = 32 << 10;
  options.max_write_bytes = 64 << 10;
  options.readahead_bytes = 256 << 10;
  options.max_background = 40;
  fuse_conn_info info = {};
  info.capable = kEverything;
  info.want = kEverything;  // libfuse's own defaults do not count
  info.max_write = 1 << 20;
  info.max_readahead = 128 << 10;
  AnswerInit(options, info);
  EXPECT_EQ(info.want, ChooseCapabilities(kEverything, options));
  EXPECT_EQ(info.max_read, 32u << 10);
  EXPECT_EQ(info.max_write, 64u << 10);
  EXPECT_EQ(info.max_readahead, 128u << 10);  // never more than the kernel's
  EXPECT_EQ(info.max_background, 40u);
  EXPECT_EQ(info.congestion_threshold, 30u);
}

}  // namespace
}  // namespace tifs::fuse
