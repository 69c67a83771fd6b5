#include "cli/mount_users.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

TEST(IsWithinTest, ComparesWholeComponents) {
  EXPECT_TRUE(IsWithin("/mnt", "/mnt"));
  EXPECT_TRUE(IsWithin("/mnt/a", "/mnt"));
  EXPECT_FALSE(IsWithin("/mnta", "/mnt"));
  EXPECT_FALSE(IsWithin("/", "/mnt"));
  EXPECT_TRUE(IsWithin("/mnt", "/"));
  EXPECT_FALSE(IsWithin("socket:[1]", "/"));
}

TEST(MountUsersTest, NamesAnOpenFile) {
  std::string pattern = stdfs::temp_directory_path() / "tifs-users-XXXXXX";
  const std::string root = ::mkdtemp(pattern.data());
  // Any directory does: what lies below it counts as used.
  fuse::MountEntry mount;
  mount.mountpoint = root;
  EXPECT_TRUE(FindMountUsers(mount, 10).empty());

  const int fd = ::open((root + "/file").c_str(), O_RDWR | O_CREAT, 0600);
  const std::vector<MountUser> users = FindMountUsers(mount, 10);
  ASSERT_EQ(users.size(), 1u);
  EXPECT_EQ(users[0].pid, ::getpid());
  EXPECT_EQ(users[0].how, "an open file: " + root + "/file");
  EXPECT_FALSE(users[0].command.empty());
  ::close(fd);
  stdfs::remove_all(root);
}

}  // namespace
}  // namespace tifs::cli
