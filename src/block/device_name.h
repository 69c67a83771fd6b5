#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::block {

enum class DeviceKind : uint8_t { kBlock, kFile, kMemory, kSpdk };

// A DEVICE as people write it:
//   /dev/…           a block device
//   file:/abs/path   a file as a disk
//   mem:SIZE         memory, gone with the process; SIZE in bytes or with KiB, MB, G, …
//   spdk:k=v,…       an NVMe device that SPDK drives
struct DeviceName {
  DeviceKind kind = DeviceKind::kFile;
  std::string text;         // as it was written
  std::string path;         // kBlock, kFile: absolute
  uint64_t size_bytes = 0;  // kMemory
  std::string parameters;   // kSpdk: after the colon
};

// kInvalid, with the right spelling in the detail where it can be guessed. Opens and looks up
// nothing.
Result<DeviceName> ParseDeviceName(std::string_view text);

// A DEVICE as a parameter of a URI, where `& ? # %`, blanks and control characters are written as
// %XX, and back. Decoding takes any byte in either form; kInvalid for a `%` without two hexadecimal
// digits, and for a NUL.
std::string EncodeDeviceParameter(std::string_view device);
Result<std::string> DecodeDeviceParameter(std::string_view parameter);

}  // namespace tifs::block
