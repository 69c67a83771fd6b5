#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "fs/data/extent_blocks.h"
#include "fs/data/kv_blocks.h"
#include "fs/data/mem_extent_device.h"
#include "fs/file_system.h"
#include "fs/fs_check.h"
#include "fs/record_store.h"
#include "fs/schema.h"
#include "kv/mem_kv.h"

namespace tifs::fs {

inline void PrintTo(const CheckFinding& finding, std::ostream* out) {
  *out << finding.what << (finding.repaired ? " (repaired)" : "");
}

// For tests of the check: a small tree that is damaged, checked and mended.
//   /dir/file and /hard: one file of two blocks    /small: in line, with an attribute
class FsCheckFixture : public testing::Test {
 protected:
  static constexpr uint32_t kBlock = 4096;

  explicit FsCheckFixture(bool extents = false) : extents_(extents) {}

  void SetUp() override {
    ASSERT_TRUE(Format(store_, clock_, {.block_size_bytes = kBlock, .extents = extents_}).ok());
    const auto meta = store_.GetLatest(Schema().Meta());
    schema_.emplace("", MetaRecord::Decode((*meta)->view())->hash_seed);
    const auto fs = Mount();
    dir_ = fs->Mkdir(context_, kRootInode, "dir", 0755)->attributes.inode;
    file_ = Create(*fs, dir_, "file", std::string(kBlock, 'f') + std::string(kBlock, 'g'));
    ASSERT_TRUE(fs->Link(context_, file_, kRootInode, "hard").ok());
    small_ = Create(*fs, kRootInode, "small", "in line");
    ASSERT_TRUE(fs->SetXattr(context_, small_, "user.x", "y", XattrFlag::kAny).ok());
  }

  // The file system without its background, as root. Nothing is damaged or checked while it lives.
  std::unique_ptr<FileSystem> Mount() {
    std::unique_ptr<BlockStore> blocks = std::make_unique<KvBlocks>();
    if (extents_) {
      blocks =
          std::make_unique<ExtentBlocks>(std::make_unique<BorrowedExtentDevice>(device_), clock_);
    }
    auto fs = FileSystem::Open(store_, clock_, {.background_thread = false}, std::move(blocks));
    EXPECT_TRUE(fs.ok());
    return *std::move(fs);
  }
  InodeNumber Create(FileSystem& fs, InodeNumber parent, std::string_view name,
                     std::string_view data) {
    const auto created = fs.Create(context_, parent, name, 0644, {});
    EXPECT_TRUE(created.ok());
    const InodeNumber inode = created->entry.attributes.inode;
    EXPECT_TRUE(fs.Release(inode, created->file.handle).ok());
    const bool written = data.empty() || fs.Write(context_, inode, {}, 0, data, {}).ok();
    EXPECT_TRUE(written);
    return inode;
  }
  std::string Read(FileSystem& fs, InodeNumber inode) {
    const auto entry = fs.GetAttributes(context_, inode);
    if (!entry) return entry.error().ToString();
    std::string bytes(entry->attributes.size_bytes, 'x');
    const auto read = fs.Read(context_, inode, {}, 0, bytes);
    return read ? bytes.substr(0, *read) : read.error().ToString();
  }
  // The inode at a path of names with '/' before each; nothing if there is none.
  std::optional<Attributes> Find(FileSystem& fs, std::string_view path) {
    auto found = fs.GetAttributes(context_, kRootInode);
    while (!path.empty() && found) {
      path.remove_prefix(1);
      const size_t end = std::min(path.find('/'), path.size());
      found = fs.Lookup(context_, found->attributes.inode, path.substr(0, end));
      path.remove_prefix(end);
    }
    if (!found) return std::nullopt;
    return found->attributes;
  }
  // What is at a path after mending, as text; its error if it cannot be read.
  std::string ReadPath(std::string_view path) {
    const auto fs = Mount();
    const auto found = Find(*fs, path);
    return found ? Read(*fs, found->inode) : "nothing";
  }

  template <typename Change>
  void Damage(Change change) {
    auto txn = store_.Begin();
    RecordStore records(**txn, *schema_, 1, nullptr);
    change(records);
    ASSERT_TRUE((*txn)->Commit().ok());
  }
  template <typename Change>
  void DamageInode(InodeNumber inode, Change change) {
    Damage([&](RecordStore& records) {
      auto record = records.LoadInode(inode);
      ASSERT_TRUE(record.ok());
      change(*record);
      ASSERT_TRUE(records.StoreInode(*record).ok());
    });
  }
  void Put(std::string_view key, std::string_view value) {
    Damage([&](RecordStore& r) { ASSERT_TRUE(r.transaction().Put(key, value).ok()); });
  }
  void Delete(std::string_view key) {
    Damage([&](RecordStore& r) { ASSERT_TRUE(r.transaction().Delete(key).ok()); });
  }
  std::string ValueOf(std::string_view key) {
    const auto value = store_.GetLatest(key);
    return value && *value ? std::string((*value)->view()) : "nothing";
  }
  InodeRecord InodeOf(InodeNumber inode) {
    const auto record = InodeRecord::Decode(inode, ValueOf(schema_->Inode(inode)));
    EXPECT_TRUE(record.ok());
    return record ? *record : InodeRecord();
  }

  CheckReport Run(bool repair) {
    CheckOptions options;
    options.repair = repair;
    if (extents_) options.data_file_bytes = device_.bytes().size();
    auto report = Check(store_, clock_, options);
    EXPECT_TRUE(report.ok());
    return *std::move(report);
  }
  // All that the store holds.
  std::map<std::string, std::string> Dump() {
    std::map<std::string, std::string> all;
    auto txn = store_.Begin();
    EXPECT_TRUE((*txn)
                    ->Scan({"", ""}, 0, kv::Direction::kForward,
                           [&](std::string_view key, std::string_view value) {
                             all.emplace(key, value);
                             return true;
                           })
                    .ok());
    return all;
  }
  static auto Finding(const std::string& what, bool repaired) {
    using testing::AllOf;
    using testing::Field;
    return testing::Contains(AllOf(Field(&CheckFinding::what, testing::HasSubstr(what)),
                                   Field(&CheckFinding::repaired, repaired)));
  }
  // Finds it, changes nothing; then mends it, so that nothing is found any more.
  void ExpectFoundAndMended(const std::string& what) {
    const auto before = Dump();
    EXPECT_THAT(Run(false).findings, Finding(what, false));
    EXPECT_EQ(Dump(), before) << "a check without repair changed the store";
    const CheckReport mended = Run(true);
    EXPECT_THAT(mended.findings, Finding(what, true));
    EXPECT_EQ(mended.unrepaired, 0u);
    ExpectClean();
  }
  void ExpectClean() {
    const CheckReport clean = Run(false);
    EXPECT_EQ(clean.finding_count, 0u);
    for (const CheckFinding& finding : clean.findings) ADD_FAILURE() << finding.what;
  }

  const bool extents_;
  kv::MemKv store_;
  MemExtentDevice device_;
  ManualClock clock_;
  const OpContext context_;
  InodeNumber dir_, file_, small_;
  std::optional<Schema> schema_;
};

}  // namespace tifs::fs
