#include "cli/mount_options.h"

#include <gtest/gtest.h>

#include "cli/output.h"

namespace tifs::cli {
namespace {

MountOptions Parsed(std::string_view text) {
  MountOptions options;
  const Status status = ParseMountOptions(text, options);
  EXPECT_TRUE(status.ok()) << text << ": " << (status ? "" : ErrorText(status.error()));
  return options;
}

std::string WhyNot(std::string_view text) {
  MountOptions options;
  const Status status = ParseMountOptions(text, options);
  return status ? "accepted" : ErrorText(status.error());
}

TEST(MountOptionsTest, AreSafeByDefault) {
  const MountOptions options = Parsed("defaults");
  EXPECT_FALSE(options.suid);
  EXPECT_FALSE(options.dev);
  EXPECT_TRUE(options.exec);
  EXPECT_FALSE(options.read_only);
  EXPECT_FALSE(options.sync);
  EXPECT_FALSE(options.allow_other.has_value());
  EXPECT_FALSE(options.umask.has_value());
  EXPECT_EQ(options.subdirectory, "/");
  EXPECT_EQ(options.memory_bytes, uint64_t{512} << 20);
  EXPECT_EQ(options.atime, MountOptions::Atime::kRelatime);
}

TEST(MountOptionsTest, EachSetsItsField) {
  const MountOptions options = Parsed(
      "ro,subdir=/a/b/,noatime,umask=027,noallow_other,suid,dev,noexec,sync,memory=1GiB,"
      "threads=16,log=/var/log/x,log_level=debug,metrics=127.0.0.1:9100");
  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.subdirectory, "/a/b");
  EXPECT_EQ(options.atime, MountOptions::Atime::kNoatime);
  EXPECT_EQ(options.umask, 027u);
  EXPECT_EQ(options.allow_other, false);
  EXPECT_TRUE(options.suid);
  EXPECT_TRUE(options.dev);
  EXPECT_FALSE(options.exec);
  EXPECT_TRUE(options.sync);
  EXPECT_EQ(options.memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(options.threads, 16u);
  EXPECT_EQ(options.log_file, "/var/log/x");
  EXPECT_EQ(options.log_level, LogLevel::kDebug);
  EXPECT_EQ(options.metrics_address, "127.0.0.1:9100");
}

TEST(MountOptionsTest, TheLastOfContradictoryOnesWins) {
  EXPECT_FALSE(Parsed("ro,rw").read_only);
  EXPECT_TRUE(Parsed("rw,ro").read_only);
  EXPECT_EQ(Parsed("noatime,strictatime").atime, MountOptions::Atime::kStrictatime);
  EXPECT_TRUE(Parsed("user,suid,dev,exec").suid);
  EXPECT_FALSE(Parsed("suid,dev,user").suid);
}

TEST(MountOptionsTest, TakeWhatFstabAndMountAdd) {
  const MountOptions options = Parsed(
      "rw,_netdev,nofail,noauto,user=joe,users,x-systemd.automount,x-gvfs-show,X-mount.mkdir=0755,"
      "comment=hi,defaults,auto,relatime,,");
  EXPECT_FALSE(options.read_only);
  EXPECT_FALSE(options.exec) << "users implies noexec, as in mount(8)";
}

TEST(MountOptionsTest, ABackslashTakesTheNextCharacterAsItIs) {
  EXPECT_EQ(Parsed("log=/var/log/a\\,b,ro").log_file, "/var/log/a,b");
}

TEST(MountOptionsTest, AnUnknownOneSuggestsTheNearest) {
  EXPECT_EQ(WhyNot("notaime"),
            "mount option 'notaime': there is no such option; did you mean 'noatime'?");
  EXPECT_EQ(WhyNot("ro,memroy=1GiB"),
            "mount option 'memroy': there is no such option; did you mean 'memory'?");
  EXPECT_EQ(WhyNot("compression=zstd"),
            "mount option 'compression': there is no such option; see 'man tifs-mount' for those "
            "there are");
}

TEST(MountOptionsTest, RefuseBadValues) {
  for (const char* text : {"umask=8",
                           "umask=01000",
                           "umask=",
                           "umask",
                           "umask=0x1",
                           "memory=1",
                           "memory=lots",
                           "memory=999TiB",
                           "memory=",
                           "threads=0",
                           "threads=1",
                           "threads=9999",
                           "threads=x",
                           "log=relative",
                           "log_level=loud",
                           "metrics=9100",
                           "metrics=:0",
                           "metrics=::1:9100",
                           "subdir=a",
                           "subdir",
                           "ro=1",
                           "sync=yes",
                           "=",
                           "=x"}) {
    EXPECT_NE(WhyNot(text), "accepted") << text;
  }
}

TEST(MountOptionsTest, DifferInWhatARemountCannotChange) {
  const auto differences = [](std::string_view present, std::string_view wanted) {
    MountOptions changed = Parsed(present);
    EXPECT_TRUE(ParseMountOptions(wanted, changed).ok()) << wanted;
    std::string names;
    for (std::string_view name : FixedDifferences(Parsed(present), changed)) {
      names += std::string(name) + " ";
    }
    return names;
  };
  EXPECT_EQ(differences("noatime,subdir=/a,memory=256MiB", "remount,ro"), "");
  EXPECT_EQ(differences("noatime,subdir=/a,allow_other",
                        "ro,nosuid,nodev,noatime,user_id=0,allow_other,subdir=/a,remount,rw"),
            "");
  EXPECT_EQ(differences("", "remount,noatime"), "noatime ");
  EXPECT_EQ(differences("noatime", "remount,relatime"), "relatime ");
  EXPECT_EQ(differences("strictatime", "rw,relatime,remount,ro"), "") << "as the kernel shows it";
  EXPECT_EQ(differences("", "subdir=/x,suid,noexec,sync"), "subdir suid noexec sync ");
  EXPECT_EQ(differences("", "umask=022,memory=128MiB,threads=4,nopm_qos,log=/x,log_level=debug"),
            "umask memory threads nopm_qos log log_level ");
  EXPECT_EQ(differences("allow_other", "noallow_other,metrics=:9100"), "noallow_other metrics ");
}

TEST(MountOptionsTest, EscapeHostileTextInErrors) {
  EXPECT_EQ(WhyNot("a\x1b[2J\n").find('\x1b'), std::string::npos);
  EXPECT_EQ(WhyNot("umask=\x1b\n").find('\n'), std::string::npos);
}

TEST(HostPortTest, SplitsAddresses) {
  const Result<HostPort> v4 = ParseHostPort("10.0.0.1:80");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->host, "10.0.0.1");
  EXPECT_EQ(v4->port, 80);
  const Result<HostPort> v6 = ParseHostPort("[::1]:9100");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  const Result<HostPort> loopback = ParseHostPort(":9100");
  ASSERT_TRUE(loopback.ok());
  EXPECT_EQ(loopback->host, "127.0.0.1");
  EXPECT_FALSE(ParseHostPort("host:65536").ok());
  EXPECT_FALSE(ParseHostPort("host:").ok());
}

}  // namespace
}  // namespace tifs::cli
