#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::golden {

// A volume's disk as text: `size BYTES`, then `@OFFSET HEX` for every 32 bytes that are not all
// zeros. `#` begins a comment.
std::string DiskToText(std::string_view disk);
// kInvalid.
Result<std::string> DiskFromText(std::string_view text);

// The disk of the volume that this release makes, as a kill leaves it: with a checkpoint, a journal
// since, redo of a small sync, and an operation that nobody synced.
Result<std::string> MakeGoldenVolume();

// What the volume holds: paths below the root's name; directories have a '/' at the end.
std::map<std::string, std::string> GoldenVolumeFiles();
// What is found in a disk's volume, in the same form. Any error of opening or reading.
Result<std::map<std::string, std::string>> ReadVolumeDisk(std::string_view disk);

}  // namespace tifs::golden
