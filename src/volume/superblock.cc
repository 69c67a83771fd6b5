#include "volume/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "volume/guarded_device.h"

namespace tifs::volume {
namespace {

constexpr std::string_view kMagic("TiFSvol\0", 8);
constexpr size_t kChecksumAt = 8;
constexpr size_t kCheckedFrom = 12;
constexpr uint64_t kEndGrain = 64 << 10;
constexpr uint64_t kMinDeviceBytes = 1 << 20;
constexpr uint64_t kMinUnit = 4 << 10;
constexpr uint64_t kMaxUnit = 16 << 20;

struct Area {
  uint64_t begin;
  uint64_t end;
};

// All that is not data, ascending. Of a superblock whose numbers were checked.
std::vector<Area> Areas(const Superblock& s) {
  std::vector<Area> areas = {{0, kBlockBytes}, {s.second_offset, s.second_offset + kBlockBytes}};
  for (const uint64_t offset : s.journal_offsets) {
    areas.push_back({offset, offset + s.journal_blocks * kBlockBytes});
  }
  for (const uint64_t offset : s.checkpoint_offsets) {
    areas.push_back({offset, offset + s.checkpoint_blocks * kBlockBytes});
  }
  std::ranges::sort(areas, {}, &Area::begin);
  return areas;
}

// What is wrong with numbers that came with a right checksum; empty: nothing.
const char* LayoutFault(const Superblock& s) {
  if (s.uuid == Uuid{}) return "no UUID";
  if (s.generation == 0) return "generation 0";
  if (s.journal_from_sequence == 0 || s.journal_generation == 0 ||
      s.journal_generation > s.generation) {
    return "where the journal goes on";
  }
  if (!std::has_single_bit(s.extent_unit_bytes) || s.extent_unit_bytes < kMinUnit ||
      s.extent_unit_bytes > kMaxUnit) {
    return "the extent unit";
  }
  if (s.device_bytes > kMaxDeviceBytes || s.device_bytes % kBlockBytes != 0) {
    return "the size of the device";
  }
  const uint64_t device_blocks = s.device_bytes / kBlockBytes;
  if (s.journal_blocks < Superblock::kMinJournalBlocks || s.journal_blocks > device_blocks ||
      s.checkpoint_blocks == 0 || s.checkpoint_blocks > device_blocks) {
    return "the sizes of journal and checkpoints";
  }
  uint64_t end = 0;
  for (const auto& offsets : {std::span<const uint64_t>(s.journal_offsets),
                              std::span<const uint64_t>(s.checkpoint_offsets),
                              std::span<const uint64_t>(&s.second_offset, 1)}) {
    for (const uint64_t offset : offsets) {
      if (offset % kBlockBytes != 0 || offset >= s.device_bytes) return "the place of an area";
    }
  }
  for (const Area& area : Areas(s)) {
    if (area.begin < end) return "areas that overlap";
    end = area.end;
  }
  return end > s.device_bytes ? "an area beyond the end" : nullptr;
}

void PadTo(std::string& out, size_t size) {
  CHECK(out.size() <= size);
  out.resize(size);
}

void EncodeText(std::string& out, std::string_view text, size_t max) {
  CHECK(text.size() <= max);
  const size_t begin = out.size();
  out += static_cast<char>(text.size());
  out += text;
  PadTo(out, begin + 1 + max);
}

// A length, the text, zeros. Nothing if it is not so.
std::optional<std::string> DecodeText(Decoder& in, size_t max) {
  const size_t size = in.Fixed<uint8_t>();
  const std::string_view field = in.Raw(max);
  if (!in.ok() || size > max || field.find_first_not_of('\0', size) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(field.substr(0, size));
}

Status CheckFeatures(const Superblock& s) {
  if ((s.incompatible & ~Superblock::kSparseFiles) == 0) return {};
  return Error(
      ErrorCode::kNotSupported, "volume",
      fmt::format("it has features that this release does not know ({:#x})", s.incompatible));
}

std::optional<Error> Bad(uint64_t offset_bytes, const char* what) {
  return Error(ErrorCode::kCorrupt, "superblock",
               fmt::format("at offset {}: {}", offset_bytes, what));
}

}  // namespace

std::vector<UnitRange> Superblock::DataRegions() const {
  std::vector<UnitRange> regions;
  uint64_t begin = 0;
  for (const Area& area : Areas(*this)) {
    const uint64_t first = RoundUp(begin, extent_unit_bytes) / extent_unit_bytes;
    const uint64_t end = area.begin / extent_unit_bytes;
    if (end > first) regions.push_back({first, end - first});
    begin = area.end;
  }
  return regions;
}

uint64_t SecondSuperblockOffset(uint64_t device_bytes) {
  const uint64_t end = RoundDown(device_bytes, kEndGrain);
  return end < kMinDeviceBytes ? 0 : end - kEndGrain;
}

Status LayOut(Superblock& s, uint64_t device_bytes, uint64_t journal_bytes,
              uint64_t checkpoint_bytes) {
  constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20;
  const auto blocks = [](uint64_t bytes) { return UnitsFor(bytes, kBlockBytes); };
  s.device_bytes = RoundDown(device_bytes, kBlockBytes);
  s.second_offset = SecondSuperblockOffset(device_bytes);
  s.journal_blocks = blocks(
      journal_bytes != 0 ? journal_bytes : std::clamp(device_bytes / 256, 128 * kKiB, 32 * kMiB));
  s.checkpoint_blocks =
      blocks(checkpoint_bytes != 0 ? checkpoint_bytes
                                   : std::clamp(device_bytes / 512, 64 * kKiB, 4096 * kMiB));
  const Error too_small(ErrorCode::kInvalid, "volume",
                        fmt::format("the device has {} bytes: too small", device_bytes));
  const uint64_t device_blocks = device_bytes / kBlockBytes;
  if (s.second_offset == 0 || device_bytes > kMaxDeviceBytes ||
      s.journal_blocks > device_blocks / 4 || s.checkpoint_blocks > device_blocks / 8) {
    return too_small.Clone();
  }
  const uint64_t journal_size = s.journal_blocks * kBlockBytes;
  const uint64_t slot_size = s.checkpoint_blocks * kBlockBytes;
  s.journal_offsets[0] = kBlockBytes;
  s.checkpoint_offsets[0] = s.journal_offsets[0] + journal_size;
  s.journal_offsets[1] = s.second_offset - journal_size;
  s.checkpoint_offsets[2] = s.journal_offsets[1] - slot_size;
  s.checkpoint_offsets[1] = s.checkpoint_offsets[2] - slot_size;
  if (LayoutFault(s) != nullptr || s.DataRegions().empty()) return too_small.Clone();
  return {};
}

std::string EncodeSuperblock(const Superblock& s, uint64_t offset_bytes) {
  std::string out;
  out.reserve(kBlockBytes);
  Encoder encoder(out);
  encoder.Raw(kMagic);
  encoder.Fixed(uint32_t{0});
  encoder.Fixed(Superblock::kVersion);
  encoder.Raw({reinterpret_cast<const char*>(s.uuid.data()), s.uuid.size()});
  for (const uint64_t value :
       {offset_bytes, s.generation, s.compatible, s.read_only_compatible, s.incompatible,
        s.device_bytes, s.extent_unit_bytes, s.journal_blocks, s.journal_offsets[0],
        s.journal_offsets[1], s.checkpoint_blocks, s.checkpoint_offsets[0], s.checkpoint_offsets[1],
        s.checkpoint_offsets[2], s.second_offset, static_cast<uint64_t>(s.formatted_ns),
        s.closed_at_sequence, s.journal_from_sequence, s.journal_generation}) {
    encoder.Fixed(value);
  }
  EncodeText(out, s.name, Superblock::kMaxVolumeNameBytes);
  EncodeText(out, s.owner, Superblock::kMaxOwnerBytes);
  PadTo(out, kBlockBytes);
  StoreLittleEndian(out.data() + kChecksumAt, Crc32c(std::string_view(out).substr(kCheckedFrom)));
  return out;
}

Result<Superblock> DecodeSuperblock(std::string_view block, uint64_t offset_bytes) {
  if (block.size() != kBlockBytes || !block.starts_with(kMagic)) {
    return Error(ErrorCode::kNotFound, "superblock");
  }
  if (LoadLittleEndian<uint32_t>(block.data() + kChecksumAt) !=
      Crc32c(block.substr(kCheckedFrom))) {
    return *Bad(offset_bytes, "its checksum is wrong");
  }
  Decoder in(block.substr(kCheckedFrom));
  const auto version = in.Fixed<uint32_t>();
  if (version == 0) return *Bad(offset_bytes, "version 0");
  if (version > Superblock::kVersion) {
    return Error(ErrorCode::kNotSupported, "volume",
                 fmt::format("it has format version {}; this release knows {}", version,
                             Superblock::kVersion));
  }
  Superblock s;
  const std::string_view uuid = in.Raw(s.uuid.size());
  std::memcpy(s.uuid.data(), uuid.data(), uuid.size());
  if (in.Fixed<uint64_t>() != offset_bytes) return *Bad(offset_bytes, "it belongs elsewhere");
  for (uint64_t* value :
       {&s.generation, &s.compatible, &s.read_only_compatible, &s.incompatible, &s.device_bytes,
        &s.extent_unit_bytes, &s.journal_blocks, &s.journal_offsets[0], &s.journal_offsets[1],
        &s.checkpoint_blocks, &s.checkpoint_offsets[0], &s.checkpoint_offsets[1],
        &s.checkpoint_offsets[2], &s.second_offset}) {
    *value = in.Fixed<uint64_t>();
  }
  s.formatted_ns = static_cast<int64_t>(in.Fixed<uint64_t>());
  s.closed_at_sequence = in.Fixed<uint64_t>();
  s.journal_from_sequence = in.Fixed<uint64_t>();
  s.journal_generation = in.Fixed<uint64_t>();
  auto name = DecodeText(in, Superblock::kMaxVolumeNameBytes);
  auto owner = DecodeText(in, Superblock::kMaxOwnerBytes);
  TRY(CheckFeatures(s));
  if (!name || !owner) return *Bad(offset_bytes, "the name or the owner");
  if (in.Rest().find_first_not_of('\0') != std::string_view::npos) {
    return *Bad(offset_bytes, "bytes where there should be none");
  }
  s.name = std::move(*name);
  s.owner = std::move(*owner);
  if (const char* fault = LayoutFault(s); fault != nullptr) return *Bad(offset_bytes, fault);
  return s;
}

namespace {

// One copy as it was found.
struct FoundCopy {
  std::optional<Superblock> superblock;
  std::optional<Error> error;
  bool blank = false;  // unreadable, or all zeros
  bool ours = false;   // begins with our magic
};

FoundCopy ReadCopy(block::BlockDevice& device, block::DmaBuffer& buffer, uint64_t offset_bytes) {
  FoundCopy found;
  const std::span<char> block = buffer.bytes().first(kBlockBytes);
  if (Status read = device.Read(offset_bytes, block); !read) {
    found.blank = true;
    found.error = std::move(read.error());
    return found;
  }
  const std::string_view bytes(block.data(), block.size());
  found.blank = bytes.find_first_not_of('\0') == std::string_view::npos;
  found.ours = bytes.starts_with(kMagic);
  auto decoded = DecodeSuperblock(bytes, offset_bytes);
  if (decoded) {
    found.superblock = std::move(*decoded);
  } else {
    found.error = std::move(decoded.error());
  }
  return found;
}

std::string FaultOf(const FoundCopy& copy, const Superblock& best) {
  if (copy.error) {
    return copy.error->code() == ErrorCode::kNotFound ? "it is no superblock"
                                                      : copy.error->ToString();
  }
  if (copy.superblock->uuid != best.uuid) return "it is of another volume";
  // A crash between the copies.
  if (copy.superblock->generation + 1 == best.generation) return "";
  if (copy.superblock->generation != best.generation) {
    return fmt::format("it is of generation {}, not {}", copy.superblock->generation,
                       best.generation);
  }
  return *copy.superblock == best ? "" : "it differs";
}

// The error when no copy can be used: the one that says most.
Error NoneOf(const block::BlockDevice& device, std::span<FoundCopy> copies) {
  for (FoundCopy& copy : copies) {
    if (copy.error && copy.error->code() == ErrorCode::kNotSupported) return copy.error->Clone();
  }
  for (FoundCopy& copy : copies) {
    if (copy.error && copy.error->code() != ErrorCode::kNotFound) return copy.error->Clone();
  }
  return Error(ErrorCode::kNotFound, "volume", device.identity() + " has no TiFS volume");
}

}  // namespace

Result<SuperblockCopies> ReadSuperblocks(block::BlockDevice& device) {
  if (device.size_bytes() < kMinDeviceBytes) {
    return Error(ErrorCode::kNotFound, "volume", device.identity() + " has no TiFS volume");
  }
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlockBytes));
  std::array<FoundCopy, 2> found;
  found[0] = ReadCopy(device, buffer, 0);
  const uint64_t second_offset = found[0].superblock ? found[0].superblock->second_offset
                                                     : SecondSuperblockOffset(device.size_bytes());
  if (found[0].superblock && found[0].superblock->device_bytes > device.size_bytes()) {
    return Error(ErrorCode::kInvalid, "volume",
                 fmt::format("{} has {} bytes, but the volume has {}", device.identity(),
                             device.size_bytes(), found[0].superblock->device_bytes));
  }
  found[1] = ReadCopy(device, buffer, second_offset);
  // A version that we do not know must not be taken for a bad copy of one that we do.
  for (FoundCopy& copy : found) {
    if (copy.error && copy.error->code() == ErrorCode::kNotSupported) return std::move(*copy.error);
  }
  if (!found[0].superblock && !found[1].superblock) return NoneOf(device, found);
  SuperblockCopies copies;
  const bool second_counts =
      !found[0].superblock ||
      (found[1].superblock && found[1].superblock->uuid == found[0].superblock->uuid &&
       found[1].superblock->generation > found[0].superblock->generation);
  copies.best_copy = second_counts ? 1 : 0;
  copies.best = *found[copies.best_copy].superblock;
  if (copies.best.device_bytes > device.size_bytes()) {
    return Error(ErrorCode::kInvalid, "volume", device.identity() + " is smaller than the volume");
  }
  for (size_t i = 0; i < 2; ++i) copies.faults[i] = FaultOf(found[i], copies.best);
  copies.foreign = !found[0].superblock && !found[0].blank && !found[0].ours;
  return copies;
}

Status WriteSuperblock(GuardedDevice& device, const Superblock& superblock, uint64_t offset_bytes) {
  block::DmaBuffer buffer = TRY(device.AllocateBuffer(kBlockBytes));
  const std::string block = EncodeSuperblock(superblock, offset_bytes);
  std::memcpy(buffer.data(), block.data(), kBlockBytes);
  TRY(device.Write(offset_bytes, buffer.bytes().first(kBlockBytes)));
  return device.Flush(FlushKind::kSuperblock);
}

Status WriteSuperblocks(GuardedDevice& device, const Superblock& superblock, size_t first_copy) {
  const uint64_t offsets[] = {0, superblock.second_offset};
  TRY(WriteSuperblock(device, superblock, offsets[first_copy]));
  return WriteSuperblock(device, superblock, offsets[1 - first_copy]);
}

}  // namespace tifs::volume
