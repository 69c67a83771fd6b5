#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "block/device_name.h"

namespace tifs::cli {

// What libblkid knows of the contents of a device or file: file systems, RAID members, swap,
// partition tables and the like, also damaged ones, for people: "an ext4 file system 'home'".
// Empty for devices that are not looked at (mem:). Changes nothing.
Result<std::vector<std::string>> FindSignatures(const block::DeviceName& device);

// Overwrites the marks by which FindSignatures knew them, so that nobody takes the device for what
// it was; durable when it returns.
Status WipeSignatures(const block::DeviceName& device);

}  // namespace tifs::cli
