#include "rocksfs/async_reads.h"

#include <array>
#include <utility>
#include <vector>

#include "rocksfs/io_status.h"

namespace tifs::rocksfs {

struct ReadHandle {
  AsyncReads& reads;
  std::shared_ptr<volume::File> file;
  rocksdb::FSReadRequest request;
  ReadCallback callback;
  void* callback_arg;
  std::unique_ptr<volume::AsyncRead> read;
  // Requests that the device has not answered; guarded by the mutex of `reads`.
  size_t pending = 0;
  bool delivered = false;
};

namespace {
constexpr uint32_t kDepth = 128;
}  // namespace

AsyncReads::~AsyncReads() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

Result<ReadHandle*> AsyncReads::Start(std::shared_ptr<volume::File> file,
                                      const rocksdb::FSReadRequest& request, ReadCallback callback,
                                      void* callback_arg) {
  std::unique_ptr<ReadHandle> handle(new ReadHandle{.reads = *this,
                                                    .file = std::move(file),
                                                    .request = {},
                                                    .callback = std::move(callback),
                                                    .callback_arg = callback_arg});
  handle->request.offset = request.offset;
  handle->request.len = request.len;
  handle->request.scratch = request.scratch;
  handle->read = TRY(handle->file->PrepareRead(request.offset, {request.scratch, request.len}));
  const auto requests = handle->read->requests();
  if (requests.empty()) return handle.release();
  MutexLock lock(mutex_);
  if (!is_running_) {
    thread_ = std::thread([this] { Serve(); });
    is_running_ = true;
  }
  handle->pending = requests.size();
  for (block::IoRequest& piece : requests) {
    piece.tag = reinterpret_cast<uint64_t>(handle.get());
    waiting_.push_back(&piece);
  }
  work_.NotifyOne();
  return handle.release();
}

void AsyncReads::WaitForDevice(ReadHandle& handle) {
  MutexLock lock(mutex_);
  while (handle.pending != 0) done_.Wait(mutex_);
}

void AsyncReads::Wait(ReadHandle& handle) {
  if (handle.delivered) return;
  handle.delivered = true;
  handle.reads.WaitForDevice(handle);
  const Result<size_t> size = handle.read->Finish();
  handle.request.status = ToIOStatus(size, "asynchronous read");
  handle.request.result = rocksdb::Slice(handle.request.scratch, size ? *size : 0);
  handle.callback(handle.request, handle.callback_arg);
}

void AsyncReads::Abort(ReadHandle& handle) {
  if (handle.delivered) return;
  handle.delivered = true;
  handle.reads.WaitForDevice(handle);
  handle.request.status = rocksdb::IOStatus::Aborted();
  handle.callback(handle.request, handle.callback_arg);
}

void AsyncReads::Destroy(ReadHandle* handle) {
  handle->reads.WaitForDevice(*handle);
  delete handle;
}

std::vector<block::IoRequest*> AsyncReads::TakeBatch(size_t room, bool may_wait) {
  MutexLock lock(mutex_);
  while (may_wait && waiting_.empty() && !stopping_) work_.Wait(mutex_);
  std::vector<block::IoRequest*> batch;
  while (!waiting_.empty() && batch.size() < room) {
    batch.push_back(waiting_.front());
    waiting_.pop_front();
  }
  return batch;
}

void AsyncReads::Finish(std::span<block::IoRequest* const> requests) {
  MutexLock lock(mutex_);
  for (const block::IoRequest* request : requests) {
    --reinterpret_cast<ReadHandle*>(request->tag)->pending;
  }
  done_.NotifyAll();
}

void AsyncReads::Serve() {
  // RocksDB reads ahead in this way for users only.
  const block::IoScope scope(block::IoClass::kForeground, counter_.get());
  const auto queue = device_.OpenQueue(kDepth);
  std::array<block::IoRequest*, kDepth> finished;
  size_t in_flight = 0;
  while (true) {
    const auto batch = TakeBatch(kDepth - in_flight, in_flight == 0);
    if (batch.empty() && in_flight == 0) return;
    if (!queue) {
      for (block::IoRequest* request : batch) {
        request->status =
            device_.Read(request->offset_bytes, {request->buffer, request->size_bytes});
        request->done = true;
      }
      Finish(batch);
      continue;
    }
    if (!batch.empty()) (*queue)->Submit(batch);
    in_flight += batch.size();
    const size_t count = (*queue)->Poll(1, finished);
    in_flight -= count;
    Finish(std::span(finished).first(count));
  }
}

}  // namespace tifs::rocksfs
