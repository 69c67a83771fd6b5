#pragma once

#include <rocksdb/status.h>

#include <string>
#include <unordered_map>

#include "block/io_class.h"
#include "rocksfs/shared_volume.h"

// What the file systems by URI answer as RocksDB's Configurable, so that a program changes and
// looks at the scheduling of I/O while it runs, without a header of ours:
//   fs->ConfigureFromString(config, "compaction.max_bytes_per_s=50MiB")  settings, all or none
//   fs->GetOption(config, "compaction.max_bytes_per_s", &text)           the same, read
//   fs->GetOption(config, "io", &text)                                   counts
//   (block/io_settings.h)
namespace tifs::rocksfs {

// RocksDB takes a URI with a '=' for settings as well, and hands us pieces of it: what is a piece
// of `uri`, the file system's own, was obeyed when it was opened.
bool IsPieceOfUri(const std::string& uri, const std::string& name, const std::string& value);

// Obeys those of `options` that are I/O settings, all or none, and takes them out.
rocksdb::Status TakeIoSettings(SharedVolume& volume,
                               std::unordered_map<std::string, std::string>& options);
// False if that is none of ours.
bool GetIoOption(const SharedVolume& volume, const block::IoCounter& instance,
                 const std::string& name, std::string* value);

}  // namespace tifs::rocksfs
