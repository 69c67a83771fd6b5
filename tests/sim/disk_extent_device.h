#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "fs/data/extent_device.h"
#include "sim/power_cut_disk.h"

namespace tifs::sim {

// A data file on a PowerCutDisk, for the blocks of files.
class DiskExtentDevice : public fs::ExtentDevice {
 public:
  explicit DiskExtentDevice(std::unique_ptr<PowerCutDisk::File> file) : file_(std::move(file)) {}

  // Makes the file where there is none, durably.
  static Result<std::unique_ptr<fs::ExtentDevice>> Open(PowerCutDisk& disk,
                                                        const std::string& directory,
                                                        const std::string& name) {
    auto file =
        TRY(disk.Open(directory + "/" + name, {.create = true, .unwritten_reads_zeros = true}));
    TRY(disk.SyncDirectory(directory));
    return std::make_unique<DiskExtentDevice>(std::move(file));
  }

  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    const size_t count = TRY(file_->Read(offset_bytes, out));
    std::memset(out.data() + count, 0, out.size() - count);
    return {};
  }
  Status Write(uint64_t offset_bytes, std::string_view data) override {
    return file_->Write(offset_bytes, data);
  }
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    const uint64_t size = TRY(file_->Size());
    if (offset_bytes >= size) return {};
    return file_->Write(offset_bytes,
                        std::string(std::min(length_bytes, size - offset_bytes), '\0'));
  }
  Status Truncate(uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
  Status Sync() override { return file_->Sync(); }
  Result<uint64_t> NextData(uint64_t offset_bytes) override {
    const uint64_t size = TRY(file_->Size());
    constexpr uint64_t kStep = 64 << 10;
    for (std::string piece(kStep, '\0'); offset_bytes < size; offset_bytes += kStep) {
      piece.resize(TRY(file_->Read(offset_bytes, piece)));
      const size_t found = piece.find_first_not_of('\0');
      if (found != std::string::npos) return offset_bytes + found;
      piece.resize(kStep);
    }
    return size;
  }
  Result<uint64_t> Size() override { return file_->Size(); }

 private:
  const std::unique_ptr<PowerCutDisk::File> file_;
};

}  // namespace tifs::sim
