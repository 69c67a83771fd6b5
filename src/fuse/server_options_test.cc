#include "fuse/server_options.h"

#include <gtest/gtest.h>

namespace tifs::fuse {
namespace {

ServerOptions Valid() { return {.mountpoint = "/mnt", .source = "rocks:///srv/d"}; }

TEST(ServerOptionsTest, DefaultsAreValid) { EXPECT_TRUE(Valid().Validate()); }

TEST(ServerOptionsTest, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    ServerOptions options = Valid();
    change(options);
    const Status status = options.Validate();
    return !status && status.error().code() == ErrorCode::kInvalid;
  };
  EXPECT_TRUE(refused([](auto& o) { o.mountpoint.clear(); }));
  EXPECT_TRUE(refused([](auto& o) { o.source.clear(); }));
  EXPECT_TRUE(refused([](auto& o) { o.threads = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.threads = 1025; }));
  EXPECT_TRUE(refused([](auto& o) { o.waiting_threads = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.max_read_bytes = 4095; }));
  EXPECT_TRUE(refused([](auto& o) { o.max_read_bytes = 4097; }));
  EXPECT_TRUE(refused([](auto& o) { o.max_write_bytes = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.max_write_bytes = (1 << 20) + 4096; }));
  EXPECT_TRUE(refused([](auto& o) { o.max_background = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.umask = 01000; }));
  EXPECT_TRUE(refused([](auto& o) {
    o.writeback_cache = true;
    o.cache_mode = fs::CacheMode::kStrict;
  }));
}

TEST(ServerOptionsTest, MountsSafelyUnlessAskedOtherwise) {
  EXPECT_EQ(Valid().ToMountText(),
            "fsname=rocks:///srv/d,subtype=tifs,rw,nosuid,nodev,exec,default_permissions,"
            "max_read=524288");
  ServerOptions options = Valid();
  options.read_only = options.suid = options.dev = options.allow_other = options.noatime = true;
  options.exec = options.default_permissions = false;
  EXPECT_EQ(options.ToMountText(),
            "fsname=rocks:///srv/d,subtype=tifs,ro,suid,dev,noexec,noatime,allow_other,"
            "max_read=524288");
}

TEST(ServerOptionsTest, ASourceCannotSmuggleInOptions) {
  ServerOptions options = Valid();
  options.source = "rocks:///a,suid\\,dev";
  EXPECT_TRUE(options.ToMountText().starts_with("fsname=rocks:///a\\,suid\\\\\\,dev,subtype="));
}

}  // namespace
}  // namespace tifs::fuse
