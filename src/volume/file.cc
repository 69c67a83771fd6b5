#include "volume/file.h"

#include <algorithm>
#include <utility>

#include "volume/open_file.h"
#include "volume/volume_core.h"

namespace tifs::volume {

File::File(std::shared_ptr<OpenFile> file, bool writable)
    : file_(std::move(file)), writable_(writable) {}

File::~File() { (void)Close(); }

Status File::Readable() const {
  if (!closed_.load(std::memory_order_relaxed)) return {};
  return Error(ErrorCode::kBadHandle, "volume", "the file is closed");
}

Status File::Writable() const {
  TRY(Readable());
  if (writable_) return {};
  return Error(ErrorCode::kBadHandle, "volume", "the file was opened for reading");
}

Result<size_t> File::ReadAt(uint64_t offset_bytes, std::span<char> out) {
  TRY(Readable());
  return file_->ReadAt(offset_bytes, out);
}

Result<size_t> File::ReadOnward(uint64_t offset_bytes, std::span<char> out) {
  TRY(Readable());
  return file_->core().read_ahead().Read(*file_, offset_bytes, out);
}

Status File::MultiRead(std::span<ReadRequest> requests) {
  TRY(Readable());
  return file_->MultiRead(requests);
}

Result<std::unique_ptr<AsyncRead>> File::PrepareRead(uint64_t offset_bytes, std::span<char> out) {
  TRY(Readable());
  return file_->PrepareRead(offset_bytes, out);
}

Status File::Append(std::string_view data) {
  TRY(Writable());
  return file_->Append(data);
}

Status File::WriteAt(uint64_t offset_bytes, std::string_view data) {
  TRY(Writable());
  return file_->WriteAt(offset_bytes, data);
}

Status File::Truncate(uint64_t size_bytes) {
  TRY(Writable());
  return file_->Truncate(size_bytes);
}

Status File::Allocate(uint64_t end_bytes) {
  TRY(Writable());
  return file_->Allocate(end_bytes);
}

Status File::WriteBack() {
  TRY(Writable());
  return file_->WriteBack();
}

Status File::Sync() {
  TRY(Writable());
  return file_->Sync();
}

uint64_t File::size_bytes() const { return file_->size_bytes(); }

FileStat File::Stat() const { return file_->Stat(); }

uint32_t File::io_alignment_bytes() const {
  const block::Geometry& geometry = file_->core().disk().geometry();
  return std::max(geometry.block_bytes, geometry.buffer_alignment_bytes);
}

Status File::Close() {
  if (closed_.exchange(true)) return {};
  return writable_ ? file_->CloseWriter() : Status{};
}

}  // namespace tifs::volume
