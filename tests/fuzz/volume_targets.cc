// What a volume reads from its disk: each parser gets bytes with a right checksum, because a
// hostile image has that.
#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/crc32c.h"
#include "block/device_profile.h"
#include "fuzz_target.h"
#include "volume/journal_reader.h"
#include "volume/journal_record.h"
#include "volume/redo.h"
#include "volume/superblock.h"
#include "volume/table_scan.h"

namespace tifs::fuzz {
namespace {

using namespace volume;

constexpr Uuid kUuid = {7};

// --- superblocks ---

std::string MakeSuperblock(Random& random) {
  Superblock superblock{.uuid = kUuid};
  superblock.extent_unit_bytes = uint64_t{4096} << random.Below(5);
  superblock.generation = 1 + random.Below(1000);
  superblock.name = std::string(random.Below(65), 'n');
  superblock.owner = std::string(random.Below(256), 'o');
  if (!LayOut(superblock, (1 + random.Below(1 << 20)) << 20, 0, 0)) return {};
  std::string block = EncodeSuperblock(superblock, 0);
  block.resize(512);
  return block;
}

std::string RunSuperblock(std::string_view input) {
  std::string block(input.substr(0, kBlockBytes));
  block.resize(kBlockBytes);
  StoreLittleEndian(block.data() + 8, Crc32c(std::string_view(block).substr(12)));
  const auto decoded = DecodeSuperblock(block, 0);
  if (!decoded) return {};
  if (EncodeSuperblock(*decoded, 0) != block) return "it is not encoded as it was decoded";
  uint64_t end = 0;
  for (const UnitRange& region : decoded->DataRegions()) {
    if (region.count == 0 || region.start < end) return "data regions overlap";
    end = region.end();
    if (end * decoded->extent_unit_bytes > decoded->device_bytes) return "data beyond the end";
  }
  return {};
}

// --- journal and checkpoint blocks ---

std::string MakeBlock(Random& random) {
  const std::string payload = RandomBytes(random, random.Below(200));
  std::string block(kBlockBytes, '\0');
  std::memcpy(block.data() + kHeaderBytes, payload.data(), payload.size());
  SealBlock({.kind = BlockKind::kJournal,
             .uuid = kUuid,
             .offset_bytes = 8192,
             .sequence = 1 + random.Below(100),
             .generation = random.Below(10),
             .mark = RandomInteger(random),
             .payload_bytes = static_cast<uint32_t>(payload.size()),
             .flags = static_cast<uint32_t>(random.Below(4))},
            std::span<char, kBlockBytes>(block.data(), kBlockBytes));
  block.resize(kHeaderBytes + payload.size());
  return block;
}

std::string RunBlock(std::string_view input) {
  std::string block(input.substr(0, kBlockBytes));
  block.resize(kBlockBytes);
  StoreLittleEndian(block.data() + 4, Crc32c(std::string_view(block).substr(8)));
  const ParsedBlock parsed = ParseBlock(block, BlockKind::kJournal, kUuid, 8192);
  if (parsed.fault != BlockFault::kNone) return {};
  if (parsed.payload.size() != parsed.header.payload_bytes) return "the payload's length";
  return parsed.payload.data() == block.data() + kHeaderBytes ? "" : "the payload's place";
}

// --- records, applied to a table ---

struct RecordApplier {
  FileTable& table;
  Redo& redo;
  std::vector<UnitRange> freed;

  Status operator()(const CreateRecord& record) { return table.Apply(record); }
  Status operator()(const LinkRecord& record) { return table.Apply(record); }
  Status operator()(const UnlinkRecord& record) { return table.Apply(record, freed); }
  Status operator()(const RenameRecord& record) { return table.Apply(record, freed); }
  Status operator()(const FileRecord& record) {
    Status applied = table.Apply(record);
    if (applied) redo.Apply(record);
    return applied;
  }
  Status operator()(const CheckpointRecord&) { return {}; }
  Status operator()(const MapRecord& record) { return table.Apply(record, freed); }
};

Record SomeRecord(Random& random) {
  const auto number = [&] { return random.OneIn(8) ? RandomInteger(random) : random.Below(9); };
  const auto name = [&] { return std::string(1 + random.Below(2), "abcd"[random.Below(4)]); };
  switch (random.Below(9)) {
    case 0:
    case 1:
      return CreateRecord{.parent = number(),
                          .inode = number(),
                          .kind = static_cast<InodeKind>(1 + random.Below(3)),
                          .name = name()};
    case 2: return LinkRecord{.parent = number(), .inode = number(), .name = name()};
    case 3: return UnlinkRecord{.parent = number(), .inode = number(), .name = name()};
    case 4:
      return RenameRecord{.from_parent = number(),
                          .to_parent = number(),
                          .inode = number(),
                          .replaced = random.OneIn(2) ? 0 : number(),
                          .from = name(),
                          .to = name()};
    case 5: return CheckpointRecord{.number = number()};
    case 6: {
      MapRecord record{.inode = number(), .size_bytes = random.Below(1 << 20)};
      for (uint64_t i = random.Below(4); i > 0; --i) {
        const uint64_t start = random.OneIn(3) ? MapRecord::kHole : number();
        record.runs.push_back({number(), {start, random.Below(6)}});
      }
      return record;
    }
    default: {
      FileRecord record{.inode = number(), .from_unit = random.Below(2)};
      uint64_t units = record.from_unit;
      for (uint64_t i = random.Below(3); i > 0; --i) {
        record.extents.push_back({random.Below(50), 1 + random.Below(4)});
        units += record.extents.back().count;
      }
      record.size_bytes = units * 4096 - (units != 0 ? random.Below(4096) : 0);
      record.tail = std::string(random.Below(std::min<uint64_t>(record.size_bytes, 50) + 1), 't');
      record.in_place_bytes = random.Below(record.size_bytes - record.tail.size() + 1);
      return record;
    }
  }
}

std::string MakeRecords(Random& random) {
  std::string bytes;
  for (uint64_t i = random.Below(12); i > 0; --i) EncodeRecord(SomeRecord(random), bytes);
  return bytes;
}

std::string RunRecords(std::string_view input) {
  FileTable table(4096);
  Redo redo;
  RecordApplier applier{table, redo, {}};
  Decoder in(input);
  while (in.remaining() != 0) {
    const std::string_view before = input.substr(input.size() - in.remaining());
    const auto record = DecodeRecord(in);
    if (!record) return {};
    std::string again;
    EncodeRecord(*record, again);
    if (before.substr(0, before.size() - in.remaining()) != again) {
      return "it is not encoded as it was decoded";
    }
    (void)std::visit(applier, *record);
    if (!table.CheckTree()) return "what was applied is no tree";
  }
  for (const auto& [number, tail] : redo.tails()) {
    const Inode* inode = table.Find(number);
    if (inode != nullptr && tail.end_bytes() != inode->size_bytes) {
      return "redo that does not end where its file ends";
    }
  }
  return {};
}

// --- checkpoints ---

std::string MakeCheckpoint(Random& random) {
  FileTable table(4096);
  Redo redo;
  RecordApplier applier{table, redo, {}};
  for (uint64_t i = random.Below(40); i > 0; --i) {
    Record record = SomeRecord(random);
    if (auto* create = std::get_if<CreateRecord>(&record)) create->inode = table.next_inode();
    (void)std::visit(applier, record);
  }
  std::string bytes;
  EncodeCheckpointStart({.position = 5, .keep = 3, .next_inode = table.next_inode()}, bytes);
  TableScan scan(table);
  while (scan.NextSlice(3, bytes)) {
  }
  return bytes;
}

std::string RunCheckpoint(std::string_view input) {
  FileTable table(4096);
  const auto start = LoadTable(input, table);
  if (!start) return {};
  std::string again;
  EncodeCheckpointStart(*start, again);
  TableScan scan(table);
  while (scan.NextSlice(1000, again)) {
  }
  FileTable loaded(4096);
  if (!LoadTable(again, loaded)) return "what was loaded cannot be loaded again";
  if (loaded.encoded_bytes() != table.encoded_bytes()) return "it is not what was loaded";
  return {};
}

// --- the end of the journal ---

// A byte a block of a ring of 32, twice: anything at all.
std::string MakeJournal(Random& random) { return RandomBytes(random, 64 * 5); }

std::string RunJournalEnd(std::string_view input) {
  SeenJournal seen;
  Decoder in(input);
  for (auto& copy : seen) {
    copy.resize(32);
    for (size_t i = 0; i < copy.size(); ++i) {
      const uint64_t lap = in.Fixed<uint8_t>() % 4;
      if (lap == 0) continue;
      copy[i] = {.sequence = lap * 32 + i,
                 .generation = in.Fixed<uint8_t>() % uint64_t{4},
                 .durable_below = in.Fixed<uint8_t>(),
                 .first = in.Fixed<uint8_t>() % 3 != 0,
                 .last = in.Fixed<uint8_t>() % 3 != 0};
    }
  }
  const JournalEnd end = FindJournalEnd(seen, {40, 1, in.Fixed<uint8_t>() % uint64_t{80}, 2});
  if (end.next_sequence < 40 || end.next_sequence > 72) return "an end outside of the ring";
  if (end.copy.size() != end.next_sequence - 40) return "copies and end disagree";
  for (uint64_t sequence = 40; sequence < end.next_sequence; ++sequence) {
    if (seen[end.copy[sequence - 40]][sequence % 32].sequence != sequence) return "a wrong copy";
  }
  return {};
}

// The text is a file that anybody may have put on the volume.
std::string RunDeviceProfile(std::string_view text) {
  using block::DeviceProfile;
  const auto profile = DeviceProfile::Parse(text);
  if (!profile) return profile.error().code() == ErrorCode::kCorrupt ? "" : "not kCorrupt";
  if (!profile->Validate()) return "a profile that is not valid";
  const auto again = DeviceProfile::Parse(profile->ToText());
  if (!again || *again != *profile) return "its text is another profile";
  const auto cost = profile->CostOf(block::IoKind::kWrite, UINT64_MAX);
  return cost.count() < 0 ? "a negative cost" : "";
}

std::string MakeDeviceProfile(Random& random) {
  const auto figure = [&random] { return RandomInteger(random) % 1'000'000'000'000'000 + 1; };
  block::DeviceProfile profile;
  profile.read_iops = figure();
  profile.read_bytes_per_s = figure();
  profile.write_iops = figure();
  profile.write_bytes_per_s = figure();
  profile.latency_goal_ns = figure();
  return profile.ToText();
}

constexpr Target kTargets[] = {
    {"device_profile", RunDeviceProfile, MakeDeviceProfile},
    {"volume_superblock", RunSuperblock, MakeSuperblock},
    {"volume_block", RunBlock, MakeBlock},
    {"volume_records", RunRecords, MakeRecords},
    {"volume_checkpoint", RunCheckpoint, MakeCheckpoint},
    {"volume_journal_end", RunJournalEnd, MakeJournal},
};

}  // namespace

std::span<const Target> VolumeTargets() { return kTargets; }

}  // namespace tifs::fuzz
