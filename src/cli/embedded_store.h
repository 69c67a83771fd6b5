#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/claimed_store.h"
#include "cli/store_volume.h"
#include "cli/uri.h"
#include "kv/rocks/rocks_kv.h"

namespace tifs::cli {

// The embedded store at a rocks:// URI: RocksDB and the data file in a directory or, with ?volume=,
// both on a volume, and what RocksDB needs to start (its log of commits among it) in the directory.
//
// A store on a volume remembers which one, and its root there (volume_record.h): both sides bear
// the store's number, and no process opens one side without the other. The order of a format, so
// that a crash at any point leaves what the next format discards without being asked:
//   1. the directory: tifs.volume, not formatted
//   2. the root: tifs.store, not formatted, and nothing else
//   3. RocksDB, the data file, the file system
//   4. the root: formatted
//   5. the directory: formatted
// What is deleted is said to be unfinished, on the same side, before.
class EmbeddedStore : public ClaimedStore {
 public:
  // The caller has the directory for itself while `owner` lives. `created`: it was made just now.
  EmbeddedStore(Uri uri, std::optional<VolumeAddress> address, std::unique_ptr<StoreOwner> owner,
                bool created);
  ~EmbeddedStore() override;

  Status Open(Mode mode, uint64_t memory_bytes) override;
  kv::Store& store() override { return *kv_; }
  Result<std::unique_ptr<fs::BlockStore>> OpenBlocks(bool read_only) override;
  Result<uint64_t> DataFileBytes() override;
  Result<std::optional<std::string>> HiddenLoss() override;
  Status FinishFormat() override;
  void Close() override;
  Status Destroy() override;
  void Discard() override;

  StoreOwner& owner() override { return *owner_; }
  std::string directory() const override { return uri_.path; }
  std::optional<VolumePlace> volume() const override;
  std::vector<std::pair<std::string, uint64_t>> Figures() override;
  std::optional<VolumeIo> Io() const override;
  Status ChangeIo(std::span<const block::IoSetting> settings) override;

 private:
  Status OpenStore(Mode mode, uint64_t memory_bytes);
  // Whether the store is on the volume and in the root of the URI, as both sides say.
  Result<bool> IsWhole(const VolumeRecord& record);
  Status OpenVolume(StoreVolume::Access access, const std::string& root);
  // For the use of a store: the right volume, open.
  Status FindVolume(Mode mode);
  // For a format: the volume open, and both sides empty unless there is a store to be opened.
  Status PrepareSides();
  void NoteDevice(VolumeRecord record);
  kv::SpaceUsage Space() const;
  Error Explain(const Error& error) const;

  const Uri uri_;
  const std::optional<VolumeAddress> address_;
  const std::unique_ptr<StoreOwner> owner_;
  const bool created_directory_;
  std::unique_ptr<StoreVolume> volume_;
  std::unique_ptr<kv::RocksKv> kv_;
};

// "the store is not formatted; run 'tifs format ...' first".
Error NotFormatted(const Uri& uri, std::string_view why);

}  // namespace tifs::cli
