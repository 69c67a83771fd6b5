// A store that release 0.1.0 wrote opens in every later release and holds what it held. See
// README.md.
#include "tests/golden/golden_store.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "fs/fs_check.h"
#include "fs/records.h"
#include "fs/schema.h"

namespace tifs::golden {
namespace {

using fs::Attributes;
using fs::InodeNumber;
using fs::kRootInode;

struct Case {
  const char* name;
  Blocks blocks;
  const char* file;  // nullptr: as this release writes it
};
void PrintTo(const Case& which, std::ostream* out) { *out << which.name; }

Result<Dump> DumpOf(const Case& which) {
  if (which.file == nullptr) return MakeGoldenStore(which.blocks);
  std::ifstream file(std::string(TIFS_GOLDEN_DIR) + "/" + which.file, std::ios::binary);
  if (!file) return Error(ErrorCode::kNotFound, "golden dump", which.file);
  return Dump::FromText(std::string(std::istreambuf_iterator<char>(file), {}));
}

class GoldenStoreTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto dump = DumpOf(GetParam());
    ASSERT_TRUE(dump.ok()) << dump.error().ToString();
    ASSERT_TRUE(dump->Restore(store_, device_).ok());
    clock_.Advance(std::chrono::hours(24));
    ASSERT_NO_FATAL_FAILURE(Mount());
  }

  void Mount() {
    fs_.reset();
    auto opened = OpenGolden(GetParam().blocks, store_, device_, clock_);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    fs_ = *std::move(opened);
  }

  Attributes AttributesOf(std::string_view path) {
    Attributes attributes;
    attributes.inode = kRootInode;
    while (!path.empty()) {
      const size_t slash = std::min(path.find('/'), path.size());
      const auto entry = fs_->Lookup(context_, attributes.inode, path.substr(0, slash));
      if (!entry) {
        ADD_FAILURE() << path << ": " << entry.error().ToString();
        return {};
      }
      attributes = entry->attributes;
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return attributes;
  }
  InodeNumber InodeOf(std::string_view path) { return AttributesOf(path).inode; }

  std::string Read(std::string_view path, uint64_t offset_bytes = 0, size_t size = 1 << 21) {
    std::string bytes(size, 'x');
    const auto read = fs_->Read(context_, InodeOf(path), {}, offset_bytes, bytes);
    if (!read) return "error: " + read.error().ToString();
    bytes.resize(*read);
    return bytes;
  }

  std::vector<std::string> NamesIn(std::string_view path) {
    std::vector<std::string> names;
    const Status listed = fs_->ReadDirectory(context_, path.empty() ? kRootInode : InodeOf(path), 0,
                                             0, false, [&](const fs::DirectoryEntry& entry) {
                                               names.emplace_back(entry.name);
                                               return true;
                                             });
    EXPECT_TRUE(listed.ok());
    std::ranges::sort(names);
    return names;
  }

  std::string Xattr(std::string_view path, std::string_view name) {
    auto value = fs_->GetXattr(context_, InodeOf(path), name);
    return value ? *value : "error: " + value.error().ToString();
  }

  void ExpectClean() {
    const auto report = fs::Check(store_, clock_, {});
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    EXPECT_EQ(report->finding_count, 0u)
        << (report->findings.empty() ? "" : report->findings.front().what);
  }

  kv::MemKv store_;
  fs::MemExtentDevice device_;
  ManualClock clock_;
  const fs::OpContext context_;
  std::unique_ptr<fs::FileSystem> fs_;
};

TEST_P(GoldenStoreTest, SaysWhatItIs) {
  const auto info = fs_->Info();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->uuid, "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf");
  EXPECT_EQ(info->name, "golden");
  EXPECT_EQ(info->format_version, 1u);
  EXPECT_EQ(info->block_size_bytes, kBlockBytes);
  EXPECT_EQ(info->capacity_bytes, uint64_t{1} << 40);
  EXPECT_EQ(info->max_inodes, 10'000u);
  EXPECT_EQ(*fs::UsesExtents(store_), GetParam().blocks == Blocks::kInDataFile);
}

TEST_P(GoldenStoreTest, ListsEveryName) {
  std::vector<std::string> names = {".",
                                    "..",
                                    "a",
                                    "acl",
                                    "attributes",
                                    "b",
                                    "cleared",
                                    "cut",
                                    "disk",
                                    "fifo",
                                    "hard",
                                    "link",
                                    "long_link",
                                    "null",
                                    "reserved",
                                    "socket",
                                    "sparse",
                                    std::string(255, 'n'),
                                    "\xff\n\\ \x01"};
  std::ranges::sort(names);
  EXPECT_EQ(NamesIn(""), names);
  EXPECT_EQ(NamesIn("a"),
            (std::vector<std::string>{".", "..", "empty", "inline", "program", "two_blocks"}));
  EXPECT_EQ(NamesIn("acl"), (std::vector<std::string>{".", "..", "inherits", "passes_on"}));
  EXPECT_EQ(NamesIn("b"), (std::vector<std::string>{".", "..", "covered", "moved", "uncovered"}));
  EXPECT_EQ(NamesIn("b/moved"), (std::vector<std::string>{".", "..", "passenger"}));
}

TEST_P(GoldenStoreTest, CountsLinksAndEntriesOfDirectories) {
  EXPECT_EQ(AttributesOf("").inode, kRootInode);
  const auto root = fs_->GetAttributes(context_, kRootInode);
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->attributes.mode, uint32_t{S_IFDIR | 0755});
  EXPECT_EQ(root->attributes.nlink, 5u);  // a, acl, b
  EXPECT_EQ(root->attributes.size_bytes, 17u);
  EXPECT_EQ(AttributesOf("b").nlink, 3u);
  EXPECT_EQ(AttributesOf("b").size_bytes, 3u);
  EXPECT_EQ(fs_->Lookup(context_, InodeOf("b/moved"), "..")->attributes.inode, InodeOf("b"));
}

TEST_P(GoldenStoreTest, HoldsTheContentsOfFiles) {
  EXPECT_EQ(Read("a/inline"), "in line");
  EXPECT_EQ(Read("a/empty"), "");
  EXPECT_EQ(Read("a/two_blocks"), std::string(5000, 'b'));
  EXPECT_EQ(Read(std::string(255, 'n')), "long name");
  EXPECT_EQ(Read("\xff\n\\ \x01"), "odd name");
  EXPECT_EQ(Read("b/moved/passenger"), "still here");
  EXPECT_EQ(Read("b/uncovered"), "below");
}

TEST_P(GoldenStoreTest, HoldsAttributes) {
  const Attributes in_line = AttributesOf("a/inline");
  EXPECT_EQ(in_line.mode, uint32_t{S_IFREG | 0640});
  EXPECT_EQ(in_line.uid, 1000u);
  EXPECT_EQ(in_line.gid, 100u);
  EXPECT_EQ(in_line.size_bytes, 7u);
  EXPECT_EQ(in_line.allocated_bytes, 512u);
  EXPECT_EQ(in_line.atime, (Timespec{1, 2}));
  EXPECT_EQ(in_line.mtime, (Timespec{-1, 999'999'999}));
  EXPECT_GT(in_line.ctime.seconds, 1'700'000'000);
  EXPECT_GT(in_line.btime.seconds, 1'700'000'000);
  EXPECT_LT(in_line.btime, in_line.ctime);
  EXPECT_EQ(AttributesOf("a/program").mode, uint32_t{S_IFREG | 04755});
  const Attributes two = AttributesOf("a/two_blocks");
  EXPECT_EQ(two.nlink, 2u);
  EXPECT_EQ(two.allocated_bytes, 2 * kBlockBytes);
  EXPECT_EQ(InodeOf("hard"), two.inode);
}

TEST_P(GoldenStoreTest, HoldsSpecialFiles) {
  EXPECT_EQ(*fs_->Readlink(context_, InodeOf("link")), "a/two_blocks");
  EXPECT_EQ(*fs_->Readlink(context_, InodeOf("long_link")), std::string(4095, 'l'));
  EXPECT_EQ(AttributesOf("link").mode, uint32_t{S_IFLNK | 0777});
  EXPECT_EQ(AttributesOf("fifo").mode, uint32_t{S_IFIFO | 0600});
  EXPECT_EQ(AttributesOf("socket").mode, uint32_t{S_IFSOCK | 0600});
  EXPECT_EQ(AttributesOf("null").mode, uint32_t{S_IFCHR | 0666});
  EXPECT_EQ(AttributesOf("null").rdev, makedev(1, 3));
  EXPECT_EQ(AttributesOf("disk").mode, uint32_t{S_IFBLK | 0660});
  EXPECT_EQ(AttributesOf("disk").rdev, makedev(8, 17));
  EXPECT_EQ(AttributesOf("b/covered").mode, uint32_t{S_IFCHR});
  EXPECT_EQ(AttributesOf("b/covered").rdev, 0u);
}

TEST_P(GoldenStoreTest, HoldsExtendedAttributesAndAcls) {
  EXPECT_EQ(Xattr("attributes", "user.comment"), "golden");
  EXPECT_EQ(Xattr("attributes", "user.empty"), "");
  EXPECT_EQ(Xattr("attributes", "trusted.binary"), std::string("\0\xff\0", 3));
  EXPECT_EQ(Xattr("attributes", "security.capability"), "cap");
  const std::string acl = Xattr("attributes", "system.posix_acl_access");
  ASSERT_EQ(acl.size(), 44u);
  EXPECT_EQ(acl.substr(12, 8), std::string("\x02\0\x06\0\xe9\x03\0\0", 8));  // u:1001:rw-
  EXPECT_EQ(AttributesOf("attributes").mode, uint32_t{S_IFREG | 0770});
  EXPECT_EQ(*fs_->ListXattrs(context_, InodeOf("attributes")),
            std::string("security.capability\0system.posix_acl_access\0trusted.binary\0"
                        "user.comment\0user.empty\0",
                        83));

  EXPECT_EQ(Xattr("acl", "system.posix_acl_default"), acl);
  EXPECT_EQ(Xattr("acl/passes_on", "system.posix_acl_default"), acl);
  EXPECT_EQ(AttributesOf("acl/passes_on").mode, uint32_t{S_IFDIR | S_ISGID | 0770});
  EXPECT_EQ(AttributesOf("acl/inherits").mode, uint32_t{S_IFREG | 0660});
  EXPECT_EQ(Xattr("acl/inherits", "system.posix_acl_access").size(), 44u);
}

TEST_P(GoldenStoreTest, HoldsHolesAndReservations) {
  const uint64_t far = (uint64_t{1} << 40) + 5;
  EXPECT_EQ(AttributesOf("sparse").size_bytes, far + 1);
  EXPECT_EQ(AttributesOf("sparse").allocated_bytes, 2 * kBlockBytes);
  EXPECT_EQ(Read("sparse", far - 1), std::string("\0z", 2));
  EXPECT_EQ(Read("sparse", 3 * kBlockBytes + 9, 3), std::string("\0y\0", 3));
  EXPECT_EQ(Read("sparse", 0, 3 * kBlockBytes), std::string(3 * kBlockBytes, '\0'));
  const auto seek = [&](uint64_t from, fs::SeekWhence whence) {
    const auto found = fs_->Seek(context_, InodeOf("sparse"), {}, from, whence);
    return found ? *found : 0;
  };
  EXPECT_EQ(seek(0, fs::SeekWhence::kData), 3 * kBlockBytes);
  EXPECT_EQ(seek(4 * kBlockBytes, fs::SeekWhence::kData), uint64_t{1} << 40);

  EXPECT_EQ(Read("reserved"), "abc");
  EXPECT_EQ(AttributesOf("reserved").allocated_bytes, 10 * kBlockBytes);

  EXPECT_EQ(Read("cut"), std::string(kBlockBytes + 100, 'q'));
  ASSERT_TRUE(fs_->Allocate(context_, InodeOf("cut"), {}, {}, 0, 3 * kBlockBytes).ok());
  EXPECT_EQ(Read("cut", kBlockBytes + 100), std::string(2 * kBlockBytes - 100, '\0'));
}

TEST_P(GoldenStoreTest, WhatWaitsToBeClearedIsAHoleAndWhatCameLaterIsNot) {
  const auto expect_contents = [&] {
    std::string expected(300 * kBlockBytes, '\0');
    std::fill_n(expected.begin(), 10 * kBlockBytes, 'c');
    std::fill_n(expected.begin() + 290 * kBlockBytes, 10 * kBlockBytes, 'c');
    expected.replace(100 * kBlockBytes, 4, "live");
    EXPECT_TRUE(Read("cleared") == expected);
  };
  expect_contents();
  EXPECT_GT(AttributesOf("cleared").allocated_bytes, 21 * kBlockBytes);
  for (bool more = true; more;) {
    const auto step = fs_->RunBackgroundStep();
    ASSERT_TRUE(step.ok());
    more = *step;
  }
  expect_contents();
  EXPECT_EQ(AttributesOf("cleared").allocated_bytes, 21 * kBlockBytes);
  ExpectClean();
  ASSERT_NO_FATAL_FAILURE(Mount());
  expect_contents();
}

TEST_P(GoldenStoreTest, ReclaimsTheOrphanThatWasLeft) {
  EXPECT_EQ(fs_->Lookup(context_, kRootInode, "orphan").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(fs::Check(store_, clock_, {})->orphans, 1u);
  while (*fs_->RunBackgroundStep()) {
  }
  const auto report = fs::Check(store_, clock_, {});
  EXPECT_EQ(report->orphans, 0u);
  EXPECT_EQ(report->inodes, 27u);
  EXPECT_EQ(fs_->Info()->used_inodes, 27u);
  EXPECT_EQ(fs_->Info()->used_bytes, report->used_bytes);
  ExpectClean();
}

TEST_P(GoldenStoreTest, IsSoundAndStaysSoThroughChanges) {
  ExpectClean();
  const auto created = fs_->Create(context_, InodeOf("b/moved"), "new", 0644, {});
  ASSERT_TRUE(created.ok());
  const InodeNumber inode = created->entry.attributes.inode;
  EXPECT_GT(inode, InodeOf("cleared"));
  ASSERT_TRUE(fs_->Write(context_, inode, {}, 0, std::string(9000, 'n'), {}).ok());
  ASSERT_TRUE(fs_->Write(context_, InodeOf("a/two_blocks"), {}, 4990, "written over", {}).ok());
  ASSERT_TRUE(fs_->Rename(context_, kRootInode, "sparse", InodeOf("a"), "empty", 0).ok());
  ASSERT_NO_FATAL_FAILURE(Mount());
  EXPECT_EQ(Read("b/moved/new"), std::string(9000, 'n'));
  EXPECT_EQ(Read("hard", 4980), "bbbbbbbbbbwritten over");
  EXPECT_EQ(AttributesOf("a/empty").size_bytes, (uint64_t{1} << 40) + 6);
  ExpectClean();
}

INSTANTIATE_TEST_SUITE_P(
    Golden, GoldenStoreTest,
    testing::Values(Case{"InValuesBy010", Blocks::kInValues, "format1_values.txt"},
                    Case{"InDataFileBy010", Blocks::kInDataFile, "format1_extents.txt"},
                    Case{"InValuesNow", Blocks::kInValues, nullptr},
                    Case{"InDataFileNow", Blocks::kInDataFile, nullptr}),
    [](const auto& instance) { return instance.param.name; });

TEST(GoldenDumpTest, TextHoldsAllOfADump) {
  Dump dump;
  dump.pairs = {{std::string("\0key", 4), ""},
                {"run", std::string(100, 'r') + "end" + std::string(30, '\0')}};
  dump.blocks = std::string(50, '\0') + "bytes" + std::string(4096, 'b') + std::string(7, '\0');
  const auto read = Dump::FromText("# comment\n\n" + dump.ToText());
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->pairs, dump.pairs);
  EXPECT_EQ(read->blocks, dump.blocks);
}

TEST(GoldenDumpTest, RefusesWhatItDoesNotUnderstand) {
  for (const char* text : {"00", "0 00", "00 0", "00 [00*]", "00 [00*3", "0x 00", "blocks x",
                           "@0 00", "blocks 1\n@1 00", "blocks 1\n@0 0000"}) {
    EXPECT_FALSE(Dump::FromText(text).ok()) << text;
  }
}

TEST(GoldenDumpTest, TheMakerGivesTheSameBytesEachTime) {
  EXPECT_TRUE(MakeGoldenStore(Blocks::kInDataFile)->ToText() ==
              MakeGoldenStore(Blocks::kInDataFile)->ToText());
}

// --- what a store of a later release may say of itself ---

class FeatureFlagTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeGoldenStore(Blocks::kInValues)->Restore(store_, device_).ok());
  }

  void SetFlags(auto change) {
    const auto txn = *store_.Begin();
    const fs::Key key = fs::Schema().Meta();
    fs::MetaRecord meta = *fs::MetaRecord::Decode((**txn->Get(key)).view());
    change(meta);
    ASSERT_TRUE(txn->Put(key, meta.Encode()).ok());
    ASSERT_TRUE(txn->Commit().ok());
  }
  ErrorCode OpenError(bool read_only) {
    const auto opened =
        fs::FileSystem::Open(store_, clock_, {.read_only = read_only, .background_thread = false});
    return opened ? kOpened : opened.error().code();
  }

  static constexpr uint64_t kUnknown = uint64_t{1} << 63;
  static constexpr ErrorCode kOpened = ErrorCode::kInterrupted;  // what Open never answers
  kv::MemKv store_;
  fs::MemExtentDevice device_;
  ManualClock clock_;
};

TEST_F(FeatureFlagTest, ACompatibleOneHindersNoMount) {
  SetFlags([](fs::MetaRecord& meta) { meta.compatible = kUnknown; });
  EXPECT_EQ(OpenError(false), kOpened);
}

TEST_F(FeatureFlagTest, AReadOnlyCompatibleOneAllowsReadingOnly) {
  SetFlags([](fs::MetaRecord& meta) { meta.read_only_compatible = kUnknown; });
  EXPECT_EQ(OpenError(false), ErrorCode::kReadOnly);
  EXPECT_EQ(OpenError(true), kOpened);
}

TEST_F(FeatureFlagTest, AnIncompatibleOneIsRefused) {
  SetFlags([](fs::MetaRecord& meta) { meta.incompatible = kUnknown; });
  EXPECT_EQ(OpenError(false), ErrorCode::kNotSupported);
  EXPECT_EQ(OpenError(true), ErrorCode::kNotSupported);
}

// What this release does not know it would take for damage.
TEST_F(FeatureFlagTest, CheckRefusesToJudgeAnyUnknownOne) {
  SetFlags([](fs::MetaRecord& meta) { meta.compatible = kUnknown; });
  EXPECT_EQ(fs::Check(store_, clock_, {}).error().code(), ErrorCode::kNotSupported);
  SetFlags([](fs::MetaRecord& meta) {
    meta.compatible = 0;
    meta.read_only_compatible = kUnknown;
  });
  EXPECT_EQ(fs::Check(store_, clock_, {}).error().code(), ErrorCode::kNotSupported);
  SetFlags([](fs::MetaRecord& meta) { meta.read_only_compatible = 0; });
  EXPECT_TRUE(fs::Check(store_, clock_, {}).ok());
}

}  // namespace
}  // namespace tifs::golden
