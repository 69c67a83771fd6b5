#include "rocksfs/placement.h"

#include <gtest/gtest.h>

namespace tifs::rocksfs {
namespace {

TEST(PlacementTest, TablesBlobsAndManifestsAreTheVolumes) {
  for (const char* path :
       {"/db/000012.sst", "/db/000012.ldb", "/db/000013.blob", "/db/MANIFEST-000005", "7.sst",
        "/backup/shared_checksum/000009_s5_1234.sst", "/backup/shared/.000009.sst.tmp",
        "/db/000012.sst.trash", "/db/000012.sst.tmp", "/import/x_write.sst",
        "/db/.MANIFEST-000005.tmp"}) {
    EXPECT_EQ(PlacementOf(path), Side::kVolume) << path;
  }
}

TEST(PlacementTest, AllElseIsTheBases) {
  for (const char* path :
       {"/db/000012.log", "/db/archive/000012.log", "/db/CURRENT", "/db/IDENTITY",
        "/db/OPTIONS-000007", "/db/LOG", "/db/LOG.old.123", "/db/LOCK", "/db/000005.dbtmp",
        "/db/OPTIONS-000007.dbtmp", "/backup/meta/1", "/backup/meta/.1.tmp", "/db/MANIFEST-",
        "/db/MANIFEST-12x", "/x.sst/file", "/db/sst", "", "/"}) {
    EXPECT_EQ(PlacementOf(path), Side::kBase) << path;
  }
}

SidePaths Map(const char* directory, std::string_view path) {
  auto map = PathMap::Make(directory);
  EXPECT_TRUE(map.ok());
  auto paths = map->Map(path);
  EXPECT_TRUE(paths.ok()) << path;
  return paths ? *paths : SidePaths();
}

TEST(PathMapTest, ARootMirrorsTheTreeBelowItsBase) {
  for (const char* path : {"/d/bench", "/bench", "//bench/", "/d/./x/../bench", "/../d/bench"}) {
    EXPECT_EQ(Map("/d", path).base, "/d/bench") << path;
    EXPECT_EQ(Map("/d", path).volume, "bench") << path;
  }
  EXPECT_EQ(Map("/d/e/", "/d/bench").base, "/d/e/d/bench");
  EXPECT_EQ(Map("/d", "/data/1.sst").base, "/d/data/1.sst");
  EXPECT_EQ(Map("/d", "/data/1.sst").volume, "data/1.sst");
}

TEST(PathMapTest, TheBaseItselfIsTheRootItself) {
  for (const char* path : {"/d", "/d/", "/", "/d/x/.."}) {
    EXPECT_EQ(Map("/d", path).base, "/d") << path;
    EXPECT_EQ(Map("/d", path).volume, "") << path;
  }
}

TEST(PathMapTest, ByDefaultAPathIsItself) {
  EXPECT_EQ(Map("/", "/var/lib/kv/1.sst").base, "/var/lib/kv/1.sst");
  EXPECT_EQ(Map("/", "/var/lib/kv/1.sst").volume, "var/lib/kv/1.sst");
  EXPECT_EQ(Map("/", "/").base, "/");
  EXPECT_EQ(Map("/", "/").volume, "");
}

TEST(PathMapTest, RefusesWhatBothSidesWouldReadDifferently) {
  EXPECT_FALSE(PathMap::Make("relative").ok());
  EXPECT_FALSE(PathMap::Make("").ok());
  const auto map = PathMap::Make("/d");
  EXPECT_FALSE(map->Map("relative").ok());
  EXPECT_FALSE(map->Map("").ok());
  EXPECT_FALSE(map->Map(std::string_view("/d/a\0b", 6)).ok());
}

TEST(PlacementTest, TablesAndBlobFilesAreTheLargeOnes) {
  for (const char* path : {"/d/000012.sst", "1.ldb", "/d/000012.blob", "/d/.000012.sst.tmp"}) {
    EXPECT_TRUE(IsTable(path)) << path;
  }
  for (const char* path : {"/d/MANIFEST-000012", "/d/000012.log", "/d.sst/CURRENT", ""}) {
    EXPECT_FALSE(IsTable(path)) << path;
  }
}

TEST(PathMapTest, ParentsAreFound) {
  EXPECT_EQ(ParentOf("/a/b"), "/a");
  EXPECT_EQ(ParentOf("/a"), "/");
  EXPECT_EQ(ParentOf("a/b"), "a");
  EXPECT_EQ(ParentOf("a"), "");
}

}  // namespace
}  // namespace tifs::rocksfs
