#include "cli/cluster_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kv/mem_kv.h"

namespace tifs::cli {
namespace {

using State = ClusterNames::State;
using ::testing::ElementsAre;

class ClusterNamesTest : public testing::Test {
 protected:
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    auto listed = names_.List();
    EXPECT_TRUE(listed.ok());
    for (const auto& one : *listed) names.push_back(one.name);
    return names;
  }

  kv::MemKv store_;
  ManualClock clock_;
  ClusterNames names_{store_, clock_};
};

TEST_F(ClusterNamesTest, ANameHasOneNumber) {
  const auto first = names_.Add("home");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->number, 1u);
  EXPECT_EQ(names_.Add("home").error().code(), ErrorCode::kExists);
  ASSERT_TRUE(names_.Add("a.b-c_d").ok());
  EXPECT_THAT(Names(), ElementsAre("a.b-c_d", "home"));
}

TEST_F(ClusterNamesTest, ANumberIsNeverGivenTwice) {
  const auto first = names_.Add("home");
  ASSERT_TRUE(names_.Remove(*first).ok());
  EXPECT_THAT(Names(), ElementsAre());
  const auto second = names_.Add("home");
  EXPECT_EQ(second->number, 2u);
  // Who still holds the first changes nothing of the second.
  EXPECT_EQ(names_.Remove(*first).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(names_.SetState(*first, State::kReady).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ((*names_.Find("home"))->state, State::kUnfinished);
}

TEST_F(ClusterNamesTest, RemembersHowFarItIs) {
  const auto added = names_.Add("home");
  ASSERT_TRUE(names_.SetState(*added, State::kReady).ok());
  EXPECT_EQ((*names_.Find("home"))->state, State::kReady);
  EXPECT_FALSE(names_.Find("hom")->has_value());
}

TEST_F(ClusterNamesTest, KnowsItsBytes) {
  const std::string value = EncodeClusterName({"home", 0x01020304, State::kReady});
  EXPECT_EQ(value, std::string("\x01\x04\x03\x02\x01\x02", 6));
  for (size_t cut = 0; cut < value.size(); ++cut) {
    EXPECT_FALSE(DecodeClusterName("home", value.substr(0, cut)).ok());
  }
  EXPECT_FALSE(DecodeClusterName("home", value + "x").ok());
  EXPECT_FALSE(DecodeClusterName("home", std::string("\x01\x04\x03\x02\x01\x04", 6)).ok());
  EXPECT_FALSE(DecodeClusterName("home", std::string("\x01\0\0\0\0\x02", 6)).ok());
}

TEST_F(ClusterNamesTest, NamesAreOfFewCharacters) {
  EXPECT_TRUE(ClusterNames::IsName("a"));
  EXPECT_TRUE(ClusterNames::IsName(std::string(64, '9')));
  for (const char* bad : {"", ".a", "-a", "a/b", "a b", "\xc3\xa9", "a\n"}) {
    EXPECT_FALSE(ClusterNames::IsName(bad)) << bad;
  }
  EXPECT_FALSE(ClusterNames::IsName(std::string(65, 'a')));
}

}  // namespace
}  // namespace tifs::cli
