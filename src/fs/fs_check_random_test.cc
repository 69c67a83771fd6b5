// Whatever is done to the values and keys of a store: a check ends, a repair leaves nothing that
// the next check finds but what it says it cannot mend, and what is left can be used.
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"
#include "fs/data/block_value.h"
#include "fs/fs_check_test_fixture.h"
#include "fs/posix_acl.h"

namespace tifs::fs {
namespace {

constexpr uint64_t kSeeds = 300;

class FsCheckRandomTest : public FsCheckFixture {
 protected:
  explicit FsCheckRandomTest(bool extents = false) : FsCheckFixture(extents) {}

  void SetUp() override {
    FsCheckFixture::SetUp();
    const auto fs = Mount();
    const InodeNumber inner = fs->Mkdir(context_, dir_, "inner", 0755)->attributes.inode;
    const InodeNumber deep = fs->Mkdir(context_, inner, "deep", 0755)->attributes.inode;
    Create(*fs, deep, "large", std::string(20 * kBlock, 'l'));
    ASSERT_TRUE(fs->Symlink(context_, deep, "link", "../large").ok());
    ASSERT_TRUE(fs->Mknod(context_, inner, "fifo", S_IFIFO | 0600, 0).ok());
    const InodeNumber reserved = Create(*fs, inner, "reserved", std::string(kBlock, 'r'));
    ASSERT_TRUE(fs->Allocate(context_, reserved, {}, {}, kBlock, 5 * kBlock).ok());
    const InodeNumber cut = Create(*fs, inner, "cut", std::string(300 * kBlock, 'c'));
    AttributeChanges changes;
    changes.size_bytes = 5;
    ASSERT_TRUE(fs->SetAttributes(context_, cut, changes).ok());
    Create(*fs, kRootInode, "orphan", std::string(20 * kBlock, 'o'));
    ASSERT_TRUE(fs->Unlink(context_, kRootInode, "orphan").ok());
    ASSERT_TRUE(fs->SetXattr(context_, file_, "security.capability", "c", XattrFlag::kAny).ok());
    std::string acl("\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0", 20);
    acl += std::string("\x04\0\0\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff", 16);
    acl += std::string("\x20\0\0\0\xff\xff\xff\xff", 8);
    ASSERT_TRUE(fs->SetXattr(context_, dir_, kDefaultAclName, acl, XattrFlag::kAny).ok());
    ASSERT_TRUE(fs->SetXattr(context_, dir_, kAccessAclName, acl, XattrFlag::kAny).ok());
  }

  // Puts the store back to how it was.
  void Restore(const std::map<std::string, std::string>& all) {
    auto txn = *store_.Begin();
    for (const auto& [key, value] : Dump()) ASSERT_TRUE(txn->Delete(key).ok());
    for (const auto& [key, value] : all) ASSERT_TRUE(txn->Put(key, value).ok());
    ASSERT_TRUE(txn->Commit().ok());
  }
  static void Flip(Random& random, std::string& bytes) {
    if (bytes.empty()) return;
    bytes[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
  }
  // One thing goes wrong; Meta stays.
  void DamageAnything(Random& random, const std::map<std::string, std::string>& all) {
    const auto any = [&] {
      auto it = all.begin();
      do {
        it = std::next(all.begin(), static_cast<int64_t>(random.Below(all.size())));
        // Most keys are blocks: the others have their turn.
      } while (it->first.front() == static_cast<char>(Schema::Scope::kBlock) && !random.OneIn(50));
      return it->first == schema_->Meta().view() ? std::next(it) : it;
    };
    const auto victim = any();
    std::string key = victim->first;
    std::string value = victim->second;
    switch (random.Below(6)) {
      case 0: Delete(key); return;
      case 1: value = any()->second; break;  // another's value
      case 2: value.resize(random.Below(value.size() + 1)); break;
      case 3:
        Flip(random, key);  // a second key with this value
        if (key == schema_->Meta().view()) return;
        break;
      default: Flip(random, value);
    }
    Put(key, value);
  }
  // Reads all that is there and changes something; nothing may crash or hang.
  void Use() {
    const auto fs = Mount();
    std::vector<InodeNumber> directories = {kRootInode};
    for (size_t i = 0; i < directories.size() && i < 100; ++i) {
      std::vector<std::pair<std::string, InodeNumber>> names;
      ASSERT_TRUE(fs->ReadDirectory(context_, directories[i], 0, 0, false,
                                    [&](const DirectoryEntry& entry) {
                                      names.emplace_back(entry.name, entry.inode);
                                      return true;
                                    })
                      .ok());
      for (const auto& [name, inode] : names) {
        if (name == "." || name == "..") continue;
        const auto found = fs->Lookup(context_, directories[i], name);
        ASSERT_TRUE(found.ok()) << name << ": " << found.error().ToString();
        if (found->attributes.IsDirectory()) directories.push_back(inode);
        if (!found->attributes.IsRegular() || found->attributes.size_bytes > 1 << 24) continue;
        EXPECT_EQ(Read(*fs, inode).size(), found->attributes.size_bytes) << name;
      }
    }
    const auto made = fs->Create(context_, kRootInode, "made after", 0644, {});
    ASSERT_TRUE(made.ok()) << made.error().ToString();
    const InodeNumber inode = made->entry.attributes.inode;
    ASSERT_TRUE(fs->Write(context_, inode, {}, 0, std::string(3 * kBlock, 'm'), {}).ok());
    EXPECT_EQ(Read(*fs, inode), std::string(3 * kBlock, 'm'));
    for (int steps = 0;; ++steps) {
      ASSERT_LT(steps, 1000);
      const auto more = fs->RunBackgroundStep();
      ASSERT_TRUE(more.ok()) << more.error().ToString();
      if (!*more) break;
    }
  }
  // Whether only what cannot be mended is left.
  static bool IsRest(const CheckReport& report) {
    return report.finding_count == report.unrepaired &&
           std::ranges::all_of(report.findings, [](const CheckFinding& finding) {
             return finding.what.find("has no target: remove it") != std::string::npos;
           });
  }

  void Try(uint64_t seed, const std::map<std::string, std::string>& sound) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Restore(sound);
    for (uint64_t i = 1 + random.Below(random.OneIn(4) ? 40 : 5); i > 0; --i)
      DamageAnything(random, sound);
    const auto damaged = Dump();
    const CheckReport found = Run(false);
    EXPECT_EQ(Dump(), damaged);
    const CheckReport repaired = Run(true);
    const CheckReport rest = Run(false);
    const bool is_rest = IsRest(rest);
    EXPECT_TRUE(is_rest);
    EXPECT_EQ(rest.finding_count, repaired.unrepaired);
    EXPECT_TRUE(found.finding_count > 0 || Dump() == damaged) << "it mended what it did not find";
    if (is_rest) Use();
    EXPECT_TRUE(IsRest(Run(false))) << "after it was used";
    if (!HasFailure()) return;
    for (const CheckFinding& finding : found.findings) ADD_FAILURE() << "found: " << finding.what;
    for (const CheckFinding& finding : rest.findings) ADD_FAILURE() << "left: " << finding.what;
  }
  void TryAll() {
    const auto sound = Dump();
    for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) Try(seed, sound);
  }
};

class FsCheckRandomExtentsTest : public FsCheckRandomTest {
 protected:
  FsCheckRandomExtentsTest() : FsCheckRandomTest(true) {}
};

TEST_F(FsCheckRandomTest, WhateverIsDamagedIsMended) { TryAll(); }
TEST_F(FsCheckRandomExtentsTest, WhateverIsDamagedIsMended) { TryAll(); }

}  // namespace
}  // namespace tifs::fs
