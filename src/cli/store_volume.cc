#include "cli/store_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "block/device_name.h"
#include "block/open_device.h"
#include "block/scheduled_device.h"
#include "cli/output.h"
#include "cli/volume_device.h"
#include "cli/volume_extent_device.h"
#include "fs/space_account.h"
#include "rocksfs/rocks_file_system.h"
#include "volume/volume.h"

namespace tifs::cli {
namespace {

constexpr std::string_view kDataFile = "blocks";
constexpr std::string_view kRecordFile = "tifs.store";
constexpr std::string_view kNewRecordFile = "tifs.store.new";
constexpr size_t kMaxRecordBytes = 64 << 10;

Error BadQuery(std::string_view why, std::string_view way_out) {
  return Error(ErrorCode::kInvalid, "store URI", fmt::format("{}; {}", why, way_out));
}

Status SetParameter(VolumeAddress& address, std::string_view parameter) {
  const size_t equals = parameter.find('=');
  const std::string_view name = parameter.substr(0, equals);
  if (name != "volume" && name != "root") {
    return BadQuery(fmt::format("'?{}' is no parameter of this store", Escaped(parameter)),
                    "leave it out, or write a question mark of the path as '%3F'");
  }
  std::string& value = name == "root" ? address.root : address.device;
  if (!value.empty()) return BadQuery(fmt::format("'{}' is there twice", name), "name it once");
  if (equals == parameter.npos || !DecodeQueryValue(parameter.substr(equals + 1), value)) {
    return BadQuery("a '%' in it is not followed by two hexadecimal digits",
                    "write a percent sign as '%25'");
  }
  if (value.empty()) {
    return BadQuery(fmt::format("'{}=' names nothing", name),
                    name == "root" ? "leave it out" : "write '?volume=/dev/DEVICE'");
  }
  return {};
}

Status CheckDevice(const std::string& text) {
  const auto device = block::ParseDeviceName(text);
  if (!device) {
    // The detail is "'DEVICE': WHY; WAY OUT".
    const std::string_view detail = device.error().detail();
    const size_t end = detail.rfind("': ");
    return Error(ErrorCode::kInvalid, "store URI",
                 fmt::format("volume={}: {}", Escaped(text),
                             end == detail.npos ? detail : detail.substr(end + 3)));
  }
  if (device->kind == block::DeviceKind::kMemory) {
    return BadQuery("a volume in memory would be gone with the command", "name a disk or a file");
  }
  return {};
}

Error InUse(const std::string& device, Error error) {
  const std::string owner = OwnerOfDevice(device);
  if (owner.empty()) return error;
  return Explained(ErrorCode::kBusy, Escaped(device),
                   fmt::format("the volume is in use by '{}'", Escaped(owner)),
                   "end that first: one process at a time has a volume, whichever root it uses");
}

// What RocksDB may take of the volume when file data may take no more: so that records of files
// can still be written to tables, and files be deleted.
uint64_t ReserveBytes(uint64_t total_bytes) {
  return std::clamp<uint64_t>(total_bytes / 16, fs::SpaceAccount::kMediumReserveBytes,
                              uint64_t{256} << 20);
}

}  // namespace

std::string VolumeAddress::ToQuery() const {
  std::string query = "volume=" + EncodeQueryValue(device);
  if (!root.empty()) query += "&root=" + root;
  return query;
}

Result<std::optional<VolumeAddress>> ParseVolumeQuery(std::string_view query) {
  if (query.empty()) return std::optional<VolumeAddress>();
  VolumeAddress address;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    TRY(SetParameter(address, query.substr(0, end)));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  if (address.device.empty()) {
    return BadQuery("it names a root and no volume", "write '?volume=/dev/DEVICE&root=NAME'");
  }
  if (!address.root.empty() && !volume::IsValidRootName(address.root)) {
    return BadQuery(fmt::format("'{}' is no name of a root", Escaped(address.root)),
                    "it has 1 to 64 letters, digits, '.', '_' and '-'");
  }
  TRY(CheckDevice(address.device));
  return std::optional(std::move(address));
}

Result<std::unique_ptr<StoreVolume>> StoreVolume::Open(const std::string& device,
                                                       const std::string& root, Access access,
                                                       std::string_view activity) {
  const bool read_only = access == Access::kRead;
  auto opened = OpenAlone(device, read_only);
  if (!opened && opened.error().code() == ErrorCode::kBusy) {
    return InUse(device, std::move(opened).error());
  }
  if (!opened) return std::move(opened).error();
  auto scheduled = std::make_unique<block::ScheduledDevice>(*std::move(opened), SystemClock());
  block::IoScheduler& scheduler = scheduled->scheduler();
  auto volume = read_only
                    ? volume::Volume::OpenSnapshot(std::move(scheduled))
                    : volume::Volume::Open(std::move(scheduled), {.owner = OwnerText(activity)});
  if (!volume) return VolumeError(device, std::move(volume).error());
  rocksfs::ScheduleByProfile(device, **volume, scheduler);
  for (const std::string& warning : (*volume)->Warnings()) {
    LogWarning("{}: {}; run 'tifs volume check --repair {}'", Escaped(device), Escaped(warning),
               ShellQuoted(device));
  }
  return std::unique_ptr<StoreVolume>(
      new StoreVolume(device, root, rocksfs::SharedVolume::Of(*std::move(volume), &scheduler)));
}

StoreVolume::~StoreVolume() = default;

std::string StoreVolume::uuid() const { return volume::UuidText(volume().Identity().uuid); }
std::string StoreVolume::name() const { return volume().Identity().name; }

Error StoreVolume::Explain(Error error) const {
  if (error.code() == ErrorCode::kNoSpace) {
    return Explained(error.code(), Escaped(device_), "the volume is full",
                     fmt::format("'tifs volume df {}' shows by what", ShellQuoted(device_)));
  }
  return VolumeError(device_, std::move(error));
}

Result<volume::Root*> StoreVolume::OpenRoot(bool create) {
  if (!root_) root_ = TRY(volume().OpenRoot(root_name_, create));
  return root_.get();
}

Result<StoreVolume::RootContents> StoreVolume::Inspect() {
  const auto inspect = [&]() -> Result<RootContents> {
    auto root = OpenRoot(false);
    if (!root && root.error().code() == ErrorCode::kNotFound) return RootContents();
    if (!root) return std::move(root).error();
    auto file = (*root)->Open(kRecordFile, {});
    if (file) {
      std::string text(kMaxRecordBytes, '\0');
      text.resize(TRY((*file)->ReadAt(0, text)));
      auto record = DecodeRootRecord(text);
      if (!record) return RootContents{.state = RootState::kForeign, .record = {}};
      return RootContents{.state = RootState::kStore, .record = *std::move(record)};
    }
    if (file.error().code() != ErrorCode::kNotFound) return std::move(file).error();
    for (const volume::DirectoryEntry& entry : TRY((*root)->List(""))) {
      if (entry.name == kNewRecordFile) continue;
      return RootContents{.state = RootState::kForeign, .record = {}};
    }
    return RootContents();
  };
  auto contents = inspect();
  if (!contents) return Explain(std::move(contents).error());
  return contents;
}

Status StoreVolume::WriteRootRecord(const RootRecord& record) {
  volume::Root& root = *TRY(OpenRoot(true));
  auto file = TRY(root.Open(kNewRecordFile, {.write = true, .create = true, .truncate = true}));
  TRY(file->Append(EncodeRootRecord(record)));
  TRY(file->Sync());
  TRY(file->Close());
  TRY(root.Rename(kNewRecordFile, kRecordFile));
  return root.SyncDirectory("");
}

Status StoreVolume::BeginStore(const RootRecord& record) {
  RootRecord unfinished = record;
  unfinished.formatted = false;
  const auto begin = [&]() -> Status {
    // Before anything is deleted: else a crash would leave a store that claims to be whole.
    TRY(WriteRootRecord(unfinished));
    TRY(RemoveTree(*root_, "", kRecordFile));
    return root_->SyncDirectory("");
  };
  Status begun = begin();
  return begun ? OkStatus() : Explain(std::move(begun).error());
}

Status StoreVolume::FinishStore(const RootRecord& record) {
  RootRecord finished = record;
  finished.formatted = true;
  Status written = WriteRootRecord(finished);
  return written ? OkStatus() : Explain(std::move(written).error());
}

Status StoreVolume::RemoveStore() {
  const auto remove = [&]() -> Status {
    auto root = OpenRoot(false);
    if (!root && root.error().code() == ErrorCode::kNotFound) return {};
    if (!root) return std::move(root).error();
    // The record last, so that a root that is deleted in part is known for what it is.
    TRY(RemoveTree(**root, "", kRecordFile));
    Status unlinked = (*root)->Unlink(kRecordFile);
    if (!unlinked && unlinked.error().code() != ErrorCode::kNotFound) return unlinked;
    root_.reset();
    TRY(volume().RemoveRoot(root_name_));
    return volume().Sync();
  };
  Status removed = remove();
  return removed ? OkStatus() : Explain(std::move(removed).error());
}

Result<std::shared_ptr<rocksdb::FileSystem>> StoreVolume::MakeFileSystem(
    const std::string& directory) {
  auto made =
      rocksfs::RocksFileSystem::Open(volume_, rocksdb::FileSystem::Default(),
                                     {.root = root_name_, .base_directory = directory, .uri = ""});
  if (!made) return Explain(std::move(made).error());
  std::shared_ptr<rocksfs::RocksFileSystem> file_system = *std::move(made);
  file_system_ = file_system;
  return std::shared_ptr<rocksdb::FileSystem>(std::move(file_system));
}

Status StoreVolume::CreateDataFile() {
  volume::Root& root = *TRY(OpenRoot(true));
  (void)TRY(root.OpenSparse(kDataFile, {.write = true, .create = true}));
  return root.SyncDirectory("");
}

Result<std::unique_ptr<fs::ExtentDevice>> StoreVolume::OpenDataFile(bool read_only) {
  volume::Root& root = *TRY(OpenRoot(false));
  return OpenVolumeExtentDevice(root, kDataFile,
                                {.read_only = read_only,
                                 .keep_free_bytes = ReserveBytes(Usage().total_bytes),
                                 .counter = file_counter_});
}

Result<uint64_t> StoreVolume::DataFileBytes() {
  return TRY(TRY(OpenRoot(false))->Stat(kDataFile)).size_bytes;
}

volume::VolumeUsage StoreVolume::Usage() const { return volume().Usage(); }

VolumeIo StoreVolume::Io() const {
  const block::IoScheduler& scheduler = *volume_->scheduler();
  VolumeIo io{.settings = scheduler.Settings(), .counts = scheduler.Counts(), .instances = {}};
  if (const auto file_system = file_system_.lock()) {
    io.instances.push_back({.name = "tables", .classes = file_system->counter().All()});
  }
  io.instances.push_back({.name = "files", .classes = file_counter_->All()});
  io.instances.push_back({.name = "volume", .classes = io.counts.unclaimed});
  return io;
}

Status StoreVolume::ChangeIo(std::span<const block::IoSetting> settings) {
  return block::ApplyIoSettings(*volume_->scheduler(), settings);
}

kv::SpaceUsage StoreVolume::Space() const {
  const volume::VolumeUsage usage = Usage();
  const uint64_t free = usage.free_bytes + usage.reclaimable_bytes;
  const uint64_t reserve = ReserveBytes(usage.total_bytes);
  // That much of it the file system keeps back itself.
  const uint64_t kept = reserve - fs::SpaceAccount::kMediumReserveBytes;
  return {.total_bytes = usage.total_bytes - std::min(usage.total_bytes, reserve),
          .available_bytes = free - std::min(free, kept)};
}

}  // namespace tifs::cli
