#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::fs {

// Bytes beside the store in which file blocks lie: a file, later a volume. Bytes that were never
// written or were discarded read as zeros. Done is not durable: only Sync makes it so; what was not
// synced may be lost by a crash, in any part and order. Safe for use by several threads.
class ExtentDevice {
 public:
  virtual ~ExtentDevice() = default;

  // Fills `out`; zeros beyond the end. kIo.
  virtual Status Read(uint64_t offset_bytes, std::span<char> out) = 0;
  // kNoSpace, kIo.
  virtual Status Write(uint64_t offset_bytes, std::string_view data) = 0;
  // Makes a range read as zeros and gives its space back.
  virtual Status Discard(uint64_t offset_bytes, uint64_t length_bytes) = 0;
  // Discards all from `size_bytes` on.
  virtual Status Truncate(uint64_t size_bytes) = 0;
  // Everything written or discarded before the call is durable. kIo: it never becomes so.
  virtual Status Sync() = 0;
  // The first offset at or after `offset_bytes` at which something may have been written; the size
  // if there is none.
  virtual Result<uint64_t> NextData(uint64_t offset_bytes) = 0;
  virtual Result<uint64_t> Size() = 0;
};

// A file of the file system below. kNotFound: without it, the blocks that lie in it are lost.
Result<std::unique_ptr<ExtentDevice>> OpenFileExtentDevice(const std::string& path, bool read_only);
// Makes that file, empty, mode 0600, durably; an existing one stays as it is.
Status CreateFileExtentDevice(const std::string& path);

}  // namespace tifs::fs
