#include "fuse/mount_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace tifs::fuse {
namespace {

constexpr std::string_view kTable =
    "22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
    "40 22 0:35 / /srv/two\\040words\\134 rw,nosuid,nodev - fuse.tifs rocks:///srv/d "
    "rw,user_id=1000,group_id=0\n"
    "41 22 0:36 / /mnt ro,nosuid - fuse.tifs rocks:///a rw\n"
    "42 22 0:37 / /media rw - fuse.tifs rocks:///b ro\n"
    "not a line\n"
    "43 41 0:x / /bad rw - fuse.tifs a rw\n"
    "44 22 0:38 / /cut rw";

TEST(MountTableTest, ReadsTheFieldsOfALine) {
  const auto table = ParseMountTable(kTable);
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table[0].id, 22u);
  EXPECT_EQ(table[0].mountpoint, "/");
  EXPECT_EQ(table[0].type, "ext4");
  EXPECT_EQ(table[1].type, kMountType);
  EXPECT_EQ(table[1].source, "rocks:///srv/d");
  EXPECT_EQ(table[1].device_major, 0u);
  EXPECT_EQ(table[1].device_minor, 35u);
}

TEST(MountTableTest, TakesEscapesBack) {
  EXPECT_EQ(ParseMountTable(kTable)[1].mountpoint, "/srv/two words\\");
}

TEST(MountTableTest, IsReadOnlyByEitherKindOfOptions) {
  const auto table = ParseMountTable(kTable);
  EXPECT_FALSE(table[1].read_only);
  EXPECT_TRUE(table[2].read_only);
  EXPECT_TRUE(table[3].read_only);
}

TEST(MountTableTest, KnowsWhoMadeAFuseMount) {
  const auto table = ParseMountTable(kTable);
  EXPECT_FALSE(table[0].user_id);
  EXPECT_EQ(table[1].user_id, 1000u);
  EXPECT_FALSE(table[2].user_id);
}

TEST(MountTableTest, LeavesOutLinesThatItCannotRead) {
  EXPECT_TRUE(ParseMountTable("").empty());
  EXPECT_TRUE(ParseMountTable("\n\n1 2\n1 2 0:1 / / rw - \n").empty());
}

TEST(MountTableTest, FindsTheRootOfThisMachine) {
  const auto root = FindMount("/");
  ASSERT_TRUE(root);
  EXPECT_FALSE(root->type.empty());
  EXPECT_FALSE(FindMount("/no/such/mount"));
}

TEST(MountTableTest, AnOrdinaryDirectoryIsNoDeadMount) {
  EXPECT_FALSE(IsDeadMount("/"));
  EXPECT_FALSE(IsDeadMount("/no/such/directory"));
}

TEST(MountTableTest, ResolvesSymbolicLinks) {
  std::string pattern = (std::filesystem::temp_directory_path() / "tifs-mount-XXXXXX").string();
  const std::filesystem::path folder = std::filesystem::canonical(mkdtemp(pattern.data()));
  std::filesystem::create_directory(folder / "real");
  std::filesystem::create_symlink("real", folder / "link");
  auto resolved = ResolveMountpoint((folder / "link" / ".").string());
  auto missing = ResolveMountpoint((folder / "none").string());
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(resolved) << resolved.error().ToString();
  EXPECT_EQ(resolved.value(), (folder / "real").string());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
}

TEST(MountTableTest, RefusesToDetachWhatIsNotMounted) {
  const Status status = DetachMount("/proc/self", Detachment::kWhenIdle);
  EXPECT_FALSE(status);
}

}  // namespace
}  // namespace tifs::fuse
