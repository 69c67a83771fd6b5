#include "volume/volume_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/random.h"

namespace tifs::volume {
namespace {

constexpr size_t kChecksumAt = 4;
constexpr size_t kCheckedFrom = 8;

}  // namespace

std::string UuidText(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", uuid[i]);
  }
  return text;
}

// Version 4 of RFC 9562.
Uuid RandomUuid() {
  Uuid uuid;
  const uint64_t halves[2] = {RandomSeed(), RandomSeed()};
  std::memcpy(uuid.data(), halves, sizeof halves);
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

const char* BlockFaultText(BlockFault fault) {
  switch (fault) {
    case BlockFault::kNone: return "it is sound";
    case BlockFault::kMagic: return "it is no block of this kind";
    case BlockFault::kChecksum: return "its checksum is wrong";
    case BlockFault::kOtherVolume: return "it is of another volume";
    case BlockFault::kMisplaced: return "it belongs elsewhere";
    case BlockFault::kShape: return "its header makes no sense";
  }
  return "";
}

void SealBlock(const BlockHeader& header, std::span<char, kBlockBytes> block) {
  CHECK(header.payload_bytes <= kPayloadBytes);
  char* out = block.data();
  StoreLittleEndian(out, static_cast<uint32_t>(header.kind));
  std::memcpy(out + 8, header.uuid.data(), header.uuid.size());
  StoreLittleEndian(out + 24, header.offset_bytes);
  StoreLittleEndian(out + 32, header.sequence);
  StoreLittleEndian(out + 40, header.generation);
  StoreLittleEndian(out + 48, header.mark);
  StoreLittleEndian(out + 56, header.payload_bytes);
  StoreLittleEndian(out + 60, header.flags);
  const size_t used = kHeaderBytes + header.payload_bytes;
  std::memset(out + used, 0, kBlockBytes - used);
  StoreLittleEndian(out + kChecksumAt, Crc32c({out + kCheckedFrom, kBlockBytes - kCheckedFrom}));
}

ParsedBlock ParseBlock(std::string_view bytes, BlockKind kind, const Uuid& uuid,
                       uint64_t offset_bytes) {
  if (bytes.size() != kBlockBytes ||
      LoadLittleEndian<uint32_t>(bytes.data()) != static_cast<uint32_t>(kind)) {
    return {.fault = BlockFault::kMagic};
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + kChecksumAt) !=
      Crc32c(bytes.substr(kCheckedFrom))) {
    return {.fault = BlockFault::kChecksum};
  }
  Decoder in(bytes.substr(kCheckedFrom));
  BlockHeader header{.kind = kind};
  const std::string_view raw_uuid = in.Raw(header.uuid.size());
  std::memcpy(header.uuid.data(), raw_uuid.data(), raw_uuid.size());
  header.offset_bytes = in.Fixed<uint64_t>();
  header.sequence = in.Fixed<uint64_t>();
  header.generation = in.Fixed<uint64_t>();
  header.mark = in.Fixed<uint64_t>();
  header.payload_bytes = in.Fixed<uint32_t>();
  header.flags = in.Fixed<uint32_t>();
  if (header.uuid != uuid) return {.fault = BlockFault::kOtherVolume};
  if (header.offset_bytes != offset_bytes) return {.fault = BlockFault::kMisplaced};
  if (header.payload_bytes > kPayloadBytes || header.sequence == 0 ||
      (header.flags & ~(BlockHeader::kFirst | BlockHeader::kLast)) != 0) {
    return {.fault = BlockFault::kShape};
  }
  return {.fault = BlockFault::kNone,
          .header = header,
          .payload = bytes.substr(kHeaderBytes, header.payload_bytes)};
}

bool IsValidName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool IsValidRootName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name != "." && name != ".." &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace tifs::volume
