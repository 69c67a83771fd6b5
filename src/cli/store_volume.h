#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "block/io_settings.h"
#include "cli/uri.h"
#include "cli/volume_io.h"
#include "cli/volume_record.h"
#include "fs/data/extent_device.h"
#include "kv/kv.h"
#include "rocksfs/shared_volume.h"
#include "volume/root.h"

namespace rocksdb {
class FileSystem;
}  // namespace rocksdb

namespace tifs::rocksfs {
class RocksFileSystem;
}  // namespace tifs::rocksfs

namespace tifs::cli {

// The volume that a store's URI names: ?volume=DEVICE[&root=NAME].
struct VolumeAddress {
  static constexpr std::string_view kDefaultRoot = "tifs";

  std::string device;
  std::string root;  // empty: not named

  // The canonical query.
  std::string ToQuery() const;
};

// What a query says; nothing if there is none. Errors: kInvalid, of which the detail is
// "WHY; WAY OUT".
Result<std::optional<VolumeAddress>> ParseVolumeQuery(std::string_view query);

// A store's share of a volume that this process has open: a root with the tables of RocksDB, the
// data file `blocks`, and the record that says whose they are. Errors are explained, unless said
// otherwise.
class StoreVolume {
 public:
  // With kRead nothing is written, not even to finish what a crash left.
  enum class Access : uint8_t { kRead, kWrite };

  // `activity` is for others who want the volume meanwhile: "tifs mount /mnt".
  static Result<std::unique_ptr<StoreVolume>> Open(const std::string& device,
                                                   const std::string& root, Access access,
                                                   std::string_view activity);
  // Whatever came from here must be gone; closes the volume.
  ~StoreVolume();
  StoreVolume(const StoreVolume&) = delete;
  StoreVolume& operator=(const StoreVolume&) = delete;

  const std::string& device() const { return device_; }
  const std::string& root_name() const { return root_name_; }
  std::string uuid() const;
  std::string name() const;

  enum class RootState : uint8_t {
    kEmpty,    // or there is none
    kStore,    // a store's, whole or half made: `record`
    kForeign,  // something that is not ours
  };
  struct RootContents {
    RootState state = RootState::kEmpty;
    RootRecord record;
  };
  Result<RootContents> Inspect();

  // Makes the root an empty one of a store that is being made; what was there is deleted. Durable.
  Status BeginStore(const RootRecord& record);
  // Says, durably, that the store is whole.
  Status FinishStore(const RootRecord& record);
  // Deletes the root and all that is in it. Durable.
  Status RemoveStore();

  // RocksDB's files in and below `directory`: tables on the volume, the rest where it is.
  Result<std::shared_ptr<rocksdb::FileSystem>> MakeFileSystem(const std::string& directory);
  // Makes the data file, empty and durably; one that is there stays. Not explained.
  Status CreateDataFile();
  // Not explained. kNotFound: it is missing.
  Result<std::unique_ptr<fs::ExtentDevice>> OpenDataFile(bool read_only);
  Result<uint64_t> DataFileBytes();

  // Of the volume; what only RocksDB may use is not available.
  kv::SpaceUsage Space() const;
  volume::VolumeUsage Usage() const;

  VolumeIo Io() const;
  // As ClaimedStore::ChangeIo.
  Status ChangeIo(std::span<const block::IoSetting> settings);

 private:
  StoreVolume(std::string device, std::string root, std::shared_ptr<rocksfs::SharedVolume> volume)
      : device_(std::move(device)), root_name_(std::move(root)), volume_(std::move(volume)) {}

  volume::Volume& volume() const { return volume_->volume(); }
  // kNotFound if there is none. Not explained.
  Result<volume::Root*> OpenRoot(bool create);
  Status WriteRootRecord(const RootRecord& record);
  Error Explain(Error error) const;

  const std::string device_;
  const std::string root_name_;
  const std::shared_ptr<rocksfs::SharedVolume> volume_;
  // Of what came from here.
  const std::shared_ptr<block::IoCounter> file_counter_ = std::make_shared<block::IoCounter>();
  std::weak_ptr<rocksfs::RocksFileSystem> file_system_;
  std::unique_ptr<volume::Root> root_;
};

}  // namespace tifs::cli
