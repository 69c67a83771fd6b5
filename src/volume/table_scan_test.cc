#include "volume/table_scan.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "volume/volume_test_fixture.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kUnit = 4096;

// Everything that a checkpoint says, by path.
std::map<std::string, std::string> Describe(const FileTable& table) {
  std::map<std::string, std::string> text;
  std::vector<std::pair<std::string, const Inode*>> open = {
      {"", &const_cast<FileTable&>(table).top()}};
  while (!open.empty()) {
    const auto [path, directory] = open.back();
    open.pop_back();
    for (const auto& [name, inode] : *directory->entries) {
      std::string& what = text[path + "/" + name];
      what = std::to_string(inode->number) + " " + std::to_string(inode->committed_bytes) + " " +
             std::to_string(inode->names());
      uint64_t units = UnitsFor(inode->committed_bytes, kUnit);
      const bool is_sparse = inode->kind == InodeKind::kSparseFile;
      for (const Extent& extent : inode->extents) {
        if (is_sparse) what += " " + std::to_string(extent.file_unit) + ":";
        if (is_sparse) units = extent.units.count;
        const uint64_t count = std::min(units, extent.units.count);
        units -= count;
        if (count != 0) {
          what += " " + std::to_string(extent.units.start) + "+" + std::to_string(count);
        }
      }
      if (inode->entries) open.emplace_back(path + "/" + name, inode);
    }
  }
  return text;
}

// Random operations on a table, as a volume does them.
class Mutator {
 public:
  Mutator(FileTable& table, Random& random) : table_(table), random_(random) {}

  void Step() {
    Inode& directory = Directory();
    const std::string name(1, static_cast<char>('a' + random_.Below(12)));
    Inode* inode = FileTable::Lookup(directory, name);
    std::vector<UnitRange> freed;
    switch (random_.Below(7)) {
      case 0:
      case 1:
        (void)table_.Apply(CreateRecord{.parent = directory.number,
                                        .inode = table_.next_inode(),
                                        .kind = static_cast<InodeKind>(1 + random_.Below(3)),
                                        .name = name});
        break;
      case 2:
        if (inode == nullptr || inode->kind != InodeKind::kFile) break;
        table_.AppendExtent(*inode, {random_.Below(1'000), 1 + random_.Below(3)});
        table_.SetCommitted(*inode, random_.Below(inode->units() * kUnit + 1));
        break;
      case 3: {
        if (inode == nullptr || inode->kind != InodeKind::kFile) break;
        const uint64_t bytes = random_.Below(inode->committed_bytes + 1);
        table_.SetCommitted(*inode, bytes);
        table_.CutExtents(*inode, UnitsFor(bytes, kUnit), freed);
        break;
      }
      case 4: {
        if (inode == nullptr || inode->kind != InodeKind::kSparseFile) break;
        const uint64_t start = random_.OneIn(3) ? MapRecord::kHole : 1 + random_.Below(1'000);
        const Extent run{random_.Below(40), {start, 1 + random_.Below(5)}};
        ASSERT_TRUE(table_
                        .Apply(MapRecord{.inode = inode->number,
                                         .size_bytes = random_.Below(1'000),
                                         .runs = {run}},
                               freed)
                        .ok());
        break;
      }
      case 5:
        if (inode == nullptr) break;
        (void)table_.Apply(
            UnlinkRecord{.parent = directory.number, .inode = inode->number, .name = name}, freed);
        break;
      default: {
        if (inode == nullptr) break;
        Inode& to = Directory();
        const std::string to_name(1, static_cast<char>('a' + random_.Below(12)));
        Inode* replaced = FileTable::Lookup(to, to_name);
        if (random_.OneIn(3)) {
          (void)table_.Apply(
              LinkRecord{.parent = to.number, .inode = inode->number, .name = to_name});
          break;
        }
        (void)table_.Apply(RenameRecord{.from_parent = directory.number,
                                        .to_parent = to.number,
                                        .inode = inode->number,
                                        .replaced = replaced != nullptr ? replaced->number : 0,
                                        .from = name,
                                        .to = to_name},
                           freed);
      }
    }
  }

 private:
  Inode& Directory() {
    std::vector<uint64_t> numbers;
    for (const auto& [number, inode] : table_.inodes()) {
      if (inode.entries) numbers.push_back(number);
    }
    return *table_.Find(numbers[random_.Below(numbers.size())]);
  }

  FileTable& table_;
  Random& random_;
};

// Whatever happens between the slices, what was at the beginning is what is encoded.
TEST(TableScanTest, EncodesOneInstantWhileOperationsGoOn) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    FileTable table(kUnit);
    Mutator mutator(table, random);
    for (int i = 0; i < 200; ++i) mutator.Step();
    const auto wanted = Describe(table);
    const uint64_t next_inode = table.next_inode();
    std::string bytes;
    EncodeCheckpointStart({.position = 9, .keep = 5, .next_inode = next_inode}, bytes);
    {
      TableScan scan(table);
      while (scan.NextSlice(1 + random.Below(5), bytes)) {
        for (uint64_t i = random.Below(10); i > 0; --i) mutator.Step();
      }
    }
    FileTable loaded(kUnit);
    const auto start = LoadTable(bytes, loaded);
    ASSERT_TRUE(start.ok()) << "seed " << seed << ": " << start.error().ToString();
    EXPECT_EQ(*start, (CheckpointStart{9, 5, next_inode}));
    ASSERT_EQ(Describe(loaded), wanted) << "seed " << seed;
    EXPECT_EQ(loaded.next_inode(), next_inode);
    EXPECT_LE(loaded.encoded_bytes() + 36, bytes.size());
  }
}

TEST(TableScanTest, WhatIsCutShortIsRefused) {
  FileTable table(kUnit);
  Random random(1);
  Mutator mutator(table, random);
  for (int i = 0; i < 60; ++i) mutator.Step();
  std::string bytes;
  EncodeCheckpointStart({.position = 9, .keep = 5, .next_inode = table.next_inode()}, bytes);
  TableScan scan(table);
  while (scan.NextSlice(1000, bytes)) {
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    FileTable loaded(kUnit);
    EXPECT_EQ(CodeOf(LoadTable(std::string_view(bytes).substr(0, size), loaded)),
              ErrorCode::kCorrupt);
  }
}

// --- the table ---

TEST(FileTableTest, RecordsThatDoNotFitChangeNothing) {
  FileTable table(kUnit);
  std::vector<UnitRange> freed;
  ASSERT_TRUE(
      table.Apply(CreateRecord{.parent = 1, .inode = 2, .kind = InodeKind::kDirectory, .name = "d"})
          .ok());
  ASSERT_TRUE(table.Apply(CreateRecord{.parent = 2, .inode = 3, .name = "f"}).ok());
  ASSERT_TRUE(table.Apply(FileRecord{.inode = 3, .size_bytes = 5'000, .extents = {{7, 2}}}).ok());
  ASSERT_TRUE(
      table
          .Apply(CreateRecord{.parent = 2, .inode = 4, .kind = InodeKind::kSparseFile, .name = "s"})
          .ok());
  ASSERT_TRUE(
      table.Apply(MapRecord{.inode = 4, .size_bytes = 50'000, .runs = {{3, {20, 2}}}}, freed).ok());
  const auto before = Describe(table);
  const Record bad[] = {
      CreateRecord{.parent = 1, .inode = 5, .name = "d"},
      CreateRecord{.parent = 1, .inode = 3, .name = "g"},
      CreateRecord{.parent = 3, .inode = 5, .name = "g"},
      CreateRecord{.parent = 1, .inode = UINT64_MAX, .name = "g"},
      LinkRecord{.parent = 1, .inode = 2, .name = "g"},
      LinkRecord{.parent = 1, .inode = 99, .name = "g"},
      LinkRecord{.parent = 2, .inode = 3, .name = "f"},
      UnlinkRecord{.parent = 1, .inode = 2, .name = "d"},
      UnlinkRecord{.parent = 2, .inode = 2, .name = "f"},
      UnlinkRecord{.parent = 2, .inode = 3, .name = "g"},
      RenameRecord{.from_parent = 1, .to_parent = 2, .inode = 2, .from = "d", .to = "e"},
      RenameRecord{.from_parent = 2, .to_parent = 1, .inode = 3, .from = "f", .to = "d"},
      RenameRecord{
          .from_parent = 2, .to_parent = 1, .inode = 3, .replaced = 2, .from = "f", .to = "d"},
      RenameRecord{
          .from_parent = 2, .to_parent = 2, .inode = 3, .replaced = 3, .from = "f", .to = "f"},
      FileRecord{.inode = 2, .size_bytes = 0},
      FileRecord{.inode = 3, .size_bytes = 5'000, .from_unit = 3, .extents = {{9, 1}}},
      FileRecord{.inode = 3, .size_bytes = 50'000, .from_unit = 2, .extents = {{9, 1}}},
      FileRecord{.inode = 3, .size_bytes = 5'000, .from_unit = 1, .extents = {{9, 0}, {11, 1}}},
      FileRecord{.inode = 4, .size_bytes = 0},
      MapRecord{.inode = 3, .size_bytes = 1, .runs = {{0, {9, 1}}}},
      MapRecord{.inode = 4, .size_bytes = 1, .runs = {{0, {9, 0}}}},
      MapRecord{.inode = 4, .size_bytes = 1, .runs = {{5, {9, 1}}, {UINT64_MAX, {9, 1}}}},
      MapRecord{.inode = 4, .size_bytes = 1, .runs = {{0, {UINT64_MAX, 1}}}},
  };
  struct Applier {
    FileTable& table;
    std::vector<UnitRange>& freed;
    Status operator()(const CreateRecord& r) { return table.Apply(r); }
    Status operator()(const LinkRecord& r) { return table.Apply(r); }
    Status operator()(const UnlinkRecord& r) { return table.Apply(r, freed); }
    Status operator()(const RenameRecord& r) { return table.Apply(r, freed); }
    Status operator()(const FileRecord& r) { return table.Apply(r); }
    Status operator()(const CheckpointRecord&) { return {}; }
    Status operator()(const MapRecord& r) { return table.Apply(r, freed); }
  };
  for (const Record& record : bad) {
    EXPECT_EQ(CodeOf(std::visit(Applier{table, freed}, record)), ErrorCode::kCorrupt)
        << RecordText(record);
    EXPECT_EQ(Describe(table), before) << RecordText(record);
  }
  EXPECT_TRUE(freed.empty());
}

}  // namespace
}  // namespace tifs::volume
