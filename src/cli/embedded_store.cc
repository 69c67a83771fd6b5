#include "cli/embedded_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "cli/output.h"
#include "cli/space_reserve.h"
#include "cli/store_directory.h"
#include "fs/data/extent_blocks.h"
#include "fs/data/extent_device.h"
#include "volume/volume_format.h"

namespace tifs::cli {
namespace {

// What the process needs besides the store's caches: threads' buffers, the file system's tables.
constexpr uint64_t StoreShare(uint64_t memory_bytes) { return memory_bytes / 2; }

// With less than this in the directory of a store on a volume, that is what is short of space: the
// log of commits goes there.
constexpr uint64_t kLowBaseBytes = uint64_t{64} << 20;

std::string RootOf(const std::optional<VolumeAddress>& address) {
  return address->root.empty() ? std::string(VolumeAddress::kDefaultRoot) : address->root;
}

Error NeedsVolume(const Uri& uri, const VolumeRecord& record) {
  Uri right = uri;
  right.query = VolumeQuery(record);
  return Explained(ErrorCode::kInvalid, Escaped(uri.path),
                   fmt::format("its data lies on {}, root '{}', which the URI does not name",
                               VolumeText(record), record.root),
                   fmt::format("write {}", ShellQuoted(right.ToString())));
}

Error HasNoVolume(const Uri& uri) {
  return Explained(ErrorCode::kInvalid, Escaped(uri.path), "the store lies on no volume",
                   "leave out '?volume='");
}

// What kept us from the device where a store's volume was looked for, with what is missing.
Error LacksVolume(const Uri& uri, const VolumeRecord& record, Error error) {
  if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kIsDirectory &&
      error.code() != ErrorCode::kInvalid) {
    return error;
  }
  // Its way out is that of somebody who makes a volume.
  const std::string text = ErrorText(error);
  return Explained(ErrorCode::kNotFound, Escaped(uri.path),
                   fmt::format("its data lies on {}, root '{}', which is not there ({})",
                               VolumeText(record), record.root, text.substr(0, text.find("; "))),
                   "attach it, or name the device that it is on now");
}

// Of a store's record and the volume that the URI names.
Status CheckVolume(const Uri& uri, const VolumeRecord& record, const StoreVolume& volume) {
  if (record.uuid != volume.uuid()) {
    const std::string name =
        volume.name().empty() ? std::string() : fmt::format(" '{}'", Escaped(volume.name()));
    return Explained(ErrorCode::kInvalid, Escaped(uri.path),
                     fmt::format("its data lies on {}, and {} is the volume{} (UUID {})",
                                 VolumeText(record), Escaped(volume.device()), name, volume.uuid()),
                     "name the device that has the store's volume");
  }
  if (record.root == volume.root_name()) return {};
  return Explained(ErrorCode::kInvalid, Escaped(uri.path),
                   fmt::format("its data lies in the root '{}' of the volume, not in '{}'",
                               record.root, volume.root_name()),
                   fmt::format("write '&root={}', or leave it out", record.root));
}

}  // namespace

Error NotFormatted(const Uri& uri, std::string_view why) {
  return Explained(ErrorCode::kNotFound, Escaped(uri.Subject()), why,
                   fmt::format("run 'tifs format {}' first", ShellQuoted(uri.ToString())));
}

EmbeddedStore::EmbeddedStore(Uri uri, std::optional<VolumeAddress> address,
                             std::unique_ptr<StoreOwner> owner, bool created)
    : uri_(std::move(uri)),
      address_(std::move(address)),
      owner_(std::move(owner)),
      created_directory_(created) {}

EmbeddedStore::~EmbeddedStore() { Close(); }

Status EmbeddedStore::Open(Mode mode, uint64_t memory_bytes) {
  if (mode != Mode::kRead) {
    if (Status status = PrepareSpace(uri_.path); !status) return Explain(status.error());
  }
  if (mode == Mode::kCreate) {
    TRY(PrepareSides());
  } else {
    TRY(FindVolume(mode));
  }
  // Of a store on a volume there is little else that could tell of it.
  const bool is_found = volume_ && mode != Mode::kCreate;
  if (is_found ? !HasKvStore(uri_.path) : HasLostItsStore(uri_.path)) {
    return Explain(Error(ErrorCode::kCorrupt, "store", "the file 'kv/CURRENT' is missing"));
  }
  Status opened = OpenStore(mode, memory_bytes);
  return opened ? OkStatus() : Explain(opened.error());
}

Status EmbeddedStore::OpenStore(Mode mode, uint64_t memory_bytes) {
  kv::RocksOptions options;
  options.path = KvDirectoryOf(uri_.path);
  options.create = mode == Mode::kCreate;
  options.read_only = mode == Mode::kRead;
  options.memory_bytes = StoreShare(memory_bytes);
  // The file system syncs in time, its data file first.
  options.wal.sync_interval = std::chrono::hours(24);
  if (volume_) {
    options.file_system = TRY(volume_->MakeFileSystem(uri_.path));
    options.file_system_is_posix = true;
    options.space = [this] { return Space(); };
  }
  kv_ = TRY(kv::RocksKv::Open(options));
  if (mode != Mode::kCreate) return {};
  return volume_ ? volume_->CreateDataFile() : fs::CreateFileExtentDevice(BlocksFileOf(uri_.path));
}

Result<std::unique_ptr<fs::BlockStore>> EmbeddedStore::OpenBlocks(bool read_only) {
  auto device = volume_ ? volume_->OpenDataFile(read_only)
                        : fs::OpenFileExtentDevice(BlocksFileOf(uri_.path), read_only);
  if (!device && device.error().code() == ErrorCode::kNotFound) {
    return Explain(Error(ErrorCode::kCorrupt, "data file", "the file 'blocks' is missing"));
  }
  if (!device) return Explain(device.error());
  return std::unique_ptr<fs::BlockStore>(
      std::make_unique<fs::ExtentBlocks>(*std::move(device), SystemClock()));
}

Result<uint64_t> EmbeddedStore::DataFileBytes() {
  if (volume_) {
    const auto bytes = volume_->DataFileBytes();
    if (bytes) return *bytes;
    if (bytes.error().code() != ErrorCode::kNotFound) return Explain(bytes.error());
    return Explain(Error(ErrorCode::kCorrupt, "data file", "the file 'blocks' is missing"));
  }
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(BlocksFileOf(uri_.path), error);
  if (!error) return bytes;
  return Explain(Error(ErrorCode::kCorrupt, "data file", "the file 'blocks': " + error.message()));
}

void EmbeddedStore::Close() {
  kv_.reset();
  volume_.reset();
}

// --- the volume ---

Status EmbeddedStore::OpenVolume(StoreVolume::Access access, const std::string& root) {
  if (volume_) return {};
  const OwnerRecord& owner = owner_->record();
  std::string activity = "tifs " + owner.activity;
  if (!owner.mount_point.empty()) activity += " " + owner.mount_point;
  volume_ = TRY(StoreVolume::Open(address_->device, root, access, activity));
  return {};
}

Status EmbeddedStore::FindVolume(Mode mode) {
  auto read = ReadVolumeRecord(uri_.path);
  if (!read) return Explain(read.error());
  if (!*read && !address_) return {};
  if (!*read) {
    return HasKvStore(uri_.path) ? HasNoVolume(uri_)
                                 : NotFormatted(uri_, "the store is not formatted");
  }
  const VolumeRecord& record = **read;
  if (!record.formatted) return NotFormatted(uri_, "its last format did not come to its end");
  if (!address_) return NeedsVolume(uri_, record);
  const auto access =
      mode == Mode::kRead ? StoreVolume::Access::kRead : StoreVolume::Access::kWrite;
  Status opened = OpenVolume(access, address_->root.empty() ? record.root : address_->root);
  if (!opened) return LacksVolume(uri_, record, std::move(opened).error());
  TRY(CheckVolume(uri_, record, *volume_));
  if (!TRY(IsWhole(record))) {
    return Explained(ErrorCode::kCorrupt, Escaped(uri_.path),
                     fmt::format("the root '{}' of {} does not have the store's data", record.root,
                                 VolumeText(record)),
                     "restore it from a backup; see TROUBLESHOOTING");
  }
  if (mode == Mode::kWrite) NoteDevice(record);
  return {};
}

// For messages only: a full disk must not keep anyone from freeing space.
void EmbeddedStore::NoteDevice(VolumeRecord record) {
  if (record.device == volume_->device() && record.name == volume_->name()) return;
  record.device = volume_->device();
  record.name = volume_->name();
  if (Status written = WriteVolumeRecord(uri_.path, record); !written) {
    LogWarning("{}: where its volume is could not be noted: {}", Escaped(uri_.path),
               written.error().ToString());
  }
}

Result<bool> EmbeddedStore::IsWhole(const VolumeRecord& record) {
  if (!record.formatted || record.uuid != volume_->uuid() || record.root != volume_->root_name()) {
    return false;
  }
  const StoreVolume::RootContents root = TRY(volume_->Inspect());
  return root.state == StoreVolume::RootState::kStore && root.record.formatted &&
         root.record.store == record.store;
}

// --- formatting ---

Result<std::optional<std::string>> EmbeddedStore::HiddenLoss() {
  std::vector<std::string> losses;
  auto read = ReadVolumeRecord(uri_.path);
  if (!read) {
    if (read.error().code() != ErrorCode::kCorrupt) return Explain(read.error());
    losses.emplace_back("a file system that cannot be read");
  }
  const std::optional<VolumeRecord> record = read ? *std::move(read) : std::nullopt;
  StoreVolume::RootContents root;
  if (address_) {
    TRY(OpenVolume(StoreVolume::Access::kWrite, RootOf(address_)));
    root = TRY(volume_->Inspect());
    if (root.state == StoreVolume::RootState::kForeign) {
      return Explained(
          ErrorCode::kExists, Escaped(volume_->device()),
          fmt::format("the root '{}' has files of another program", volume_->root_name()),
          "choose another with '&root=NAME'");
    }
    if (record && TRY(IsWhole(*record))) return std::optional<std::string>();
  }
  if (record && record->formatted) {
    const bool here =
        volume_ && record->uuid == volume_->uuid() && record->root == volume_->root_name();
    losses.push_back(here ? "a file system that cannot be read"
                          : fmt::format("a file system whose data lies on {}, root '{}', and will "
                                        "stay there",
                                        VolumeText(*record), record->root));
  } else if (address_ && !record && HasKvStore(uri_.path)) {
    losses.emplace_back("a file system that lies on no volume");
  }
  const bool is_ours = record && root.record.store == record->store;
  if (root.state == StoreVolume::RootState::kStore && root.record.formatted && !is_ours) {
    losses.push_back(fmt::format("in the root '{}' of its volume the data of the store {}",
                                 volume_->root_name(), Escaped(root.record.directory)));
  }
  if (losses.empty()) return std::optional<std::string>();
  return std::optional(fmt::format("{}", fmt::join(losses, ", ")));
}

Status EmbeddedStore::PrepareSides() {
  const auto read = ReadVolumeRecord(uri_.path);
  if (!read) return Explain(read.error());
  if (address_) {
    TRY(OpenVolume(StoreVolume::Access::kWrite, RootOf(address_)));
    if (*read && TRY(IsWhole(**read))) return {};
  } else if (!*read) {
    return {};
  }
  // What is there, if anything, is half made: HiddenLoss has asked for the rest.
  if (Status emptied = EmptyStoreDirectory(uri_.path); !emptied) return Explain(emptied.error());
  if (!address_) {
    TRY(RemoveVolumeRecord(uri_.path));
    return MarkStoreDirectory(uri_.path, kPlainLayout);
  }
  VolumeRecord record{.uuid = volume_->uuid(),
                      .name = volume_->name(),
                      .root = volume_->root_name(),
                      .device = volume_->device(),
                      .store = volume::UuidText(volume::RandomUuid())};
  Status written = MarkStoreDirectory(uri_.path, kVolumeLayout);
  if (written) written = WriteVolumeRecord(uri_.path, record);
  if (!written) return Explain(written.error());
  return volume_->BeginStore({.store = record.store, .directory = uri_.path});
}

Status EmbeddedStore::FinishFormat() {
  if (!volume_) return {};
  if (Status synced = kv_->Sync(); !synced) return Explain(synced.error());
  auto record = TRY(ReadVolumeRecord(uri_.path));
  if (!record) return Explain(Error(ErrorCode::kCorrupt, "store", "'tifs.volume' is gone"));
  TRY(volume_->FinishStore({.store = record->store, .directory = uri_.path}));
  record->formatted = true;
  Status written = WriteVolumeRecord(uri_.path, *record);
  return written ? OkStatus() : Explain(written.error());
}

Status EmbeddedStore::Destroy() {
  kv_.reset();
  const auto destroy = [&]() -> Status {
    if (auto record = ReadVolumeRecord(uri_.path); record && *record) {
      (*record)->formatted = false;
      TRY(WriteVolumeRecord(uri_.path, **record));
    }
    if (volume_) {
      TRY(volume_->BeginStore({.store = "", .directory = uri_.path}));
      TRY(volume_->RemoveStore());
    }
    TRY(EmptyStoreDirectory(uri_.path));
    return RemoveVolumeRecord(uri_.path);
  };
  if (Status status = destroy(); !status) {
    return ExplainedAs(Escaped(uri_.path), std::move(status).error());
  }
  return {};
}

void EmbeddedStore::Discard() {
  kv_.reset();
  if (volume_) {
    if (Status removed = volume_->RemoveStore(); !removed) {
      LogWarning("{}", removed.error().ToString());
    }
  }
  Close();
  std::error_code ignored;
  std::filesystem::remove_all(KvDirectoryOf(uri_.path), ignored);
  std::filesystem::remove(BlocksFileOf(uri_.path), ignored);
  (void)RemoveVolumeRecord(uri_.path);
  RemoveReserve(uri_.path);
  if (!created_directory_) return;
  UnmarkStoreDirectory(uri_.path);
  std::filesystem::remove(uri_.path + "/" + kOwnerFileName, ignored);
  std::filesystem::remove(uri_.path, ignored);
}

// --- figures, errors ---

std::optional<VolumePlace> EmbeddedStore::volume() const {
  if (!volume_) return std::nullopt;
  return VolumePlace{.uuid = volume_->uuid(),
                     .name = volume_->name(),
                     .device = volume_->device(),
                     .root = volume_->root_name()};
}

kv::SpaceUsage EmbeddedStore::Space() const {
  kv::SpaceUsage space = volume_->Space();
  struct statvfs base;
  if (::statvfs(uri_.path.c_str(), &base) != 0) return space;
  const uint64_t free = uint64_t{base.f_bavail} * base.f_frsize;
  if (free < kLowBaseBytes) space.available_bytes = std::min(space.available_bytes, free);
  return space;
}

std::vector<std::pair<std::string, uint64_t>> EmbeddedStore::Figures() {
  std::vector<std::pair<std::string, uint64_t>> figures;
  if (Result<kv::SpaceUsage> space = kv_->Space(); space) {
    figures.emplace_back("disk_total_bytes", space->total_bytes);
    figures.emplace_back("disk_available_bytes", space->available_bytes);
  }
  if (volume_) {
    const volume::VolumeUsage usage = volume_->Usage();
    figures.emplace_back("volume_free_bytes", usage.free_bytes);
    figures.emplace_back("volume_files", usage.files);
  }
  figures.emplace_back("latched_read_only", kv_->ReadOnlyReason().empty() ? 0 : 1);
  return figures;
}

std::optional<VolumeIo> EmbeddedStore::Io() const {
  if (!volume_) return std::nullopt;
  return volume_->Io();
}

Status EmbeddedStore::ChangeIo(std::span<const block::IoSetting> settings) {
  if (!volume_) return ClaimedStore::ChangeIo(settings);
  return volume_->ChangeIo(settings);
}

Error EmbeddedStore::Explain(const Error& error) const {
  if (IsExplained(error)) return error.Clone();
  const std::string what = Escaped(uri_.path);
  switch (error.code()) {
    case ErrorCode::kNotFound: return NotFormatted(uri_, "the store is not formatted");
    case ErrorCode::kBusy:
      return Explained(error.code(), what, "another process has the store open",
                       "end it and try again");
    case ErrorCode::kNotSupported:
      return Explained(error.code(), what,
                       fmt::format("written by a newer version ({})", Escaped(error.detail())),
                       "use that version or a later one");
    case ErrorCode::kNoSpace:
      return Explained(error.code(), what, "the disk below is full", "free some megabytes on it");
    case ErrorCode::kReadOnly:
      return Explained(error.code(), what, "the file system below is read-only",
                       "make it writable, or use only 'mount -o ro', 'info' and 'fsck -n'");
    case ErrorCode::kAccessDenied:
    case ErrorCode::kNotPermitted:
      return Explained(error.code(), what, "permission denied", "run as the store's owner");
    case ErrorCode::kCorrupt:
      return Explained(error.code(), what,
                       fmt::format("the store below is damaged: {}", Escaped(error.detail())),
                       "restore it from a backup; see TROUBLESHOOTING");
    default: return Explained(error.code(), what, Escaped(error.ToString()));
  }
}

}  // namespace tifs::cli
