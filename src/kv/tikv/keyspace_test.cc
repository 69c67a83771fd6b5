#include "kv/tikv/keyspace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"

namespace tifs::kv::tikv {
namespace {

TEST(KeyspaceTest, PrefixesKeysWithFAndItsNumber) {
  const Keyspace keyspace(0x01020304);
  const std::string encoded = keyspace.Encode("key");
  EXPECT_EQ(encoded, std::string("F\x01\x02\x03\x04key", 8));
  EXPECT_EQ(*keyspace.Decode(encoded), "key");
  EXPECT_LE(keyspace.begin(), keyspace.Encode(""));
  EXPECT_LT(keyspace.Encode(std::string(100, '\xff')), keyspace.end());
}

TEST(KeyspaceTest, RefusesKeysOfAnother) {
  const Keyspace one(1);
  const Keyspace two(2);
  EXPECT_EQ(one.Decode(two.Encode("key")).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(one.Decode("F").error().code(), ErrorCode::kCorrupt);
}

TEST(KeyspaceTest, NeighboursDoNotOverlap) {
  EXPECT_EQ(Keyspace(1).end(), Keyspace(2).begin());
  EXPECT_EQ(Keyspace(UINT32_MAX).end(), "G");
}

TEST(MemcomparableTest, HasTheBytesThatPdExpects) {
  EXPECT_EQ(EncodeMemcomparable(""), std::string("\0\0\0\0\0\0\0\0\xf7", 9));
  EXPECT_EQ(EncodeMemcomparable(std::string("\x01\x02\x03", 3)),
            std::string("\x01\x02\x03\0\0\0\0\0\xfa", 9));
  EXPECT_EQ(EncodeMemcomparable("12345678"), std::string("12345678\xff\0\0\0\0\0\0\0\0\xf7", 18));
}

TEST(MemcomparableTest, RoundTripsAndKeepsTheOrder) {
  Random random(3);
  std::vector<std::string> keys = {""};
  for (int i = 0; i < 500; ++i) {
    std::string key;
    for (uint64_t n = random.Below(20); n > 0; --n) {
      key += static_cast<char>(random.OneIn(3) ? 0 : random.OneIn(2) ? 0xff : random.Below(256));
    }
    keys.push_back(key);
  }
  std::ranges::sort(keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    const Result<std::string> decoded = DecodeMemcomparable(EncodeMemcomparable(keys[i]));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, keys[i]);
    if (i > 0 && keys[i - 1] < keys[i]) {
      EXPECT_LT(EncodeMemcomparable(keys[i - 1]), EncodeMemcomparable(keys[i]));
    }
  }
}

TEST(MemcomparableTest, RefusesWhatIsNotEncoded) {
  for (const std::string& bad :
       {std::string(), std::string("F"), std::string("12345678\xff"),
        std::string("1234567\0\xfa", 9), std::string("\0\0\0\0\0\0\0\0\xf0", 9),
        std::string("\0\0\0\0\0\0\0\0\xf7x", 10)}) {
    EXPECT_EQ(DecodeMemcomparable(bad).error().code(), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace tifs::kv::tikv
