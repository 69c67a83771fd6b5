// The reading half of OpenFile, and reads that are under way.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "volume/open_file.h"
#include "volume/volume_core.h"

namespace tifs::volume {

Status OpenFile::TransferRead(uint64_t offset_bytes, std::span<char> out) {
  const Placement first =
      FindPlacement(inode_.extents, core_->unit_bytes(), offset_bytes, out.size());
  if (first.size_bytes == out.size()) return core_->disk().Read(first.device_offset_bytes, out);
  ReadPlan plan(core_->disk().geometry(), core_->unit_bytes());
  plan.Add(inode_.extents, offset_bytes, out, 0);
  TRY(plan.Bind(core_->disk().device()));
  TRY(core_->disk().RunReads(plan.requests()));
  plan.CopyOut();
  return {};
}

Status OpenFile::ReadThroughBounce(uint64_t offset_bytes, std::span<char> out) {
  BouncePool::Lease bounce = TRY(core_->bounce().Take());
  while (!out.empty()) {
    const uint64_t begin = RoundDown(offset_bytes, block_bytes_);
    const uint64_t skipped = offset_bytes - begin;
    const size_t size = std::min<size_t>(out.size(), BouncePool::kBufferBytes - skipped);
    TRY(TransferRead(begin, bounce.bytes().first(RoundUp(skipped + size, block_bytes_))));
    std::memcpy(out.data(), bounce.data() + skipped, size);
    out = out.subspan(size);
    offset_bytes += size;
  }
  return {};
}

Status OpenFile::ReadExtents(uint64_t offset_bytes, std::span<char> out) {
  const auto alignment = core_->disk().geometry().buffer_alignment_bytes;
  const bool is_aligned = (offset_bytes | out.size()) % block_bytes_ == 0 &&
                          reinterpret_cast<uintptr_t>(out.data()) % alignment == 0;
  return is_aligned ? TransferRead(offset_bytes, out) : ReadThroughBounce(offset_bytes, out);
}

Result<size_t> OpenFile::ReadAt(uint64_t offset_bytes, std::span<char> out) {
  TRY(core_->CheckReadable());
  SharedLock lock(lock_);
  const uint64_t size = size_bytes();
  if (offset_bytes >= size) return size_t{0};
  out = out.first(std::min<uint64_t>(out.size(), size - offset_bytes));
  const uint64_t split = in_extents();
  const size_t from_extents =
      offset_bytes < split ? std::min<uint64_t>(out.size(), split - offset_bytes) : 0;
  if (from_extents != 0) {
    TRY(AwaitWrites(offset_bytes + from_extents));
    TRY(ReadExtents(offset_bytes, out.first(from_extents)));
  }
  if (from_extents < out.size()) {
    std::memcpy(out.data() + from_extents,
                buffer_.data() + (offset_bytes + from_extents - buffer_start_),
                out.size() - from_extents);
  }
  return out.size();
}

// What lies in the buffer is copied at once.
size_t OpenFile::PlanRead(uint64_t offset_bytes, std::span<char> out, size_t index,
                          ReadPlan& plan) {
  const uint64_t size = size_bytes();
  if (offset_bytes >= size) return 0;
  out = out.first(std::min<uint64_t>(out.size(), size - offset_bytes));
  const uint64_t split = in_extents();
  const size_t from_extents =
      offset_bytes < split ? std::min<uint64_t>(out.size(), split - offset_bytes) : 0;
  plan.Add(inode_.extents, offset_bytes, out.first(from_extents), index);
  if (from_extents < out.size()) {
    std::memcpy(out.data() + from_extents,
                buffer_.data() + (offset_bytes + from_extents - buffer_start_),
                out.size() - from_extents);
  }
  return out.size();
}

Status OpenFile::MultiRead(std::span<ReadRequest> requests) {
  TRY(core_->CheckReadable());
  SharedLock lock(lock_);
  ReadPlan plan(core_->disk().geometry(), core_->unit_bytes());
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].done = PlanRead(requests[i].offset_bytes, requests[i].out, i, plan);
  }
  Status ready = AwaitWrites(UINT64_MAX);
  if (ready) ready = plan.Bind(core_->disk().device());
  if (!ready) {
    for (ReadRequest& request : requests) request.done = ready.error().Clone();
    return ready;
  }
  Status run = core_->disk().RunReads(plan.requests());
  plan.CopyOut();
  for (const block::IoRequest& request : plan.requests()) {
    if (!request.status) requests[request.tag].done = request.status.error().Clone();
  }
  return run;
}

Result<std::unique_ptr<AsyncRead>> OpenFile::PrepareRead(uint64_t offset_bytes,
                                                         std::span<char> out) {
  TRY(core_->CheckReadable());
  SharedLock lock(lock_);
  TRY(AwaitWrites(offset_bytes + out.size()));
  // From here on a truncate leaves what it cuts to Unpin.
  ++pins_;
  std::unique_ptr<AsyncRead> read(new AsyncRead(shared_from_this()));
  read->plan_ = std::make_unique<ReadPlan>(core_->disk().geometry(), core_->unit_bytes());
  read->size_bytes_ = PlanRead(offset_bytes, out, 0, *read->plan_);
  TRY(read->plan_->Bind(core_->disk().device()));
  return read;
}

AsyncRead::AsyncRead(std::shared_ptr<OpenFile> file) : file_(std::move(file)) {}

AsyncRead::~AsyncRead() { file_->Unpin(); }

std::span<block::IoRequest> AsyncRead::requests() { return plan_->requests(); }

Result<size_t> AsyncRead::Finish() {
  for (const block::IoRequest& request : plan_->requests()) {
    CHECK(request.done);
    if (!request.status) return request.status.error().Clone();
  }
  plan_->CopyOut();
  return size_bytes_;
}

}  // namespace tifs::volume
