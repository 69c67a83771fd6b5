#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "block/file_device.h"
#include "block/thread_queues.h"

namespace tifs::block {

// A file or block device through io_uring: queues are rings, and Run submits to a ring of the
// calling thread, with one system call for all requests of a batch.
//
// A single blocking call stays pread or pwrite, and so does a Run of one request: one direct 4 KiB
// read by a ring takes the same CPU on a disk, and on a loop device now more, now less; what a ring
// gains, it gains by batches, where a read takes a fifth to a tenth (bench/volume/README.md).
// Buffers are not registered: that saved 5 % of a batch's CPU, and would cost every caller a
// registration or a copy.
class UringDevice : public FileDevice {
 public:
  // Whether the kernel lets this process have a ring: the errno of its refusal (no such system
  // call, seccomp, the sysctl kernel.io_uring_disabled, too many open files).
  static Status Probe();

  explicit UringDevice(DiskFile file);

  Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) override;
  std::string_view backend() const override { return "io_uring"; }

 protected:
  void DoRun(std::span<IoRequest> requests) override;

 private:
  ThreadQueues queues_;
};

}  // namespace tifs::block
