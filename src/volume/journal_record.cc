#include "volume/journal_record.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/check.h"

namespace tifs::volume {
namespace {

enum class RecordType : uint8_t {
  kCreate = 1,
  kLink = 2,
  kUnlink = 3,
  kRename = 4,
  kFile = 5,
  kCheckpoint = 6,
  kMap = 7,
};

void EncodeName(Encoder& encoder, std::string_view name) {
  CHECK(IsValidName(name));
  encoder.Fixed(static_cast<uint8_t>(name.size()));
  encoder.Raw(name);
}

struct RecordEncoder {
  Encoder& out;

  void Type(RecordType type) { out.Fixed(static_cast<uint8_t>(type)); }
  void Times(int64_t ns) { out.Fixed(static_cast<uint64_t>(ns)); }

  void operator()(const CreateRecord& record) {
    Type(RecordType::kCreate);
    out.Fixed(record.parent);
    out.Fixed(record.inode);
    out.Fixed(static_cast<uint8_t>(record.kind));
    Times(record.modified_ns);
    EncodeName(out, record.name);
  }
  void Entry(RecordType type, uint64_t parent, uint64_t inode, std::string_view name) {
    Type(type);
    out.Fixed(parent);
    out.Fixed(inode);
    EncodeName(out, name);
  }
  void operator()(const LinkRecord& record) {
    Entry(RecordType::kLink, record.parent, record.inode, record.name);
  }
  void operator()(const UnlinkRecord& record) {
    Entry(RecordType::kUnlink, record.parent, record.inode, record.name);
  }
  void operator()(const RenameRecord& record) {
    Type(RecordType::kRename);
    for (const uint64_t value :
         {record.from_parent, record.to_parent, record.inode, record.replaced}) {
      out.Fixed(value);
    }
    EncodeName(out, record.from);
    EncodeName(out, record.to);
  }
  void operator()(const FileRecord& record) {
    CHECK(record.extents.size() <= kMaxRecordExtents && record.tail.size() <= kMaxRecordTail);
    Type(RecordType::kFile);
    out.Fixed(record.inode);
    out.Fixed(record.size_bytes);
    Times(record.modified_ns);
    out.Fixed(record.in_place_bytes);
    out.Fixed(record.from_unit);
    out.Fixed(static_cast<uint32_t>(record.extents.size()));
    out.Fixed(static_cast<uint32_t>(record.tail.size()));
    for (const UnitRange& extent : record.extents) {
      out.Fixed(extent.start);
      out.Fixed(static_cast<uint32_t>(extent.count));
    }
    out.Raw(record.tail);
  }
  void operator()(const CheckpointRecord& record) {
    Type(RecordType::kCheckpoint);
    out.Fixed(record.number);
  }
  void operator()(const MapRecord& record) {
    CHECK(record.runs.size() <= kMaxRecordExtents);
    Type(RecordType::kMap);
    out.Fixed(record.inode);
    out.Fixed(record.size_bytes);
    Times(record.modified_ns);
    out.Fixed(static_cast<uint32_t>(record.runs.size()));
    for (const Extent& run : record.runs) {
      out.Fixed(run.file_unit);
      out.Fixed(run.units.start);
      out.Fixed(static_cast<uint32_t>(run.units.count));
    }
  }
};

class RecordDecoder {
 public:
  explicit RecordDecoder(std::string_view body) : in_(body) {}

  std::optional<Record> Decode() {
    std::optional<Record> record = DecodeBody(static_cast<RecordType>(in_.Fixed<uint8_t>()));
    return sound_ && in_.done() ? std::move(record) : std::nullopt;
  }

 private:
  std::optional<Record> DecodeBody(RecordType type) {
    switch (type) {
      case RecordType::kCreate: return DecodeCreate();
      case RecordType::kLink: return DecodeEntry<LinkRecord>();
      case RecordType::kUnlink: return DecodeEntry<UnlinkRecord>();
      case RecordType::kRename: return DecodeRename();
      case RecordType::kFile: return DecodeFile();
      case RecordType::kCheckpoint: return CheckpointRecord{.number = U64()};
      case RecordType::kMap: return DecodeMap();
    }
    return std::nullopt;
  }

  uint64_t U64() { return in_.Fixed<uint64_t>(); }
  std::string Name() {
    const std::string_view name = in_.Raw(in_.Fixed<uint8_t>());
    sound_ = sound_ && IsValidName(name);
    return std::string(name);
  }

  Record DecodeCreate() {
    CreateRecord record{.parent = U64(), .inode = U64()};
    record.kind = static_cast<InodeKind>(in_.Fixed<uint8_t>());
    sound_ = record.kind == InodeKind::kFile || record.kind == InodeKind::kDirectory ||
             record.kind == InodeKind::kSparseFile;
    record.modified_ns = static_cast<int64_t>(U64());
    record.name = Name();
    return record;
  }

  template <typename T>
  Record DecodeEntry() {
    T record{.parent = U64(), .inode = U64()};
    record.name = Name();
    return record;
  }

  Record DecodeRename() {
    RenameRecord record{
        .from_parent = U64(), .to_parent = U64(), .inode = U64(), .replaced = U64()};
    record.from = Name();
    record.to = Name();
    return record;
  }

  Record DecodeFile() {
    FileRecord record{.inode = U64(), .size_bytes = U64()};
    record.modified_ns = static_cast<int64_t>(U64());
    record.in_place_bytes = U64();
    record.from_unit = U64();
    const auto extents = in_.Fixed<uint32_t>();
    const auto tail_bytes = in_.Fixed<uint32_t>();
    sound_ = extents <= kMaxRecordExtents && tail_bytes <= kMaxRecordTail &&
             record.size_bytes <= kMaxFileBytes && tail_bytes <= record.size_bytes &&
             record.in_place_bytes <= record.size_bytes - tail_bytes &&
             in_.remaining() == extents * 12 + tail_bytes;
    if (!sound_) return record;
    record.extents.reserve(extents);
    for (uint32_t i = 0; i < extents; ++i) {
      const uint64_t start = U64();
      record.extents.push_back({start, in_.Fixed<uint32_t>()});
    }
    record.tail = in_.Rest();
    return record;
  }

  Record DecodeMap() {
    MapRecord record{.inode = U64(), .size_bytes = U64()};
    record.modified_ns = static_cast<int64_t>(U64());
    const auto runs = in_.Fixed<uint32_t>();
    sound_ = runs <= kMaxRecordExtents && record.size_bytes <= kMaxFileBytes &&
             in_.remaining() == runs * kEncodedRunBytes;
    if (!sound_) return record;
    record.runs.reserve(runs);
    for (uint32_t i = 0; i < runs; ++i) {
      const uint64_t file_unit = U64();
      const uint64_t start = U64();
      record.runs.push_back({file_unit, {start, in_.Fixed<uint32_t>()}});
    }
    return record;
  }

  Decoder in_;
  bool sound_ = true;
};

}  // namespace

void EncodeRecord(const Record& record, std::string& out) {
  const size_t begin = out.size();
  Encoder encoder(out);
  encoder.Fixed(uint32_t{0});
  std::visit(RecordEncoder{encoder}, record);
  const size_t size = out.size() - begin;
  CHECK(size <= kMaxRecordBytes);
  StoreLittleEndian(out.data() + begin, static_cast<uint32_t>(size - sizeof(uint32_t)));
}

Result<Record> DecodeRecord(Decoder& in) {
  const std::string_view body = in.Counted();
  if (!in.ok())
    return Error(ErrorCode::kCorrupt, "journal", "a record that goes on beyond its batch");
  std::optional<Record> record = RecordDecoder(body).Decode();
  if (!record) return Error(ErrorCode::kCorrupt, "journal", "a record that makes no sense");
  return std::move(*record);
}

std::string RecordText(const Record& record) {
  struct Text {
    std::string operator()(const CreateRecord& r) {
      return fmt::format("create {}/{} (inode {})", r.parent, EscapeForLog(r.name), r.inode);
    }
    std::string operator()(const LinkRecord& r) {
      return fmt::format("link {}/{} (inode {})", r.parent, EscapeForLog(r.name), r.inode);
    }
    std::string operator()(const UnlinkRecord& r) {
      return fmt::format("unlink {}/{} (inode {})", r.parent, EscapeForLog(r.name), r.inode);
    }
    std::string operator()(const RenameRecord& r) {
      return fmt::format("rename {}/{} to {}/{} (inode {})", r.from_parent, EscapeForLog(r.from),
                         r.to_parent, EscapeForLog(r.to), r.inode);
    }
    std::string operator()(const FileRecord& r) {
      return fmt::format("file {} has {} bytes", r.inode, r.size_bytes);
    }
    std::string operator()(const CheckpointRecord& r) {
      return fmt::format("checkpoint {}", r.number);
    }
    std::string operator()(const MapRecord& r) {
      return fmt::format("map {}: {} runs, {} bytes", r.inode, r.runs.size(), r.size_bytes);
    }
  };
  return std::visit(Text{}, record);
}

}  // namespace tifs::volume
