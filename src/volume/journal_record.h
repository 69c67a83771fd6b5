#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/coding.h"
#include "base/result.h"
#include "volume/volume_format.h"

// What the journal says: one record an operation (docs/volume_format.md, "Records"). Encoding and
// decoding are exact inverses; names are checked by both.
namespace tifs::volume {

struct CreateRecord {
  uint64_t parent = 0;
  uint64_t inode = 0;
  InodeKind kind = InodeKind::kFile;
  int64_t modified_ns = 0;
  std::string name;
  bool operator==(const CreateRecord&) const = default;
};

struct LinkRecord {
  uint64_t parent = 0;
  uint64_t inode = 0;
  std::string name;
  bool operator==(const LinkRecord&) const = default;
};

struct UnlinkRecord {
  uint64_t parent = 0;
  uint64_t inode = 0;
  std::string name;
  bool operator==(const UnlinkRecord&) const = default;
};

struct RenameRecord {
  uint64_t from_parent = 0;
  uint64_t to_parent = 0;
  uint64_t inode = 0;
  uint64_t replaced = 0;  // 0: nothing had the name
  std::string from;
  std::string to;
  bool operator==(const RenameRecord&) const = default;
};

struct FileRecord {
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  uint64_t in_place_bytes = 0;  // at most size_bytes - tail.size()
  uint64_t from_unit = 0;
  std::vector<UnitRange> extents;
  std::string tail;  // the file's last bytes
  bool operator==(const FileRecord&) const = default;
};

struct MapRecord {
  // A run that begins here is a hole: the superblock is there, never data.
  static constexpr uint64_t kHole = 0;

  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  std::vector<Extent> runs;
  bool operator==(const MapRecord&) const = default;
};

struct CheckpointRecord {
  uint64_t number = 0;
  bool operator==(const CheckpointRecord&) const = default;
};

using Record = std::variant<CreateRecord, LinkRecord, UnlinkRecord, RenameRecord, FileRecord,
                            CheckpointRecord, MapRecord>;

// What one file record may hold, so that every record fits kMaxRecordBytes.
inline constexpr size_t kMaxRecordExtents = 256;
inline constexpr size_t kMaxRecordTail = 4096;
inline constexpr size_t kMaxRecordBytes = 8192;
// What an extent of a sparse file takes, in a record and in a checkpoint.
inline constexpr uint64_t kEncodedRunBytes = 20;

// Appends the record with its length before it.
void EncodeRecord(const Record& record, std::string& out);
// Takes one record off `in`. kCorrupt.
Result<Record> DecodeRecord(Decoder& in);
// "rename 3/a to 4/b (inode 7)", for messages.
std::string RecordText(const Record& record);

}  // namespace tifs::volume
