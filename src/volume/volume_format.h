#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

// What all parts of the disk format share: docs/volume_format.md. Invariant of every parser here
// and beside it: a number from the disk is checked before it is used, and nothing is allocated by
// it.
namespace tifs::volume {

inline constexpr uint64_t kBlockBytes = 4096;
inline constexpr size_t kHeaderBytes = 64;
inline constexpr size_t kPayloadBytes = kBlockBytes - kHeaderBytes;
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 60;
inline constexpr uint64_t kMaxDeviceBytes = uint64_t{1} << 62;
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxPathBytes = 4096;
inline constexpr uint32_t kMaxLinks = 65'000;

using Uuid = std::array<uint8_t, 16>;

// 01234567-89ab-cdef-0123-456789abcdef.
std::string UuidText(const Uuid& uuid);
Uuid RandomUuid();

enum class BlockKind : uint32_t {
  kJournal = 0x424a6954,     // "TiJB"
  kCheckpoint = 0x42436954,  // "TiCB"
};

// What stands before the payload of a journal or checkpoint block.
struct BlockHeader {
  static constexpr uint32_t kFirst = 1;
  static constexpr uint32_t kLast = 2;

  BlockKind kind = BlockKind::kJournal;
  Uuid uuid{};
  uint64_t offset_bytes = 0;
  uint64_t sequence = 0;
  uint64_t generation = 0;
  uint64_t mark = 0;
  uint32_t payload_bytes = 0;
  uint32_t flags = 0;

  bool first() const { return (flags & kFirst) != 0; }
  bool last() const { return (flags & kLast) != 0; }
  bool operator==(const BlockHeader&) const = default;
};

// Why bytes are not a block that was looked for, in the order in which it is asked.
enum class BlockFault : uint8_t { kNone, kMagic, kChecksum, kOtherVolume, kMisplaced, kShape };
// "its checksum is wrong".
const char* BlockFaultText(BlockFault fault);

// Writes the header of a block whose payload already stands at kHeaderBytes, and zeros behind it.
void SealBlock(const BlockHeader& header, std::span<char, kBlockBytes> block);

struct ParsedBlock {
  BlockFault fault = BlockFault::kMagic;
  BlockHeader header;        // if there is no fault
  std::string_view payload;  // in the bytes that were parsed
};

// The block of `kind` that lies at `offset_bytes` of the volume `uuid`. `bytes` are kBlockBytes.
ParsedBlock ParseBlock(std::string_view bytes, BlockKind kind, const Uuid& uuid,
                       uint64_t offset_bytes);

enum class InodeKind : uint8_t {
  kFile = 1,
  kDirectory = 2,
  kSparseFile = 3,  // a file with holes: volume/sparse_file.h
};

// 1 to 255 bytes, no '/' or NUL, not "." or "..".
bool IsValidName(std::string_view name);
// [A-Za-z0-9._-]{1,64}, not "." or "..".
bool IsValidRootName(std::string_view name);

// A run of extent units of the device: unit u is at u * extent_unit_bytes.
struct UnitRange {
  uint64_t start = 0;
  uint64_t count = 0;

  uint64_t end() const { return start + count; }
  bool operator==(const UnitRange&) const = default;
};

// A run of a file's extent units: its units from `file_unit` on lie at `units` of the device.
struct Extent {
  uint64_t file_unit = 0;
  UnitRange units;

  uint64_t file_end() const { return file_unit + units.count; }
  bool operator==(const Extent&) const = default;
};

// Of one extent, so that its length fits a record.
inline constexpr uint64_t kMaxExtentUnits = uint64_t{1} << 31;

inline uint64_t RoundUp(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
inline uint64_t RoundDown(uint64_t value, uint64_t multiple) { return value / multiple * multiple; }
inline uint64_t UnitsFor(uint64_t bytes, uint64_t unit_bytes) {
  return bytes / unit_bytes + (bytes % unit_bytes != 0);
}

}  // namespace tifs::volume
