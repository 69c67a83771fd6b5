#include "fs/schema.h"

#include <gtest/gtest.h>

#include <string>

#include "fs/persisted_bytes_test_help.h"

namespace tifs::fs {
namespace {

constexpr uint64_t kSeed = 0x0123456789abcdef;

std::string Bytes(const Key& key) { return std::string(key.view()); }

// The examples of docs/kv_schema.md. A persisted key never changes: if one of these fails, the code
// is wrong.
TEST(SchemaTest, KeysAreTheBytesOfTheDocument) {
  const Schema schema({}, kSeed);
  EXPECT_EQ(Bytes(schema.Meta()), FromHex("00 6d657461"));
  EXPECT_EQ(Bytes(schema.NextInode()), FromHex("00 6e6578745f696e6f6465"));
  EXPECT_EQ(Bytes(schema.Tree()), FromHex("00 74726565"));
  EXPECT_EQ(Bytes(schema.Inode({1})), FromHex("01 0000000000000001"));
  EXPECT_EQ(Bytes(schema.Inode({0x0102030405060708})), FromHex("01 0102030405060708"));
  EXPECT_EQ(Bytes(schema.Stripe({1}, 0)), FromHex("01 0000000000000001 0000"));
  EXPECT_EQ(Bytes(schema.Stripe({1}, 0x0203)), FromHex("01 0000000000000001 0203"));
  EXPECT_EQ(Bytes(schema.Block({2}, {0x0a0b})), FromHex("02 0000000000000002 0000000000000a0b"));
  EXPECT_EQ(Bytes(schema.Dentry({1}, "file")),
            FromHex("04 0000000000000001 7fe38aef024bf7 66696c65"));
  EXPECT_EQ(Bytes(schema.Xattr({2}, "user.x")), FromHex("05 0000000000000002 757365722e78"));
  EXPECT_EQ(Bytes(schema.Leftover(0x1122, {2})), FromHex("08 0000000000001122 0000000000000002"));
  EXPECT_EQ(Bytes(schema.Deferred(0x1122)), FromHex("0a 0000000000001122"));
  EXPECT_EQ(Bytes(schema.Usage()), FromHex("09 0000000000000000"));
  EXPECT_EQ(Bytes(schema.Usage(7)), FromHex("09 0000000000000007"));
  EXPECT_EQ(Bytes(schema.SettledUsage()), FromHex("09 ffffffffffffffff"));
  EXPECT_EQ(Bytes(schema.NextInode(3)), FromHex("00 6e6578745f696e6f6465 0003"));
  EXPECT_EQ(Bytes(schema.NextSession()), FromHex("00 6e6578745f73657373696f6e"));
  EXPECT_EQ(Bytes(schema.Hold({2}, 7)), FromHex("03 0000000000000002 0000000000000007"));
  EXPECT_EQ(Bytes(schema.Session(7)), FromHex("06 0000000000000007"));
}

TEST(SchemaTest, KeysOfSessionsAreReadBack) {
  const Schema schema("F7", kSeed);
  const auto hold = schema.ParseHold(schema.Hold({2}, 7));
  ASSERT_TRUE(hold);
  EXPECT_EQ(hold->inode.value, 2u);
  EXPECT_EQ(hold->session, 7u);
  EXPECT_EQ(schema.ParseSession(schema.Session(7)), 7u);
  EXPECT_EQ(schema.ParseUsage(schema.Usage(7)), 7u);
  EXPECT_FALSE(schema.ParseHold(schema.Session(7)));
  EXPECT_FALSE(schema.ParseSession(std::string(schema.Session(7).view()) + "x"));
  EXPECT_FALSE(schema.ParseUsage(schema.Session(7)));
  EXPECT_LT(schema.Holds({2}).begin.view(), schema.Hold({2}, 0).view());
  EXPECT_GT(schema.Holds({2}).end.view(), schema.Hold({2}, UINT64_MAX).view());
}

TEST(SchemaTest, NamesAreHashedByTheSeedOfTheFileSystem) {
  EXPECT_EQ(Schema({}, 0).NameHash("a"), 0xe6c632b61e964eu);
  EXPECT_EQ(Schema({}, kSeed).NameHash("a"), 0xfcf369f9e7541du);
  EXPECT_EQ(Schema({}, kSeed).NameHash("lost+found"), 0x888039a54c43ebu);
}

TEST(SchemaTest, APrefixGoesBeforeEveryKeyAndNothingElseChanges) {
  const Schema plain({}, kSeed);
  const Schema prefixed("F7", kSeed);
  EXPECT_EQ(Bytes(prefixed.Tree()), "F7" + Bytes(plain.Tree()));
  EXPECT_EQ(Bytes(prefixed.Dentry({1}, "a")), "F7" + Bytes(plain.Dentry({1}, "a")));
  EXPECT_EQ(prefixed.Everything().begin.view(), "F7");
  EXPECT_EQ(prefixed.Everything().end.view(), "F8");
  EXPECT_FALSE(prefixed.ParseInode(plain.Inode({1})));
  EXPECT_FALSE(plain.ParseInode(prefixed.Inode({1})));
}

TEST(SchemaTest, TheLastPossiblePrefixHasNoUpperBound) {
  EXPECT_EQ(Schema("\xff\xff").Everything().end.view(), "");
  EXPECT_EQ(Schema("a\xff").Everything().end.view(), "b");
}

TEST(SchemaTest, KeysParseToWhatTheyWereMadeOf) {
  const Schema schema("F7", kSeed);
  for (uint64_t number : {uint64_t{1}, uint64_t{0x80}, uint64_t{1} << 40, UINT64_MAX >> 1}) {
    const InodeNumber inode{number};
    EXPECT_EQ(schema.ParseInode(schema.Inode(inode))->inode, inode);
    EXPECT_FALSE(schema.ParseInode(schema.Inode(inode))->stripe);
    EXPECT_EQ(schema.ParseInode(schema.Stripe(inode, 9))->inode, inode);
    EXPECT_EQ(*schema.ParseInode(schema.Stripe(inode, 9))->stripe, 9);
    EXPECT_EQ(schema.ParseBlock(schema.Block(inode, {number}))->inode, inode);
    EXPECT_EQ(schema.ParseBlock(schema.Block(inode, {number}))->index.value, number);
    EXPECT_EQ(schema.ParseLeftover(schema.Leftover(number, {7}))->begun, number);
    EXPECT_EQ(schema.ParseLeftover(schema.Leftover(number, {7}))->inode.value, 7u);
    EXPECT_EQ(schema.ParseDeferred(schema.Deferred(number)), number);
    for (const std::string& name :
         {std::string("a"), std::string("\xff\n\x01", 3), std::string(kMaxNameBytes, 'n')}) {
      const Key dentry = schema.Dentry(inode, name);
      const auto parsed = schema.ParseDentry(dentry);
      ASSERT_TRUE(parsed);
      EXPECT_EQ(parsed->parent, inode);
      EXPECT_EQ(parsed->hash, schema.NameHash(name));
      EXPECT_EQ(parsed->name, name);
      const Key xattr = schema.Xattr(inode, name);
      EXPECT_EQ(schema.ParseXattr(xattr)->inode, inode);
      EXPECT_EQ(schema.ParseXattr(xattr)->name, name);
    }
  }
}

TEST(SchemaTest, RefusesKeysOfAnotherScopeOrLength) {
  const Schema schema({}, kSeed);
  EXPECT_FALSE(schema.ParseInode(""));
  EXPECT_FALSE(schema.ParseInode(FromHex("01")));
  EXPECT_FALSE(schema.ParseInode(FromHex("01 00000000000000")));
  EXPECT_FALSE(schema.ParseInode(FromHex("01 0000000000000001 00")));
  EXPECT_FALSE(schema.ParseInode(FromHex("01 0000000000000001 000000")));
  EXPECT_FALSE(schema.ParseInode(FromHex("02 0000000000000001")));
  EXPECT_FALSE(schema.ParseBlock(FromHex("02 0000000000000002 00000000000000")));
  EXPECT_FALSE(schema.ParseBlock(FromHex("02 0000000000000002 0000000000000000 00")));
  EXPECT_FALSE(schema.ParseDentry(FromHex("04 0000000000000001 00000000000001")));  // no name
  EXPECT_FALSE(schema.ParseDentry(FromHex("04 0000000000000001 00000000000001") +
                                  std::string(kMaxNameBytes + 1, 'n')));
  EXPECT_FALSE(schema.ParseXattr(FromHex("05 0000000000000002")));  // no name
  EXPECT_FALSE(
      schema.ParseXattr(FromHex("05 0000000000000002") + std::string(kMaxXattrNameBytes + 1, 'n')));
  EXPECT_FALSE(schema.ParseLeftover(FromHex("08 0000000000001122 00000000000002")));
  EXPECT_FALSE(schema.ParseLeftover(FromHex("08 0000000000001122 0000000000000002 00")));
}

bool Contains(const KeySpan& span, const Key& key) {
  return span.begin.view() <= key.view() && key.view() < span.end.view();
}

TEST(SchemaTest, SpansHoldWhatBelongsTogetherAndNothingElse) {
  const Schema schema("F7", kSeed);
  const KeySpan blocks = schema.Blocks({2}, {3}, {5});
  EXPECT_FALSE(Contains(blocks, schema.Block({2}, {2})));
  EXPECT_TRUE(Contains(blocks, schema.Block({2}, {3})));
  EXPECT_TRUE(Contains(blocks, schema.Block({2}, {4})));
  EXPECT_FALSE(Contains(blocks, schema.Block({2}, {5})));
  EXPECT_FALSE(Contains(blocks, schema.Block({3}, {4})));

  EXPECT_TRUE(Contains(schema.Dentries({1}), schema.Dentry({1}, "a")));
  EXPECT_FALSE(Contains(schema.Dentries({1}), schema.Dentry({2}, "a")));
  const uint64_t hash = schema.NameHash("a");
  EXPECT_TRUE(Contains(schema.Dentries({1}, hash), schema.Dentry({1}, "a")));
  EXPECT_FALSE(Contains(schema.Dentries({1}, hash + 1), schema.Dentry({1}, "a")));

  EXPECT_TRUE(Contains(schema.Xattrs({2}), schema.Xattr({2}, "user.x")));
  EXPECT_FALSE(Contains(schema.Xattrs({2}), schema.Xattr({3}, "user.x")));

  const KeySpan inodes = schema.AllOf(Schema::Scope::kInode);
  EXPECT_TRUE(Contains(inodes, schema.Inode({UINT64_MAX})));
  EXPECT_TRUE(Contains(inodes, schema.Stripe({1}, 0)));
  EXPECT_FALSE(Contains(inodes, schema.Block({0}, {0})));
  EXPECT_FALSE(Contains(inodes, schema.Meta()));
}

// What a listing relies on: the entries of a directory lie in the order of their names' hashes.
TEST(SchemaTest, EntriesLieInTheOrderOfTheirHashes) {
  const Schema schema({}, kSeed);
  for (int i = 0; i < 1000; ++i) {
    const std::string a = "a" + std::to_string(i);
    const std::string b = "b" + std::to_string(i);
    ASSERT_EQ(schema.NameHash(a) < schema.NameHash(b),
              schema.Dentry({1}, a).view() < schema.Dentry({1}, b).view());
    ASSERT_GE(schema.NameHash(a), Schema::kFirstNameHash);
    ASSERT_LT(schema.NameHash(a), uint64_t{1} << Schema::kNameHashBits);
  }
}

}  // namespace
}  // namespace tifs::fs
