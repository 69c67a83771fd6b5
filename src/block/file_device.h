#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "block/block_device.h"
#include "block/disk_file.h"

namespace tifs::block {

// A file or block device by pread, pwrite, fdatasync. A queue of it, and Run, do one request after
// the other.
class FileDevice : public BlockDevice {
 public:
  explicit FileDevice(DiskFile file);

  Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) override;
  std::string_view backend() const override { return "pread"; }

  // Does a request that Prepare let through, by system calls on this thread.
  void Execute(IoRequest& request) const;

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override;
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data, Durability durability) override;
  Status DoFlush() override;
  Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) override;
  Result<uint64_t> DoRefreshSize() override { return SizeOf(file_); }

  int fd() const { return file_.fd.get(); }

 private:
  const DiskFile file_;
};

}  // namespace tifs::block
