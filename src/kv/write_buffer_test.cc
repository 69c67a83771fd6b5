#include "kv/write_buffer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tifs::kv {
namespace {

constexpr Limits kLimits{.max_key_bytes = 8, .max_value_bytes = 16, .max_transaction_bytes = 40};

class WriteBufferTest : public ::testing::Test {
 protected:
  // Keys of the writes in a range, by NextWrite from one to the next.
  std::string Walk(const KeyRange& range, Direction direction) {
    std::string keys;
    std::optional<std::string_view> last;
    for (;;) {
      const auto it = buffer_.NextWrite(range, direction, last);
      if (it == buffer_.end()) return keys;
      keys += it->first;
      last = it->first;
    }
  }

  WriteBuffer buffer_{kLimits};
};

TEST_F(WriteBufferTest, FindsTheLastWriteOfAKey) {
  EXPECT_TRUE(buffer_.empty());
  ASSERT_TRUE(buffer_.Put("a", "1"));
  EXPECT_EQ(buffer_.FindWrite("a")->value, "1");
  ASSERT_TRUE(buffer_.Put("a", "longer"));
  EXPECT_EQ(buffer_.FindWrite("a")->value, "longer");
  ASSERT_TRUE(buffer_.Put("a", "2"));
  EXPECT_EQ(buffer_.FindWrite("a")->value, "2");
  EXPECT_EQ(buffer_.writes(), 1u);
  ASSERT_TRUE(buffer_.Delete("a"));
  EXPECT_TRUE(buffer_.FindWrite("a")->deleted);
  ASSERT_TRUE(buffer_.Put("a", "3"));
  EXPECT_FALSE(buffer_.FindWrite("a")->deleted);
  EXPECT_EQ(buffer_.FindWrite("b"), nullptr);
}

TEST_F(WriteBufferTest, LockIsNoWriteAndStaysWithOne) {
  ASSERT_TRUE(buffer_.Lock("a"));
  EXPECT_FALSE(buffer_.empty());
  EXPECT_EQ(buffer_.writes(), 0u);
  EXPECT_EQ(buffer_.FindWrite("a"), nullptr);
  EXPECT_EQ(Walk({}, Direction::kForward), "");
  ASSERT_TRUE(buffer_.Put("a", "1"));
  EXPECT_TRUE(buffer_.FindWrite("a")->locked);
  EXPECT_EQ(buffer_.entries().size(), 1u);
}

TEST_F(WriteBufferTest, WalksARangeBothWays) {
  for (const char* key : {"d", "b", "a", "e"}) ASSERT_TRUE(buffer_.Put(key, ""));
  ASSERT_TRUE(buffer_.Lock("c"));
  EXPECT_EQ(Walk({}, Direction::kForward), "abde");
  EXPECT_EQ(Walk({}, Direction::kBackward), "edba");
  EXPECT_EQ(Walk({"b", "e"}, Direction::kForward), "bd");
  EXPECT_EQ(Walk({"b", "e"}, Direction::kBackward), "db");
  EXPECT_EQ(Walk({"c", "d"}, Direction::kForward), "");
  EXPECT_EQ(Walk({"c", "d"}, Direction::kBackward), "");
  EXPECT_EQ(Walk({"f", ""}, Direction::kForward), "");
  EXPECT_EQ(Walk({"", "a"}, Direction::kBackward), "");
}

TEST_F(WriteBufferTest, CountsWhatItHoldsNotWhatWasGiven) {
  ASSERT_TRUE(buffer_.Put("key", std::string(16, 'v')));
  EXPECT_EQ(buffer_.bytes(), 19u);
  ASSERT_TRUE(buffer_.Put("key", "v"));
  EXPECT_EQ(buffer_.bytes(), 4u);
  ASSERT_TRUE(buffer_.Lock("key"));
  EXPECT_EQ(buffer_.bytes(), 4u);
  ASSERT_TRUE(buffer_.Delete("key"));
  EXPECT_EQ(buffer_.bytes(), 3u);
}

TEST_F(WriteBufferTest, RefusesWhatIsTooLargeAndStaysAsItWas) {
  EXPECT_EQ(buffer_.Put("123456789", "").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(buffer_.Lock("123456789").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(buffer_.Put("a", std::string(17, 'v')).error().code(), ErrorCode::kTooLarge);
  EXPECT_TRUE(buffer_.empty());
  ASSERT_TRUE(buffer_.Put("a", std::string(16, 'v')));
  ASSERT_TRUE(buffer_.Put("b", std::string(16, 'v')));
  ASSERT_TRUE(buffer_.Put("c", "1234"));
  EXPECT_EQ(buffer_.bytes(), 39u);
  EXPECT_EQ(buffer_.Put("c", "123456").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(buffer_.FindWrite("c")->value, "1234");
  EXPECT_EQ(buffer_.Delete("de").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(buffer_.FindWrite("de"), nullptr);
  EXPECT_TRUE(buffer_.Put("c", "12345"));
  EXPECT_TRUE(buffer_.Put("a", ""));
  EXPECT_TRUE(buffer_.Delete("de"));
}

}  // namespace
}  // namespace tifs::kv
