#include "tests/golden/golden_volume.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "block/mem_device.h"
#include "volume/volume.h"

namespace tifs::golden {
namespace {

constexpr size_t kRowBytes = 32;
constexpr uint64_t kDiskBytes = 1 << 20;

using volume::File;
using volume::Root;
using volume::Volume;

std::string Pattern(size_t size, char first) {
  std::string bytes(size, '\0');
  // Mostly zeros, so that the text stays short.
  for (size_t i = 0; i < size; i += 401) bytes[i] = static_cast<char>(first + i % 26);
  return bytes;
}

Result<std::unique_ptr<block::MemDevice>> MakeDisk(std::string_view contents) {
  block::MemDeviceOptions options;
  options.size_bytes = contents.size();
  auto disk = TRY(block::MemDevice::Open(options));
  TRY(disk->Write(0, {contents.data(), contents.size()}));
  return disk;
}

Status WriteFile(Root& root, std::string_view path, std::string_view bytes) {
  auto file = TRY(root.Open(path, {.write = true, .create = true}));
  TRY(file->Append(bytes));
  TRY(file->Sync());
  return file->Close();
}

// Everything in docs/volume_format.md that has a form on the disk.
Status Fill(Volume& volume) {
  auto kv = TRY(volume.OpenRoot("kv", true));
  auto raft = TRY(volume.OpenRoot("raft", true));
  TRY(kv->MakeDirectories("db/archive"));
  TRY(WriteFile(*kv, "db/000001.sst", Pattern(20'000, 'A')));
  TRY(WriteFile(*kv, "db/gone.sst", Pattern(9'000, 'G')));
  TRY(kv->Link("db/000001.sst", "db/archive/link.sst"));
  TRY(WriteFile(*raft, "000002.sst", Pattern(5'000, 'R')));
  TRY(volume.Checkpoint());
  TRY(kv->Unlink("db/gone.sst"));
  TRY(WriteFile(*kv, "db/new.sst.tmp", Pattern(6'000, 'N')));
  TRY(kv->Rename("db/new.sst.tmp", "db/new.sst"));
  TRY(raft->Truncate("000002.sst", 4'500));
  auto manifest = TRY(kv->Open("db/MANIFEST", {.write = true, .create = true}));
  for (int i = 0; i < 3; ++i) {
    TRY(manifest->Append(Pattern(70, 'M')));
    TRY(manifest->Sync());
  }
  TRY(kv->MakeDirectory("db/never-synced"));
  return manifest->Append("not synced");
}

Status ReadDirectory(Root& root, const std::string& path, const std::string& prefix,
                     std::map<std::string, std::string>& files) {
  for (const auto& entry : TRY(root.List(path))) {
    const std::string below = path + "/" + entry.name;
    if (entry.stat.kind == volume::InodeKind::kDirectory) {
      files[prefix + below + "/"] = "";
      TRY(ReadDirectory(root, below, prefix, files));
      continue;
    }
    auto file = TRY(root.Open(below, {}));
    std::string bytes(file->size_bytes(), '\0');
    TRY(file->ReadAt(0, bytes));
    files[prefix + below] = std::move(bytes);
  }
  return {};
}

}  // namespace

std::string DiskToText(std::string_view disk) {
  std::string text = "size " + std::to_string(disk.size()) + "\n";
  for (size_t row = 0; row < disk.size(); row += kRowBytes) {
    std::string_view bytes = disk.substr(row, kRowBytes);
    const size_t last = bytes.find_last_not_of('\0');
    if (last == std::string_view::npos) continue;
    text += "@" + std::to_string(row) + " ";
    for (const char byte : bytes.substr(0, last + 1)) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<uint8_t>(byte));
      text += digits;
    }
    text += "\n";
  }
  return text;
}

Result<std::string> DiskFromText(std::string_view text) {
  const Error bad(ErrorCode::kInvalid, "golden volume");
  std::string disk;
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line[0] == '#') continue;
    if (unsigned long long size; std::sscanf(line.c_str(), "size %llu", &size) == 1) {
      if (size > (64 << 20)) return bad.Clone();
      disk.resize(size);
      continue;
    }
    unsigned long long offset = 0;
    int used = 0;
    if (std::sscanf(line.c_str(), "@%llu %n", &offset, &used) != 1) return bad.Clone();
    const size_t count = (line.size() - static_cast<size_t>(used)) / 2;
    if (offset > disk.size() || count > disk.size() - offset) return bad.Clone();
    for (size_t i = 0; i < count; ++i) {
      unsigned byte = 0;
      if (std::sscanf(line.c_str() + used + 2 * i, "%2x", &byte) != 1) return bad.Clone();
      disk[offset + i] = static_cast<char>(byte);
    }
  }
  return disk;
}

std::map<std::string, std::string> GoldenVolumeFiles() {
  std::string manifest;
  for (int i = 0; i < 3; ++i) manifest += Pattern(70, 'M');
  return {{"kv/db/", ""},
          {"kv/db/archive/", ""},
          {"kv/db/000001.sst", Pattern(20'000, 'A')},
          {"kv/db/archive/link.sst", Pattern(20'000, 'A')},
          {"kv/db/new.sst", Pattern(6'000, 'N')},
          {"kv/db/MANIFEST", manifest},
          {"raft/000002.sst", Pattern(4'500, 'R')}};
}

Result<std::string> MakeGoldenVolume() {
  ManualClock clock;
  auto disk = TRY(MakeDisk(std::string(kDiskBytes, '\0')));
  volume::FormatOptions format{.name = "golden", .extent_unit_bytes = 8 << 10};
  format.uuid = volume::Uuid{0x74, 0x69, 0x66, 0x73, 1, 2, 0x43, 4, 0x85, 6, 7, 8, 9, 10, 11, 12};
  TRY(Volume::Format(*disk, format, clock));
  volume::VolumeOptions options;
  options.owner = "make_golden_volume";
  options.clock = &clock;
  options.background = false;
  auto volume = TRY(Volume::Open(std::make_unique<block::ForwardingDevice>(*disk), options));
  TRY(Fill(*volume));
  // Before anything is closed.
  std::string contents(kDiskBytes, '\0');
  TRY(disk->Read(0, contents));
  return contents;
}

Result<std::map<std::string, std::string>> ReadVolumeDisk(std::string_view contents) {
  auto disk = TRY(MakeDisk(contents));
  volume::VolumeOptions options;
  options.background = false;
  auto volume = TRY(Volume::Open(std::move(disk), options));
  TRY(volume->Verify());
  std::map<std::string, std::string> files;
  for (const auto& entry : volume->Roots()) {
    auto root = TRY(volume->OpenRoot(entry.name, false));
    TRY(ReadDirectory(*root, "", entry.name, files));
  }
  return files;
}

}  // namespace tifs::golden
