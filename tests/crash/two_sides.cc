#include "tests/crash/two_sides.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "sim/power_cut_fs.h"
#include "volume/volume_check.h"

namespace tifs::rocksfs {
namespace {

using rocksdb::IOOptions;
using rocksdb::IOStatus;

const std::string kBase = "/base";
const std::string kDirectory = kBase + "/d";
const std::vector<std::string> kNames = {"v.sst", "b.sst", "2.sst", "c.log", "n.sst", "n.log"};
// More than a sync puts into the journal.
constexpr size_t kFileBytes = 9'000;

std::string BytesOf(char which) { return std::string(kFileBytes, which); }
const std::string kHidden = BytesOf('H');

std::string PathOf(const std::string& name) { return kDirectory + "/" + name; }

sim::SimDeviceOptions DiskOptions(uint64_t seed) { return {.size_bytes = 2 << 20, .seed = seed}; }

volume::VolumeOptions OpenOptions() {
  volume::VolumeOptions options;
  options.owner = "crash test";
  options.background = false;
  return options;
}

// The volume's half of the start.
const sim::DiskImage& StartImage() {
  static const sim::DiskImage image = [] {
    sim::SimBlockDevice device(DiskOptions(1));
    volume::FormatOptions format;
    format.extent_unit_bytes = 4096;
    CHECK(volume::Volume::Format(device, format, SystemClock()).ok());
    auto volume =
        volume::Volume::Open(std::make_unique<block::ForwardingDevice>(device), OpenOptions());
    CHECK(volume.ok());
    {
      auto root = (*volume)->OpenRoot("kv", true);
      CHECK(root.ok() && (*root)->MakeDirectory("d").ok());
      for (const auto& [path, which] : {std::pair("d/v.sst", 'V'), std::pair("d/2.sst", '2')}) {
        auto file = (*root)->Open(path, {.write = true, .create = true});
        CHECK(file.ok() && (*file)->Append(BytesOf(which)).ok() && (*file)->Sync().ok());
      }
    }
    CHECK((*volume)->Close().ok());
    return device.Contents();
  }();
  return image;
}

void MakeBase(sim::PowerCutDisk& base) {
  CHECK(base.MakeDirectory(kBase).ok() && base.MakeDirectory(kDirectory).ok());
  for (const auto& [name, bytes] : {std::pair("b.sst", BytesOf('B')), std::pair("2.sst", kHidden),
                                    std::pair("c.log", BytesOf('C'))}) {
    auto file = base.Open(PathOf(name), {.create = true});
    CHECK(file.ok() && (*file)->Append(bytes).ok() && (*file)->Sync().ok());
  }
  for (const std::string& path : {kDirectory, kBase, std::string("/")}) {
    CHECK(base.SyncDirectory(path).ok());
  }
}

std::string TextOf(const IOStatus& status) { return status.ok() ? "" : status.ToString(); }

std::string Shown(const TwoSides::View& view, const std::string& name) {
  const auto found = view.find(name);
  if (found == view.end()) return "absent";
  if (found->second.empty()) return "empty";
  return std::string(1, found->second[0]) + " (" + std::to_string(found->second.size()) + " bytes)";
}

bool Holds(const TwoSides::View& view, const std::string& bytes) {
  return std::ranges::any_of(view, [&](const auto& entry) { return entry.second == bytes; });
}

}  // namespace

std::string ToText(const std::vector<SidesOp>& ops) {
  const char* const verbs[] = {"create", "delete", "rename", "link", "sync"};
  std::string text;
  for (const SidesOp& op : ops) {
    text += std::string(verbs[static_cast<int>(op.kind)]) + " " + op.name;
    text += op.to.empty() ? "; " : " to " + op.to + "; ";
  }
  return text;
}

std::vector<SidesOp> SidesAlphabet() {
  using Kind = SidesOp::Kind;
  std::vector<SidesOp> alphabet = {{.kind = Kind::kSyncDirectory, .name = "", .to = ""}};
  const auto is_table = [](const std::string& name) { return name.ends_with(".sst"); };
  for (const std::string& name : kNames) {
    alphabet.push_back({.kind = Kind::kCreate, .name = name, .to = ""});
    if (!name.starts_with("n")) alphabet.push_back({.kind = Kind::kDelete, .name = name, .to = ""});
    for (const std::string& to : kNames) {
      if (to == name || name.starts_with("n")) continue;
      // To a free name of the same kind: where files go is decided by it.
      if (to.starts_with("n") && is_table(name) != is_table(to)) continue;
      alphabet.push_back({.kind = Kind::kRename, .name = name, .to = to});
      if (to.starts_with("n")) alphabet.push_back({.kind = Kind::kLink, .name = name, .to = to});
    }
  }
  return alphabet;
}

TwoSides::TwoSides(const SidesOptions& options, uint64_t seed)
    : options_(options),
      random_(seed),
      device_(DiskOptions(seed), StartImage()),
      base_(device_.power()) {
  MakeBase(base_);
  base_.LieAboutSync(options_.lie_about_base);
  states_.push_back({{"v.sst", BytesOf('V')},
                     {"b.sst", BytesOf('B')},
                     {"2.sst", BytesOf('2')},
                     {"c.log", BytesOf('C')}});
  const std::string why = Open();
  CHECK(why.empty());
}

TwoSides::~TwoSides() { Close(); }

std::string TwoSides::Open() {
  volume::VolumeOptions options = OpenOptions();
  options.skip_flush = options_.skip_flush;
  auto volume = volume::Volume::Open(std::make_unique<block::ForwardingDevice>(device_), options);
  if (!volume) return "the volume does not open: " + volume.error().ToString();
  RocksFileSystemOptions fs_options;
  fs_options.root = "kv";
  fs_options.base_directory = kBase;
  auto opened = RocksFileSystem::Open(SharedVolume::Of(*std::move(volume)),
                                      std::make_shared<sim::PowerCutFs>(base_), fs_options);
  if (!opened) return "no file system: " + opened.error().ToString();
  fs_ = *std::move(opened);
  return "";
}

void TwoSides::Close() { fs_.reset(); }

// --- operations ---

TwoSides::View TwoSides::Apply(const SidesOp& op) const {
  View view = states_.back();
  switch (op.kind) {
    case SidesOp::Kind::kCreate:
      view[op.name] = BytesOf(static_cast<char>('a' + ops_.size()));
      break;
    case SidesOp::Kind::kDelete: view.erase(op.name); break;
    case SidesOp::Kind::kRename:
      // Two names of one file stay so.
      if (view.contains(op.to) && view.at(op.to) == view.at(op.name)) break;
      view[op.to] = view.at(op.name);
      view.erase(op.name);
      break;
    case SidesOp::Kind::kLink: view[op.to] = view.at(op.name); break;
    case SidesOp::Kind::kSyncDirectory: break;
  }
  return view;
}

bool TwoSides::IsDefined(const SidesOp& op) const {
  const auto replaced = expected().find(op.name);
  if (op.kind != SidesOp::Kind::kCreate || PlacementOf(op.name) == Side::kVolume ||
      replaced == expected().end()) {
    return true;
  }
  for (size_t i = durable_; i < states_.size(); ++i) {
    for (const auto& [name, bytes] : states_[i]) {
      if (bytes == replaced->second && name != op.name) return false;
    }
  }
  return true;
}

std::string TwoSides::Do(const SidesOp& op) {
  const bool needs_name =
      op.kind != SidesOp::Kind::kCreate && op.kind != SidesOp::Kind::kSyncDirectory;
  const bool is_refused = (needs_name && !expected().contains(op.name)) ||
                          (op.kind == SidesOp::Kind::kLink && expected().contains(op.to));
  states_.push_back(is_refused ? states_.back() : Apply(op));
  ops_.push_back(op);
  under_way_ = true;
  const std::string why = DoOnFs(op);
  if (is_refused && why.empty()) return "it was done, and should have been refused";
  if (!is_refused && !why.empty()) return why;
  under_way_ = false;
  if (op.kind == SidesOp::Kind::kSyncDirectory) durable_ = states_.size() - 1;
  return is_off() ? "the power is off" : "";
}

std::string TwoSides::CreateFile(const std::string& name, const std::string& bytes) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = fs_->NewWritableFile(PathOf(name), {}, &file, nullptr);
  if (status.ok()) status = file->Append(bytes, IOOptions(), nullptr);
  if (status.ok()) status = file->Sync(IOOptions(), nullptr);
  if (status.ok()) status = file->Close(IOOptions(), nullptr);
  return TextOf(status);
}

std::string TwoSides::DoOnFs(const SidesOp& op) {
  const IOOptions io;
  switch (op.kind) {
    case SidesOp::Kind::kCreate: return CreateFile(op.name, expected().at(op.name));
    case SidesOp::Kind::kDelete: return TextOf(fs_->DeleteFile(PathOf(op.name), io, nullptr));
    case SidesOp::Kind::kRename:
      return TextOf(fs_->RenameFile(PathOf(op.name), PathOf(op.to), io, nullptr));
    case SidesOp::Kind::kLink:
      return TextOf(fs_->LinkFile(PathOf(op.name), PathOf(op.to), io, nullptr));
    case SidesOp::Kind::kSyncDirectory: break;
  }
  std::unique_ptr<rocksdb::FSDirectory> directory;
  IOStatus status = fs_->NewDirectory(kDirectory, io, &directory, nullptr);
  if (status.ok()) status = directory->Fsync(io, nullptr);
  return TextOf(status);
}

// --- looking ---

std::string TwoSides::Read(View& view) {
  view.clear();
  std::vector<std::string> listed;
  IOStatus status = fs_->GetChildren(kDirectory, IOOptions(), &listed, nullptr);
  if (!status.ok()) return "list: " + status.ToString();
  std::erase_if(listed, [](const std::string& name) { return name == "." || name == ".."; });
  for (const std::string& name : listed) {
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    std::string bytes(2 * kFileBytes, '\0');
    rocksdb::Slice result;
    uint64_t size = 0;
    status = fs_->NewSequentialFile(PathOf(name), {}, &file, nullptr);
    if (status.ok()) status = file->Read(bytes.size(), IOOptions(), &result, bytes.data(), nullptr);
    if (status.ok()) status = fs_->GetFileSize(PathOf(name), IOOptions(), &size, nullptr);
    if (!status.ok()) return "read " + name + ": " + status.ToString();
    if (size != result.size()) return name + " says that it has another size";
    if (!view.emplace(name, result.ToString()).second) return name + " is listed twice";
  }
  for (const std::string& name : kNames) {
    const bool exists = fs_->FileExists(PathOf(name), IOOptions(), nullptr).ok();
    if (exists != view.contains(name)) return name + " exists, or not, against the list";
  }
  return "";
}

// What a file may be that is being written: on the base anything, on the volume nothing but a
// beginning of what it will be, since the record of its size follows its bytes.
bool TwoSides::MayBeOnItsWay(const View& found, const std::string& name) const {
  if (PlacementOf(name) == Side::kBase || !found.contains(name)) return true;
  return expected().at(name).starts_with(found.at(name));
}

// Each name is as it was at one instant since the last sync of the directory. What every such
// instant has, and was not touched by two operations since, is nowhere lost. What was hidden stays
// so.
std::string TwoSides::Judge(const View& found) const {
  if (Holds(found, kHidden)) return "a hidden copy shows";
  const SidesOp* creating =
      under_way_ && ops_.back().kind == SidesOp::Kind::kCreate ? &ops_.back() : nullptr;
  for (const std::string& name : kNames) {
    if (creating != nullptr && creating->name == name && MayBeOnItsWay(found, name)) continue;
    bool known = false;
    for (size_t i = durable_; i < states_.size() && !known; ++i) {
      known = Shown(states_[i], name) == Shown(found, name) &&
              (!found.contains(name) || states_[i].at(name) == found.at(name));
    }
    if (!known) return name + " is " + Shown(found, name);
  }
  if (durable_ + 2 < states_.size()) return "";
  for (const auto& [name, bytes] : states_[durable_]) {
    if (Holds(states_.back(), bytes) && !Holds(found, bytes)) {
      return "the bytes of " + name + " are lost";
    }
  }
  return "";
}

std::string TwoSides::CheckAfterCut() {
  if (!is_off()) CutAfter(0);
  Close();
  base_.PowerOn(random_);
  const auto report =
      volume::VolumeCheck::Run(std::make_unique<block::ForwardingDevice>(device_), {});
  if (!report) return "volume check: " + report.error().ToString();
  if (!report->findings.empty()) return "volume check: " + report->findings[0].text;
  if (std::string why = Open(); !why.empty()) return why;
  View found;
  if (std::string why = Read(found); !why.empty()) return why;
  return Judge(found);
}

}  // namespace tifs::rocksfs
