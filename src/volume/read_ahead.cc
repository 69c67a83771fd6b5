#include "volume/read_ahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "block/dma_buffer.h"
#include "block/io_class.h"
#include "volume/open_file.h"
#include "volume/volume_core.h"

namespace tifs::volume {

struct ReadAhead::Piece {
  uint64_t inode = 0;
  uint64_t offset_bytes = 0;
  uint64_t started_at = 0;  // of `reads_`
  block::DmaBuffer buffer;
  // Until the device has answered; then `count` are there, none after an error.
  std::unique_ptr<AsyncRead> read;
  bool is_done = false;  // guarded by the mutex
  size_t count = 0;

  bool Has(uint64_t at) const { return at >= offset_bytes && at - offset_bytes < buffer.size(); }
};

Result<size_t> ReadAhead::Read(OpenFile& file, uint64_t offset_bytes, std::span<char> out) {
  TRY(file.core().CheckReadable());
  const std::shared_ptr<Piece> piece = Take(file, offset_bytes);
  if (out.size() >= kLeastBytes) Start(file, offset_bytes + out.size(), out.size());
  size_t copied = 0;
  if (piece != nullptr) {
    MutexLock lock(mutex_);
    while (!piece->is_done) done_.Wait(mutex_);
    const uint64_t skipped = offset_bytes - piece->offset_bytes;
    copied = std::min<uint64_t>(out.size(), piece->count - std::min(piece->count, skipped));
  }
  if (copied != 0) {
    std::memcpy(out.data(), piece->buffer.data() + (offset_bytes - piece->offset_bytes), copied);
    TransferThreads::CountForCaller(block::IoKind::kRead, copied);
  }
  if (copied == out.size()) return copied;
  return copied + TRY(file.ReadAt(offset_bytes + copied, out.subspan(copied)));
}

std::shared_ptr<ReadAhead::Piece> ReadAhead::Take(const OpenFile& file, uint64_t offset_bytes) {
  MutexLock lock(mutex_);
  ++reads_;
  const auto found = std::ranges::find_if(pieces_, [&](const std::shared_ptr<Piece>& piece) {
    return piece->inode == file.inode_number() && piece->Has(offset_bytes);
  });
  if (found == pieces_.end()) return nullptr;
  std::shared_ptr<Piece> piece = std::move(*found);
  pieces_.erase(found);
  return piece;
}

void ReadAhead::Forget(uint64_t inode) {
  MutexLock lock(mutex_);
  pieces_.remove_if([inode](const std::shared_ptr<Piece>& piece) { return piece->inode == inode; });
}

bool ReadAhead::HasRoom() {
  if (pieces_.size() < kMostPieces) return true;
  if (reads_ - pieces_.front()->started_at < kPatienceReads) return false;
  pieces_.pop_front();
  return true;
}

void ReadAhead::Start(OpenFile& file, uint64_t offset_bytes, size_t size_bytes) {
  const uint64_t writers = file.writers_ever();
  const uint64_t end = file.size_bytes();
  if (offset_bytes >= end || file.has_writers()) return;
  {
    MutexLock lock(mutex_);
    if (!HasRoom()) return;
  }
  const size_t size = std::min<uint64_t>({size_bytes, kMostPieceBytes, end - offset_bytes});
  auto buffer = disk_.AllocateBuffer(RoundUp(size, disk_.geometry().block_bytes));
  if (!buffer) return;
  auto piece = std::make_shared<Piece>();
  piece->inode = file.inode_number();
  piece->offset_bytes = offset_bytes;
  piece->buffer = std::move(*buffer);
  auto read = file.PrepareRead(offset_bytes, piece->buffer.bytes());
  if (!read) return;
  piece->read = std::move(*read);
  TransferThreads::Task task = [this, piece, io_class = block::IoScope::CurrentClass()] {
    const block::IoScope scope(io_class, &threads_.counted_elsewhere());
    size_t count = 0;
    if (disk_.RunReads(piece->read->requests())) {
      if (const Result<size_t> finished = piece->read->Finish()) count = *finished;
    }
    piece->read.reset();
    MutexLock lock(mutex_);
    piece->count = count;
    piece->is_done = true;
    done_.NotifyAll();
  };
  if (!threads_.TryRun(task)) return;
  MutexLock lock(mutex_);
  // A writer that comes after this look forgets the piece; of one that was here, it may be stale.
  if (file.has_writers() || file.writers_ever() != writers) return;
  if (pieces_.size() >= kMostPieces) return;
  piece->started_at = reads_;
  pieces_.push_back(std::move(piece));
}

}  // namespace tifs::volume
