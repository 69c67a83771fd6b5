#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "block/block_device.h"

namespace tifs::block {

// One request on its way through system calls that may be interrupted, transfer less than they were
// asked to, or fail: which piece is next, and what follows from each call's result. The same for
// pread and for io_uring. Holds pointers to the device and the request.
class Transfer {
 public:
  Transfer() = default;
  Transfer(const BlockDevice& device, IoRequest& request) : device_(&device), request_(&request) {}

  IoRequest& request() { return *request_; }
  // The next piece.
  uint64_t offset_bytes() const { return request_->offset_bytes + done_bytes_; }
  char* buffer() const { return request_->buffer + done_bytes_; }
  size_t size_bytes() const {
    return std::min<uint64_t>(request_->size_bytes - done_bytes_,
                              device_->geometry().max_transfer_bytes);
  }

  // What the system said to that piece: bytes, or -errno. True: the request is done and has its
  // status. False: call again, with the piece that is next now.
  bool Advance(int64_t result);

 private:
  bool Fail(int error_number);

  const BlockDevice* device_ = nullptr;
  IoRequest* request_ = nullptr;
  uint64_t done_bytes_ = 0;
  uint32_t refusals_ = 0;
};

}  // namespace tifs::block
