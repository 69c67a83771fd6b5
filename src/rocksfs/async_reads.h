#pragma once

#include <rocksdb/file_system.h>

#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "block/block_device.h"
#include "block/io_class.h"
#include "rocksfs/rocksdb_version.h"
#include "volume/file.h"

namespace tifs::rocksfs {

// A read under way; RocksDB's io_handle.
struct ReadHandle;

// Reads that go on while their caller does something else. RocksDB may start a read on one thread
// and wait for it on another, but an IoQueue is one thread's; so one thread, started by the first
// read, submits for all. What piled up meanwhile goes to the device in one batch.
//
// All calls are safe from any thread, each handle's by one at a time.
class AsyncReads {
 public:
  // `counter` counts what is read.
  AsyncReads(block::BlockDevice& device, std::shared_ptr<block::IoCounter> counter)
      : device_(device), counter_(std::move(counter)) {}
  // Every handle is destroyed by then.
  ~AsyncReads();
  AsyncReads(const AsyncReads&) = delete;
  AsyncReads& operator=(const AsyncReads&) = delete;

  // Starts to read request.len bytes into request.scratch, which must live until the handle is
  // destroyed; `callback` is called by Wait or Abort. Destroying the handle before that calls
  // nobody; it waits for the device.
  Result<ReadHandle*> Start(std::shared_ptr<volume::File> file,
                            const rocksdb::FSReadRequest& request, ReadCallback callback,
                            void* callback_arg);
  // Waits until it is done, and calls its callback if that was not done before.
  static void Wait(ReadHandle& handle);
  // Waits until its memory is no longer written to, and calls its callback with Aborted if it was
  // not called before: file_system.h says that nobody does, but RocksDB's own PosixFileSystem does,
  // and what RocksDB allocates for a read is freed by its callback alone.
  static void Abort(ReadHandle& handle);
  static void Destroy(ReadHandle* handle);

 private:
  void WaitForDevice(ReadHandle& handle);
  void Serve();
  // At most `room` requests; none only if there are none, and with `may_wait` at the end of all.
  std::vector<block::IoRequest*> TakeBatch(size_t room, bool may_wait) EXCLUDES(mutex_);
  void Finish(std::span<block::IoRequest* const> requests) EXCLUDES(mutex_);

  block::BlockDevice& device_;
  const std::shared_ptr<block::IoCounter> counter_;
  Mutex mutex_;
  CondVar work_;
  CondVar done_;
  std::deque<block::IoRequest*> waiting_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool is_running_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tifs::rocksfs
