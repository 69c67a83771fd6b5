#include "fs/records.h"

#include <gtest/gtest.h>

#include <string>

#include "fs/data/block_value.h"
#include "fs/inode_allocator.h"
#include "fs/persisted_bytes_test_help.h"

namespace tifs::fs {
namespace {

template <typename Record>
void ExpectCorrupt(const Result<Record>& decoded) {
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code(), ErrorCode::kCorrupt);
}

// --- inode ---

InodeRecord FileInode() {
  InodeRecord inode;
  inode.number = {2};
  inode.mode = S_IFREG | 0640;
  inode.uid = 1000;
  inode.gid = 100;
  inode.nlink = 1;
  inode.flags = InodeRecord::kHasXattrs | InodeRecord::kHasBlocks;
  inode.size_bytes = 0x12345;
  inode.charged_bytes = 0x13000;
  inode.change = 7;
  inode.atime = {1'700'000'000, 1};
  inode.mtime = {-1, 999'999'999};
  inode.ctime = {1'700'000'002, 3};
  inode.btime = {1'700'000'000, 0};
  inode.clear_epoch = 2;
  inode.pending_clears = {{{{1}, {2}}, 2}};
  inode.preallocated = {{{8}, {16}}};
  return inode;
}

const std::string kFileInode = FromHex(
    "01"                          // version
    "a0810000 e8030000 64000000"  // mode 0100640, uid 1000, gid 100
    "01000000 00000000 11000000"  // nlink, rdev, flags
    "4523010000000000"            // size
    "0030010000000000"            // charged
    "0700000000000000"            // change
    "00f1536500000000 01000000"   // atime
    "ffffffffffffffff ffc99a3b"   // mtime: 1 ns before 1970
    "02f1536500000000 03000000"   // ctime
    "00f1536500000000 00000000"   // btime
    "0000000000000000"            // parent
    "02000000"                    // clear epoch
    "01 0100000000000000 0200000000000000 02000000"
    "01 0800000000000000 1000000000000000");

bool Same(const InodeRecord& a, const InodeRecord& b) {
  return a.number == b.number && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
         a.nlink == b.nlink && a.rdev == b.rdev && a.flags == b.flags &&
         a.size_bytes == b.size_bytes && a.charged_bytes == b.charged_bytes &&
         a.change == b.change && a.atime == b.atime && a.mtime == b.mtime && a.ctime == b.ctime &&
         a.btime == b.btime && a.parent == b.parent && a.clear_epoch == b.clear_epoch &&
         a.pending_clears == b.pending_clears && a.preallocated == b.preallocated &&
         a.inline_data == b.inline_data;
}

TEST(RecordsTest, AnInodeIsTheBytesOfTheDocument) {
  EXPECT_EQ(FileInode().Encode(), kFileInode);
  EXPECT_EQ(kFileInode.size(), 109u + 2 + 20 + 16);
  const auto decoded = InodeRecord::Decode({2}, kFileInode);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(Same(*decoded, FileInode()));
}

TEST(RecordsTest, InlineDataIsTheRestOfAnInode) {
  InodeRecord inode = FileInode();
  inode.inline_data = "in line";
  EXPECT_EQ(inode.Encode(), kFileInode + "in line");
  EXPECT_EQ(InodeRecord::Decode({2}, kFileInode + "in line")->inline_data, "in line");
  EXPECT_EQ(InodeRecord::Decode({2}, kFileInode + "in line", false)->inline_data, "");
}

TEST(RecordsTest, RefusesMalformedInodes) {
  ExpectRefusesCutsAndVersions(kFileInode, ErrorCode::kCorrupt,
                               [](std::string_view v) { return InodeRecord::Decode({2}, v); });
  InodeRecord inode = FileInode();
  inode.size_bytes = kMaxFileBytes + 1;
  ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  inode = FileInode();
  inode.size_bytes = 6;
  inode.inline_data = "in line";
  ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  inode = FileInode();
  inode.ctime.nanoseconds = 1'000'000'000;
  ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  inode = FileInode();
  inode.pending_clears.assign(InodeRecord::kMaxPendingClears + 1, {{{1}, {2}}, 1});
  ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  inode = FileInode();
  inode.preallocated.assign(InodeRecord::kMaxPreallocations + 1, {{1}, {2}});
  ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
}

TEST(RecordsTest, RefusesTypesAndClearsThatCannotBe) {
  for (uint32_t mode : {0u, 0640u, 0x3000u | 0640, 0xf000u | 0640, S_IFREG | 0x10000u}) {
    InodeRecord inode = FileInode();
    inode.mode = mode;
    ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  }
  for (uint32_t type : {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}) {
    InodeRecord inode = FileInode();
    inode.mode = type | 07777;
    EXPECT_TRUE(InodeRecord::Decode({2}, inode.Encode()).ok());
  }
  const PendingClear clears[] = {
      {{{1}, {2}}, 3}, {{{2}, {2}}, 2}, {{{3}, {2}}, 2}, {{{0}, {UINT64_MAX}}, 2}};
  for (const PendingClear& clear : clears) {
    InodeRecord inode = FileInode();  // of clear epoch 2
    inode.pending_clears = {clear};
    ExpectCorrupt(InodeRecord::Decode({2}, inode.Encode()));
  }
}

TEST(RecordsTest, OfADamagedInodeOneFieldIsMended) {
  const auto mended = [](std::string value) { return InodeRecord::DecodeDamaged({2}, value); };
  EXPECT_TRUE(Same(*mended(kFileInode), FileInode())) << "a sound one is itself";
  std::string value = kFileInode;
  value[0] = 9;
  EXPECT_TRUE(Same(*mended(value), FileInode()));
  value[4] = 1;
  EXPECT_FALSE(mended(value)) << "two";
  value = kFileInode;
  value[109] = 77;
  InodeRecord without_ranges = FileInode();
  without_ranges.pending_clears.clear();
  without_ranges.preallocated.clear();
  EXPECT_TRUE(Same(*mended(value), without_ranges)) << "what is behind the count is no data";
  EXPECT_TRUE(Same(*mended(kFileInode.substr(0, 120)), without_ranges));
  EXPECT_TRUE(Same(*mended(kFileInode.substr(0, 109)), without_ranges));
  EXPECT_FALSE(mended(kFileInode.substr(0, 108)));
  EXPECT_FALSE(mended(std::string(200, '\0')));
  EXPECT_FALSE(mended(std::string(200, '\xff')));
}

TEST(RecordsTest, AClearHidesOlderBlocksOfItsRangeOnly) {
  const InodeRecord inode = FileInode();  // clears [1, 2) below epoch 2
  EXPECT_FALSE(inode.IsLive({1}, 1));
  EXPECT_TRUE(inode.IsLive({1}, 2));
  EXPECT_TRUE(inode.IsLive({0}, 1));
  EXPECT_TRUE(inode.IsLive({2}, 1));
}

TEST(RecordsTest, ChargesByPagesAndPreallocatedBlocksWhole) {
  const InodeRecord inode = FileInode();  // preallocated [8, 16)
  EXPECT_EQ(inode.ChargeOf({0}, 0, 65536), 0u);
  EXPECT_EQ(inode.ChargeOf({0}, 1, 65536), 4096u);
  EXPECT_EQ(inode.ChargeOf({0}, 4097, 65536), 8192u);
  EXPECT_EQ(inode.ChargeOf({8}, 0, 65536), 65536u);
  EXPECT_EQ(inode.ChargeOf({15}, 1, 65536), 65536u);
  EXPECT_EQ(inode.ChargeOf({16}, 1, 65536), 4096u);
}

// --- directories ---

TEST(RecordsTest, AStripeIsTheBytesOfTheDocument) {
  StripeRecord stripe;
  stripe.entries = 3;
  stripe.subdirectories = -1;  // as the sum of all stripes may not be, but one of them may
  stripe.mtime = {1'700'000'000, 1};
  stripe.ctime = {INT64_MIN, 0};
  stripe.change = 9;
  const std::string value = FromHex(
      "01 0300000000000000 ffffffffffffffff"
      "00f1536500000000 01000000 0000000000000080 00000000 0900000000000000");
  EXPECT_EQ(stripe.Encode(), value);
  const auto decoded = StripeRecord::Decode(value);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->Encode(), value);
  EXPECT_EQ(decoded->subdirectories, -1);
  EXPECT_EQ(decoded->ctime.seconds, INT64_MIN);
  ExpectRefusesCutsAndVersions(value, ErrorCode::kCorrupt, StripeRecord::Decode);
  ExpectCorrupt(StripeRecord::Decode(value + '\0'));
  stripe.mtime.nanoseconds = 1'000'000'000;
  ExpectCorrupt(StripeRecord::Decode(stripe.Encode()));
}

TEST(RecordsTest, AnEntryIsTheBytesOfTheDocument) {
  const std::string value = FromHex("01 0200000000000000 08");
  EXPECT_EQ((DentryRecord{{2}, S_IFREG}.Encode()), value);
  EXPECT_EQ((DentryRecord{{2}, S_IFDIR}.Encode()), FromHex("01 0200000000000000 04"));
  const auto decoded = DentryRecord::Decode(value);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->inode.value, 2u);
  EXPECT_EQ(decoded->type_mode, uint32_t{S_IFREG});
  ExpectRefusesCutsAndVersions(value, ErrorCode::kCorrupt, DentryRecord::Decode);
  ExpectCorrupt(DentryRecord::Decode(value + '\0'));
  ExpectCorrupt(DentryRecord::Decode(FromHex("01 0000000000000000 08")));  // inode 0
  ExpectCorrupt(DentryRecord::Decode(FromHex("01 0200000000000000 10")));  // no type
}

// --- the whole ---

MetaRecord SomeMeta() {
  MetaRecord meta;
  meta.incompatible = MetaRecord::kFeatureExtents;
  for (size_t i = 0; i < meta.uuid.size(); ++i) meta.uuid[i] = static_cast<uint8_t>(0xa0 + i);
  meta.hash_seed = 0x0123456789abcdef;
  meta.block_size_bytes = 65536;
  meta.inline_bytes = 4096;
  meta.capacity_bytes = 1 << 30;
  meta.max_inodes = 10'000;
  meta.created = {1'700'000'000, 5};
  meta.name = "home";
  return meta;
}

const std::string kMeta = FromHex(
    "01 01000000"                                         // version, format version
    "0000000000000000 0000000000000000 0100000000000000"  // features
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf efcdab8967452301"   // UUID, hash seed
    "00000100 00100000 0100"                              // block size, in-line size, stripes
    "0000004000000000 1027000000000000"                   // capacity, inodes
    "00f1536500000000 05000000 04000000 686f6d65");       // created, name

TEST(RecordsTest, MetaIsTheBytesOfTheDocument) {
  EXPECT_EQ(SomeMeta().Encode(), kMeta);
  const auto decoded = MetaRecord::Decode(kMeta);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->Encode(), kMeta);
  EXPECT_EQ(decoded->UuidText(), "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf");
  EXPECT_EQ(decoded->name, "home");
}

TEST(RecordsTest, WhatFollowsMetaIsForLaterReleases) {
  EXPECT_TRUE(MetaRecord::Decode(kMeta + "more").ok());
}

TEST(RecordsTest, RefusesMalformedMeta) {
  ExpectRefusesCutsAndVersions(kMeta, ErrorCode::kNotSupported, MetaRecord::Decode);
  const auto refuses = [](auto change) {
    MetaRecord meta = SomeMeta();
    change(meta);
    ExpectCorrupt(MetaRecord::Decode(meta.Encode()));
  };
  refuses([](MetaRecord& m) { m.block_size_bytes = 2048; });
  refuses([](MetaRecord& m) { m.block_size_bytes = 2 << 20; });
  refuses([](MetaRecord& m) { m.block_size_bytes = 4097; });
  refuses([](MetaRecord& m) { m.inline_bytes = m.block_size_bytes + 1; });
  refuses([](MetaRecord& m) { m.directory_stripes = 0; });
}

TEST(RecordsTest, MetaOfALaterReleaseIsNotSupportedRatherThanCorrupt) {
  MetaRecord meta = SomeMeta();
  meta.format_version = MetaRecord::kFormatVersion + 1;
  EXPECT_EQ(MetaRecord::Decode(meta.Encode()).error().code(), ErrorCode::kNotSupported);
  meta = SomeMeta();
  meta.incompatible |= uint64_t{1} << 63;
  EXPECT_EQ(MetaRecord::Decode(meta.Encode()).error().code(), ErrorCode::kNotSupported);
  // What follows the feature flags may look like anything then.
  const std::string head = meta.Encode().substr(0, 29);
  EXPECT_EQ(MetaRecord::Decode(head).error().code(), ErrorCode::kNotSupported);
  meta = SomeMeta();
  meta.compatible = meta.read_only_compatible = uint64_t{1} << 63;
  EXPECT_TRUE(MetaRecord::Decode(meta.Encode()).ok()) << "who opens it decides";
}

TEST(RecordsTest, LeftoversUsageAndTheNextInodeAreTheBytesOfTheDocument) {
  EXPECT_EQ(LeftoverRecord{LeftoverKind::kOrphan}.Encode(), FromHex("0101"));
  EXPECT_EQ(LeftoverRecord{LeftoverKind::kClear}.Encode(), FromHex("0102"));
  EXPECT_EQ(LeftoverRecord::Decode(FromHex("0102"))->kind, LeftoverKind::kClear);
  ExpectRefusesCutsAndVersions(FromHex("0101"), ErrorCode::kCorrupt, LeftoverRecord::Decode);
  for (const char* bad : {"0100", "0103", "010100"}) {
    ExpectCorrupt(LeftoverRecord::Decode(FromHex(bad)));
  }

  const std::string usage = FromHex("01 0030000000000000 0500000000000000 01");
  EXPECT_EQ((UsageRecord{0x3000, 5, true}.Encode()), usage);
  EXPECT_TRUE(UsageRecord::Decode(usage)->exact);
  EXPECT_EQ(UsageRecord::Decode(usage)->Encode(), usage);
  ExpectRefusesCutsAndVersions(usage, ErrorCode::kCorrupt, UsageRecord::Decode);
  ExpectCorrupt(UsageRecord::Decode(usage + '\0'));
  ExpectCorrupt(UsageRecord::Decode(FromHex("01 0030000000000000 0500000000000000 02")));

  const std::string next = FromHex("01 0220000000000000");
  EXPECT_EQ(EncodeNextInode(8194), next);
  EXPECT_EQ(*DecodeNextInode(next), 8194u);
  ExpectRefusesCutsAndVersions(next, ErrorCode::kCorrupt, DecodeNextInode);
  ExpectCorrupt(DecodeNextInode(next + '\0'));
  ExpectCorrupt(DecodeNextInode(FromHex("01 0100000000000000")));  // the root's
}

// --- blocks ---

TEST(RecordsTest, ABlockIsTheBytesOfTheDocument) {
  std::string raw;
  BlockValue::AppendHead(raw, BlockEncoding::kRaw, 2);
  raw.append("bytes");
  EXPECT_EQ(raw, FromHex("01 00 02000000 6279746573"));
  const auto decoded_raw = BlockValue::Decode(raw);
  ASSERT_TRUE(decoded_raw.ok());
  EXPECT_EQ(decoded_raw->epoch, 2u);
  EXPECT_EQ(decoded_raw->payload, "bytes");
  EXPECT_EQ(*BlockLength(*decoded_raw), 5u);
  ExpectCorrupt(ExtentReference::Decode(*decoded_raw));

  std::string extent;
  BlockValue::AppendHead(extent, BlockEncoding::kExtent, 2);
  ExtentReference{0x0a0b, 65536}.Append(extent);
  EXPECT_EQ(extent, FromHex("01 01 02000000 0b0a000000000000 00000100"));
  const auto decoded = BlockValue::Decode(extent);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(ExtentReference::Decode(*decoded)->slot, 0x0a0bu);
  EXPECT_EQ(*BlockLength(*decoded), 65536u);
}

TEST(RecordsTest, RefusesMalformedBlocks) {
  const auto decode = [](std::string_view value) -> Result<uint32_t> {
    const BlockValue block = TRY(BlockValue::Decode(value));
    return BlockLength(block);
  };
  ExpectRefusesCutsAndVersions(FromHex("01 01 02000000 0b0a000000000000 00000100"),
                               ErrorCode::kCorrupt, decode);
  ExpectCorrupt(decode(FromHex("01 02 02000000 00")));  // no such encoding
  ExpectCorrupt(decode(FromHex("01 01 02000000 0b0a000000000000 00000100 00")));
  std::string far;
  BlockValue::AppendHead(far, BlockEncoding::kExtent, 0);
  ExtentReference{ExtentReference::kMaxSlot + 1, 1}.Append(far);
  ExpectCorrupt(decode(far));
}

}  // namespace
}  // namespace tifs::fs
