#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "block/io_settings.h"
#include "cli/store_owner.h"
#include "cli/volume_io.h"
#include "fs/data/block_store.h"
#include "kv/kv.h"

namespace tifs::cli {

// Where on a volume a store lies.
struct VolumePlace {
  std::string uuid;
  std::string name;
  std::string device;
  std::string root;
};

// A store that this process has to itself, closed at first.
class ClaimedStore {
 public:
  virtual ~ClaimedStore() = default;

  enum class Mode : uint8_t {
    kRead,  // changes nothing, not even to finish what a crash left
    kWrite,
    kCreate,  // may not be there yet
  };
  // Opens the key-value store. `memory_bytes`: what the whole process may use. Errors are
  // explained.
  virtual Status Open(Mode mode, uint64_t memory_bytes) = 0;
  // The open store. Precondition: Open succeeded.
  virtual kv::Store& store() = 0;
  // Where the bytes of file blocks lie that are not in the store itself.
  virtual Result<std::unique_ptr<fs::BlockStore>> OpenBlocks(bool read_only) = 0;
  // How long the file is in which these bytes lie. Errors are explained; kCorrupt: it is missing.
  virtual Result<uint64_t> DataFileBytes() = 0;
  // What a format would destroy and Open(kCreate) cannot open, in words; nothing if there is no
  // such thing. Errors, explained: a format is not possible at all.
  virtual Result<std::optional<std::string>> HiddenLoss() = 0;
  // Says, durably, that the file system in the store is whole: the end of a format.
  virtual Status FinishFormat() = 0;
  // Closes it: everything written is durable. Idempotent.
  virtual void Close() = 0;
  // Closes it and deletes all that it holds. The claim stays.
  virtual Status Destroy() = 0;
  // Undoes what a format that failed has made.
  virtual void Discard() = 0;

  virtual StoreOwner& owner() = 0;
  // Where a control socket may be made if there is no run-time directory for it.
  virtual std::string directory() const = 0;
  // The volume that it lies on; nothing if it lies on none. Precondition: Open succeeded.
  virtual std::optional<VolumePlace> volume() const = 0;
  // Figures of the store for `stats` and metrics: name, value.
  virtual std::vector<std::pair<std::string, uint64_t>> Figures() = 0;
  // What its volume transferred since it was opened; nothing if it lies on none.
  virtual std::optional<VolumeIo> Io() const { return std::nullopt; }
  // Changes what the I/O on its volume is scheduled by, until it is closed; the detail of an error
  // is "WHY; WAY OUT". kNotSupported: it lies on none.
  virtual Status ChangeIo(std::span<const block::IoSetting> /*settings*/) {
    return Error(ErrorCode::kNotSupported, "I/O settings", "the store lies on no volume");
  }
};

enum class ClaimFor : uint8_t { kUse, kFormat };

}  // namespace tifs::cli
