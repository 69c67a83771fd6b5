#include "cli/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/assemble.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

using ::testing::HasSubstr;

std::string WhyNot(std::string_view text) {
  const Result<Uri> uri = ParseStoreUri(text);
  return uri.ok() ? "it is a URI: " + uri->ToString() : ErrorText(uri.error());
}

TEST(UriTest, HasItsParts) {
  const Result<Uri> uri = ParseUri("tikv://pd1:2379,pd2:2379/name?a=b");
  ASSERT_TRUE(uri.ok());
  EXPECT_EQ(uri->scheme, "tikv");
  EXPECT_EQ(uri->authority, "pd1:2379,pd2:2379");
  EXPECT_EQ(uri->path, "/name");
  EXPECT_EQ(uri->query, "a=b");
}

TEST(UriTest, NormalisesThePath) {
  for (const char* text : {"rocks:///srv/d", "rocks:///srv//d/", "rocks:////srv/d/./",
                           "rocks:///srv/x/../d", "rocks:///%73rv/d"}) {
    const Result<Uri> uri = ParseStoreUri(text);
    ASSERT_TRUE(uri.ok()) << text;
    EXPECT_EQ(uri->path, "/srv/d");
    EXPECT_EQ(uri->ToString(), "rocks:///srv/d");
  }
}

TEST(UriTest, WritesWhatMountTablesCannotHoldInPercents) {
  const Result<Uri> uri = ParseStoreUri("rocks:///a%20b%2Cc%3Fd%23e%25f%0Ag");
  ASSERT_TRUE(uri.ok());
  EXPECT_EQ(uri->path, "/a b,c?d#e%f\ng");
  EXPECT_EQ(uri->ToString(), "rocks:///a%20b%2Cc%3Fd%23e%25f%0Ag");
}

TEST(UriTest, NamesAVolumeInOneWay) {
  for (const char* text : {"rocks:///d?volume=file:/a%20b%26%2Cc%25&root=r",
                           "rocks:///d?root=r&volume=file:/%61%20b%26,c%25"}) {
    const Result<Uri> uri = ParseStoreUri(text);
    ASSERT_TRUE(uri.ok()) << ErrorText(uri.error());
    EXPECT_EQ(uri->ToString(), "rocks:///d?volume=file:/a%20b%26%2Cc%25&root=r");
    EXPECT_EQ(LocalVolumeFileOf(*uri), "/a b&,c%");
    EXPECT_EQ(LocalDirectoryOf(*uri), "/d");
    EXPECT_TRUE(IsSameStore(*uri, *ParseStoreUri("rocks:///d")));
  }
  EXPECT_EQ(LocalVolumeFileOf(*ParseStoreUri("rocks:///d?volume=/dev/sdz")), "");
  EXPECT_EQ(LocalVolumeFileOf(*ParseStoreUri("rocks:///d")), "");
}

TEST(UriTest, NamesAFileSystemOfAClusterInOneWay) {
  for (const char* text :
       {"tikv://pd1,[::1]:7,pd-2.x:9/home", "tikv://pd1:2379,[::1]:7,pd-2.x:9/home/"}) {
    const Result<Uri> uri = ParseStoreUri(text);
    ASSERT_TRUE(uri.ok()) << ErrorText(uri.error());
    EXPECT_EQ(uri->ToString(), "tikv://pd1:2379,[::1]:7,pd-2.x:9/home");
    EXPECT_EQ(LocalDirectoryOf(*uri), "");
    EXPECT_EQ(LocalVolumeFileOf(*uri), "");
    EXPECT_FALSE(IsSameStore(*uri, *ParseStoreUri("tikv://pd1/home")));
  }
  EXPECT_THAT(WhyNot("tikv:///x"), HasSubstr("the address of a PD is missing"));
  EXPECT_THAT(WhyNot("tikv://a,,b/x"), HasSubstr("the address of a PD is missing"));
  EXPECT_THAT(WhyNot("tikv://a b/x"), HasSubstr("is no address of a PD"));
  EXPECT_THAT(WhyNot("tikv://pd:70000/x"), HasSubstr("no port"));
  EXPECT_THAT(WhyNot("tikv://pd"), HasSubstr("names no file system"));
  EXPECT_THAT(WhyNot("tikv://pd/-x"), HasSubstr("the name is"));
  EXPECT_THAT(WhyNot("tikv://pd/x/y"), HasSubstr("the name is"));
  EXPECT_THAT(WhyNot("tikv://pd/x?ca=y"), HasSubstr("'ca=' names no file"));
  EXPECT_THAT(WhyNot("tikv://pd/x?ca=/y&ca=/z"), HasSubstr("'ca' is there twice"));
  EXPECT_THAT(WhyNot("tikv://pd/x?cert=/y&key=/z"), HasSubstr("no TLS without 'ca'"));
  EXPECT_THAT(WhyNot("tikv://pd/x?ca=/y&key=/z"), HasSubstr("belong together"));
  EXPECT_THAT(WhyNot("tikv://pd/x?ca=/y&verify-cn="), HasSubstr("names nothing"));
  EXPECT_THAT(WhyNot("tikv://pd/x?gc=on"), HasSubstr("is no parameter of a cluster"));
  EXPECT_THAT(WhyNot("tikv://pd/x?ca=/y%2"), HasSubstr("hexadecimal"));
}

TEST(UriTest, SaysHowToReachAClusterInOneWay) {
  for (const char* text :
       {"tikv://pd/x?gc=off&key=/k&cert=/c%20c&ca=/a&verify-cn=one,two",
        "tikv://pd:2379/x?ca=/a&cert=/c%20c&key=/k&verify-cn=one%2Ctwo&gc=off"}) {
    const Result<Uri> uri = ParseStoreUri(text);
    ASSERT_TRUE(uri.ok()) << ErrorText(uri.error());
    EXPECT_EQ(uri->ToString(),
              "tikv://pd:2379/x?ca=/a&cert=/c%20c&key=/k&verify-cn=one%2Ctwo&gc=off");
    EXPECT_TRUE(IsSameStore(*uri, *ParseStoreUri("tikv://pd/x")));
  }
  EXPECT_EQ(ParseStoreUri("tikv://pd/x?gc=auto")->ToString(), "tikv://pd:2379/x");
}

TEST(UriTest, SuggestsTheUriOfAPath) {
  EXPECT_EQ(WhyNot("/srv/d"), "/srv/d: is a path, not a store's URI; write 'rocks:///srv/d'");
  EXPECT_THAT(WhyNot("rocks://srv/d"), HasSubstr("write 'rocks:///srv/d'"));
}

TEST(UriTest, RefusesWhatNamesNoStore) {
  EXPECT_THAT(WhyNot(""), HasSubstr("is not a store's URI"));
  EXPECT_THAT(WhyNot("srv"), HasSubstr("is not a store's URI"));
  EXPECT_THAT(WhyNot("://x"), HasSubstr("is not a store's URI"));
  EXPECT_THAT(WhyNot("rocks://"), HasSubstr("it names no directory"));
  EXPECT_THAT(WhyNot("rocks:///"), HasSubstr("it names no directory"));
  EXPECT_THAT(WhyNot("rocks:///.."), HasSubstr("it names no directory"));
  EXPECT_THAT(WhyNot("zfs:///x"), HasSubstr("no store of the kind 'zfs'"));
  EXPECT_THAT(WhyNot("rocks:///x?size=y"), HasSubstr("'?size=y' is no parameter"));
  EXPECT_THAT(WhyNot("rocks:///x?root=y"), HasSubstr("names a root and no volume"));
  EXPECT_THAT(WhyNot("rocks:///x#y"), HasSubstr("'%23'"));
  EXPECT_THAT(WhyNot("rocks:///x%2"), HasSubstr("hexadecimal"));
  EXPECT_THAT(WhyNot("rocks:///x%zz"), HasSubstr("hexadecimal"));
  EXPECT_THAT(WhyNot("rocks:///x%00y"), HasSubstr("hexadecimal"));
}

TEST(UriTest, IsToldFromAPath) {
  EXPECT_TRUE(LooksLikeUri("rocks:///x"));
  EXPECT_FALSE(LooksLikeUri("/mnt"));
  EXPECT_FALSE(LooksLikeUri("./a://b"));
  EXPECT_FALSE(LooksLikeUri(""));
}

}  // namespace
}  // namespace tifs::cli
