#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace tifs::cli {

// What a store that lies on a volume remembers of it: the file `tifs.volume` in its directory, one
// JSON object. Written, durably, before anything of the store is on the volume, and with
// `formatted` when all is.
struct VolumeRecord {
  std::string uuid;    // of the volume, as text
  std::string name;    // of the volume, for messages
  std::string root;    // the store's root on it
  std::string device;  // where it was last, for messages
  std::string store;   // the store's own number (a UUID), which the root has as well
  bool formatted = false;
};

// Nothing if the store lies on no volume. kCorrupt.
Result<std::optional<VolumeRecord>> ReadVolumeRecord(const std::string& directory);
Status WriteVolumeRecord(const std::string& directory, const VolumeRecord& record);
// Well if there is none.
Status RemoveVolumeRecord(const std::string& directory);

// "the volume 'fast' (UUID ..., last at /dev/nvme1n1)", escaped.
std::string VolumeText(const VolumeRecord& record);
// "volume=/dev/nvme1n1&root=NAME": what the store's URI says after '?'.
std::string VolumeQuery(const VolumeRecord& record);

// What a root on a volume says of itself: the file `tifs.store` in it.
struct RootRecord {
  std::string store;      // as VolumeRecord::store
  std::string directory;  // the store's, for messages
  bool formatted = false;
};

std::string EncodeRootRecord(const RootRecord& record);
// Nothing if that is no record of ours.
std::optional<RootRecord> DecodeRootRecord(const std::string& text);

}  // namespace tifs::cli
