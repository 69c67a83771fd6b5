#include "volume/table_scan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/coding.h"

namespace tifs::volume {
namespace {

constexpr uint64_t kMaxSequence = uint64_t{1} << 62;

Error Bad(const char* why) { return Error(ErrorCode::kCorrupt, "checkpoint", why); }

void EncodeName(const Name& name, Encoder& encoder) {
  encoder.Fixed(name.parent->number);
  encoder.Fixed(static_cast<uint8_t>(name.name->size()));
  encoder.Raw(*name.name);
}

// The extents as far as the journal knows them.
void EncodeExtents(const Inode& inode, uint64_t units, std::string& out) {
  const size_t count_at = out.size();
  Encoder encoder(out);
  encoder.Fixed(uint32_t{0});
  uint32_t count = 0;
  for (const Extent& extent : inode.extents) {
    if (extent.file_unit >= units) break;
    encoder.Fixed(extent.units.start);
    encoder.Fixed(static_cast<uint32_t>(std::min(extent.units.count, units - extent.file_unit)));
    ++count;
  }
  StoreLittleEndian(out.data() + count_at, count);
}

void EncodeRuns(const Inode& inode, std::string& out) {
  Encoder encoder(out);
  encoder.Fixed(static_cast<uint32_t>(inode.extents.size()));
  for (const Extent& run : inode.extents) {
    encoder.Fixed(run.file_unit);
    encoder.Fixed(run.units.start);
    encoder.Fixed(static_cast<uint32_t>(run.units.count));
  }
}

}  // namespace

TableScan::TableScan(FileTable& table) : table_(table), end_(table.next_inode()) {
  table_.set_scan(this);
}

TableScan::~TableScan() { table_.set_scan(nullptr); }

void TableScan::Encode(const Inode& inode, std::string& out) {
  if (inode.names() == 0) return;  // the top directory, or an orphan
  const size_t begin = out.size();
  Encoder encoder(out);
  encoder.Fixed(uint32_t{0});
  encoder.Fixed(inode.number);
  encoder.Fixed(static_cast<uint8_t>(inode.kind));
  encoder.Fixed(inode.names());
  EncodeName(inode.first_name, encoder);
  if (inode.more_names) {
    for (const Name& name : *inode.more_names) EncodeName(name, encoder);
  }
  encoder.Fixed(inode.committed_bytes);
  encoder.Fixed(static_cast<uint64_t>(inode.modified_ns.load()));
  if (inode.kind == InodeKind::kSparseFile) {
    EncodeRuns(inode, out);
  } else {
    EncodeExtents(inode, UnitsFor(inode.committed_bytes, table_.unit_bytes()), out);
  }
  StoreLittleEndian(out.data() + begin, static_cast<uint32_t>(out.size() - begin - 4));
  ++encoded_;
}

void TableScan::Preserve(const Inode& inode) {
  if (finished_ || inode.number < cursor_ || inode.number >= end_) return;
  if (preserved_numbers_.insert(inode.number).second) Encode(inode, preserved_);
}

bool TableScan::NextSlice(size_t inodes, std::string& out) {
  if (finished_) return false;
  auto at = table_.inodes().lower_bound(cursor_);
  for (; inodes != 0 && at != table_.inodes().end() && at->first < end_; ++at, --inodes) {
    if (!preserved_numbers_.contains(at->first)) Encode(at->second, out);
    cursor_ = at->first + 1;
  }
  if (at != table_.inodes().end() && at->first < end_) return true;
  finished_ = true;
  out += preserved_;
  Encoder encoder(out);
  encoder.Fixed(uint32_t{0});
  encoder.Fixed(encoded_);
  return false;
}

void EncodeCheckpointStart(const CheckpointStart& start, std::string& out) {
  Encoder encoder(out);
  encoder.Fixed(start.position);
  encoder.Fixed(start.keep);
  encoder.Fixed(start.next_inode);
}

namespace {

// Names are entered when all directories are there.
struct LoadedName {
  Inode* inode;
  uint64_t parent;
  std::string_view name;
};

Status LoadExtents(Decoder& in, FileTable& table, Inode& inode, uint64_t size_bytes) {
  const uint32_t count = in.Fixed<uint32_t>();
  if (in.remaining() != count * kEncodedExtentBytes) return Bad("the number of extents");
  inode.extents.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t start = in.Fixed<uint64_t>();
    const UnitRange units{start, in.Fixed<uint32_t>()};
    if (units.count == 0 || units.start > kMaxDeviceBytes) return Bad("an extent");
    table.AppendExtent(inode, units);
  }
  if (inode.units() != UnitsFor(size_bytes, table.unit_bytes())) {
    return Bad("extents that are not as long as the file");
  }
  return {};
}

Status LoadRuns(Decoder& in, FileTable& table, Inode& inode) {
  const uint32_t count = in.Fixed<uint32_t>();
  if (in.remaining() != count * kEncodedRunBytes) return Bad("the number of extents");
  inode.extents.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t file_unit = in.Fixed<uint64_t>();
    const uint64_t start = in.Fixed<uint64_t>();
    const Extent run{file_unit, {start, in.Fixed<uint32_t>()}};
    if (run.units.count == 0 || run.units.count > kMaxExtentUnits ||
        run.file_unit > kMaxFileBytes || start == MapRecord::kHole || start > kMaxDeviceBytes ||
        !table.AppendRun(inode, run)) {
      return Bad("an extent");
    }
  }
  return {};
}

Status LoadInode(std::string_view bytes, const CheckpointStart& start, FileTable& table,
                 std::vector<LoadedName>& names) {
  Decoder in(bytes);
  const auto number = in.Fixed<uint64_t>();
  const auto kind = static_cast<InodeKind>(in.Fixed<uint8_t>());
  const auto name_count = in.Fixed<uint32_t>();
  const bool is_sparse = kind == InodeKind::kSparseFile;
  const bool is_file = kind == InodeKind::kFile || is_sparse;
  if (!is_file && kind != InodeKind::kDirectory) return Bad("an inode of an unknown kind");
  if (number <= FileTable::kTopInode || number >= start.next_inode) return Bad("an inode number");
  if (name_count == 0 || name_count > (is_file ? kMaxLinks : 1)) return Bad("the number of names");
  Inode* inode = table.Insert(number, kind);
  if (inode == nullptr) return Bad("an inode twice");
  for (uint32_t i = 0; i < name_count; ++i) {
    const auto parent = in.Fixed<uint64_t>();
    const std::string_view name = in.Raw(in.Fixed<uint8_t>());
    if (!in.ok() || !IsValidName(name)) return Bad("a name");
    names.push_back({inode, parent, name});
  }
  const auto size_bytes = in.Fixed<uint64_t>();
  inode->modified_ns = static_cast<int64_t>(in.Fixed<uint64_t>());
  if (size_bytes > (is_file ? kMaxFileBytes : 0)) return Bad("the size of an inode");
  TRY(is_sparse ? LoadRuns(in, table, *inode) : LoadExtents(in, table, *inode, size_bytes));
  if (!in.done()) return Bad("an inode that is cut short");
  inode->committed_bytes = size_bytes;
  inode->size_bytes = size_bytes;
  return {};
}

}  // namespace

Result<CheckpointStart> LoadTable(std::string_view bytes, FileTable& table) {
  Decoder in(bytes);
  CheckpointStart start;
  start.position = in.Fixed<uint64_t>();
  start.keep = in.Fixed<uint64_t>();
  start.next_inode = in.Fixed<uint64_t>();
  if (!in.ok() || start.position == 0 || start.keep == 0 || start.keep > start.position ||
      start.position > kMaxSequence || start.next_inode <= FileTable::kTopInode) {
    return Bad("its beginning");
  }
  std::vector<LoadedName> names;
  uint64_t inodes = 0;
  while (true) {
    const std::string_view inode = in.Counted();
    if (!in.ok()) return Bad("it is cut short");
    if (inode.empty()) break;
    TRY(LoadInode(inode, start, table, names));
    ++inodes;
  }
  if (in.Fixed<uint64_t>() != inodes || !in.done()) return Bad("the number of inodes");
  for (const LoadedName& name : names) {
    if (!table.InsertName(*name.inode, name.parent, name.name)) return Bad("a name's directory");
  }
  table.set_next_inode(start.next_inode);
  TRY(table.CheckTree());
  return start;
}

}  // namespace tifs::volume
