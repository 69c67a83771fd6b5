#include "volume/open_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "volume/volume_core.h"

namespace tifs::volume {

OpenFile::OpenFile(std::shared_ptr<VolumeCore> core, Inode& inode)
    : core_(std::move(core)),
      inode_(inode),
      block_bytes_(core_->disk().geometry().block_bytes),
      pending_(core_->transfers(), core_->disk()),
      logged_(inode.committed_bytes),
      barrier_(inode.cut ? core_->LastNumber() : 0) {}

OpenFile::~OpenFile() {
  (void)pending_.Await();
  core_->Detach(*this, inode_);
}

void OpenFile::AddWriter(bool has_unsynced) {
  if (has_unsynced) inherits_unsynced_ = true;
  ++writers_;
  ++writers_ever_;
  core_->read_ahead().Forget(inode_.number);
}

Status OpenFile::CloseWriter() {
  ExclusiveLock lock(lock_);
  if (--writers_ != 0) return pending_.Await();
  return FinishWriting();
}

Status OpenFile::LoadTail(const Redo::Tail& tail) {
  ExclusiveLock lock(lock_);
  if (buffer_in_use()) return {};
  const uint64_t start = RoundDown(tail.offset_bytes, block_bytes_);
  const uint64_t skipped = tail.offset_bytes - start;
  auto buffer = core_->disk().AllocateBuffer(RoundUp(skipped + tail.bytes.size(), block_bytes_));
  if (!buffer) return std::move(buffer).error();
  if (skipped != 0) TRY(TransferRead(start, buffer->bytes().first(block_bytes_)));
  std::memcpy(buffer->data() + skipped, tail.bytes.data(), tail.bytes.size());
  buffer_ = std::move(*buffer);
  buffer_start_ = start;
  return {};
}

Status OpenFile::FinishWriting() {
  bool is_deleted = false;
  {
    MutexLock tables(core_->tables());
    is_deleted = inode_.names() == 0;
  }
  // An orphan gets no new handles, so nobody will read what the only one leaves.
  const bool is_wanted = !is_deleted || weak_from_this().use_count() > 1;
  Status written;
  if (is_wanted && !IsLogged()) {
    written = core_->CheckWritable();
    if (written) written = Spill(true);
  } else if (is_wanted && has_logged_tail_) {
    written = Spill(true);
  }
  if (Status behind = pending_.Await(); written) written = std::move(behind);
  const bool is_logged = IsLogged();
  // What could not be written is gone with the buffer; below is what others had there.
  if (!written && buffer_in_use()) inode_.size_bytes = std::min(size_bytes(), buffer_start_);
  inode_.size_bytes = std::min(size_bytes(), pending_.lost_from());
  DropBuffer();
  MutexLock tables(core_->tables());
  if (!is_logged && !is_deleted) {
    // Another writer may have come meanwhile.
    if (writers_ != 0) {
      inherits_unsynced_ = true;
    } else {
      core_->LeaveUnsynced(inode_);
    }
  }
  std::vector<UnitRange> unused;
  core_->table().CutExtents(inode_, UnitsFor(size_bytes(), core_->unit_bytes()), unused);
  core_->Free(unused, 0);
  inode_.extents.shrink_to_fit();
  return written;
}

FileStat OpenFile::Stat() {
  MutexLock tables(core_->tables());
  return {.inode = inode_.number,
          .kind = inode_.kind,
          .links = inode_.names(),
          .size_bytes = size_bytes(),
          .allocated_bytes = inode_.units() * core_->unit_bytes(),
          .modified_ns = inode_.modified_ns};
}

// --- room ---

Status OpenFile::CheckGrowth(uint64_t offset_bytes, uint64_t size_bytes) const {
  TRY(core_->CheckWritable());
  if (offset_bytes <= kMaxFileBytes && size_bytes <= kMaxFileBytes - offset_bytes) return {};
  return Error(ErrorCode::kFileTooBig, "volume");
}

Status OpenFile::ReserveUnits(uint64_t end_bytes) {
  const uint64_t units = UnitsFor(end_bytes, core_->unit_bytes());
  if (inode_.units() >= units) return {};
  return core_->Grow(inode_, units, true);
}

Status OpenFile::Allocate(uint64_t end_bytes) {
  TRY(CheckGrowth(0, end_bytes));
  ExclusiveLock lock(lock_);
  const uint64_t units = UnitsFor(end_bytes, core_->unit_bytes());
  if (inode_.units() >= units) return {};
  return core_->Grow(inode_, units, false);
}

// --- the buffer ---

Status OpenFile::UseBuffer() {
  if (buffer_in_use()) return {};
  block::DmaBuffer buffer = pending_.TakeBuffer();
  if (buffer.empty()) buffer = TRY(core_->disk().AllocateBuffer(core_->write_buffer_bytes()));
  const uint64_t start = RoundDown(size_bytes(), block_bytes_);
  if (start != size_bytes()) {
    TRY(pending_.Await());
    TRY(TransferRead(start, buffer.bytes().first(block_bytes_)));
  }
  buffer_ = std::move(buffer);
  buffer_start_ = start;
  return {};
}

void OpenFile::DropBuffer() {
  buffer_ = {};
  pending_.DropBuffers();
  has_logged_tail_ = false;
}

Status OpenFile::Spill(bool tail) {
  if (!buffer_in_use()) return {};
  const size_t size = buffered();
  const size_t whole = RoundDown(size, block_bytes_);
  const size_t written = tail ? RoundUp(size, block_bytes_) : whole;
  if (written == 0) return {};
  TRY(WaitForBarrier());
  if (written > size) std::memset(buffer_.data() + size, 0, written - size);
  TRY(TransferWrite(buffer_start_, buffer_.bytes().first(written)));
  std::memmove(buffer_.data(), buffer_.data() + whole, size - whole);
  buffer_start_ += whole;
  return {};
}

Status OpenFile::SpillBehind() {
  TRY(WaitForBarrier());
  std::vector<block::IoRequest> requests = PlanWrite(buffer_start_, buffer_.bytes());
  const uint64_t offset_bytes = std::exchange(buffer_start_, buffer_start_ + buffer_.size());
  TRY(pending_.Write(offset_bytes, std::exchange(buffer_, {}), std::move(requests)));
  buffer_ = pending_.TakeBuffer();
  return {};
}

Status OpenFile::WaitForBarrier() {
  if (barrier_ == 0) return {};
  TRY(core_->Commit(barrier_));
  barrier_ = 0;
  MutexLock tables(core_->tables());
  inode_.cut = false;
  return {};
}

Status OpenFile::WriteBack() {
  TRY(core_->CheckWritable());
  ExclusiveLock lock(lock_);
  return Spill(false);
}

Status OpenFile::WriteLogged() {
  // Looked at before the lock, which a writer may hold for long; while it is false, all that the
  // journal has is on the device, or the volume is latched.
  if (!has_logged_tail_) return {};
  ExclusiveLock lock(lock_);
  if (!has_logged_tail_) return {};
  TRY(Spill(true));
  TRY(pending_.Await());
  has_logged_tail_ = false;
  return {};
}

// --- writing ---

std::vector<block::IoRequest> OpenFile::PlanWrite(uint64_t offset_bytes,
                                                  std::span<const char> data) {
  std::vector<block::IoRequest> requests;
  while (!data.empty()) {
    const Placement place =
        FindPlacement(inode_.extents, core_->unit_bytes(), offset_bytes, data.size());
    requests.push_back(
        block::IoRequest::Write(place.device_offset_bytes, data.first(place.size_bytes)));
    data = data.subspan(place.size_bytes);
    offset_bytes += place.size_bytes;
  }
  return requests;
}

Status OpenFile::TransferWrite(uint64_t offset_bytes, std::span<const char> data) {
  std::vector<block::IoRequest> requests = PlanWrite(offset_bytes, data);
  return core_->disk().RunWrites(requests);
}

Status OpenFile::AppendReserved(std::string_view data) {
  while (!data.empty()) {
    TRY(UseBuffer());
    const size_t size = std::min(data.size(), buffer_.size() - buffered());
    std::memcpy(buffer_.data() + buffered(), data.data(), size);
    inode_.size_bytes = size_bytes() + size;
    data.remove_prefix(size);
    if (buffered() == buffer_.size()) TRY(SpillBehind());
  }
  inode_.modified_ns = core_->NowNs();
  return {};
}

Status OpenFile::AppendZeros(uint64_t end_bytes) {
  static constexpr char kZeros[4096] = {};
  while (size_bytes() < end_bytes) {
    TRY(AppendReserved({kZeros, std::min<uint64_t>(sizeof kZeros, end_bytes - size_bytes())}));
  }
  return {};
}

Status OpenFile::Append(std::string_view data) {
  ExclusiveLock lock(lock_);
  TRY(CheckGrowth(size_bytes(), data.size()));
  TRY(ReserveUnits(size_bytes() + data.size()));
  // So that nothing can fail half way but the device.
  if (!data.empty()) TRY(UseBuffer());
  return AppendReserved(data);
}

Status OpenFile::WriteAt(uint64_t offset_bytes, std::string_view data) {
  ExclusiveLock lock(lock_);
  TRY(CheckGrowth(offset_bytes, data.size()));
  if (data.empty()) return {};
  const uint64_t end = offset_bytes + data.size();
  if (end > size_bytes()) {
    TRY(ReserveUnits(end));
    TRY(UseBuffer());
    TRY(AppendZeros(offset_bytes));
  }
  const auto take = [&](uint64_t limit) {
    const uint64_t size = limit > offset_bytes ? std::min(data.size(), limit - offset_bytes) : 0;
    const std::string_view piece = data.substr(0, size);
    data.remove_prefix(size);
    return piece;
  };
  if (const std::string_view piece = take(in_extents()); !piece.empty()) {
    TRY(Overwrite(offset_bytes, piece));
    offset_bytes += piece.size();
  }
  if (const std::string_view piece = take(size_bytes()); !piece.empty()) {
    std::memcpy(buffer_.data() + (offset_bytes - buffer_start_), piece.data(), piece.size());
    logged_ = std::min(logged_, offset_bytes);
    inode_.modified_ns = core_->NowNs();
  }
  return AppendReserved(data);
}

Status OpenFile::Overwrite(uint64_t offset_bytes, std::string_view data) {
  TRY(WaitForBarrier());
  TRY(pending_.Await());
  overwritten_ = true;
  inode_.modified_ns = core_->NowNs();
  BouncePool::Lease bounce = TRY(core_->bounce().Take());
  while (!data.empty()) {
    const uint64_t begin = RoundDown(offset_bytes, block_bytes_);
    const uint64_t skipped = offset_bytes - begin;
    const size_t size = std::min<size_t>(data.size(), BouncePool::kBufferBytes - skipped);
    const size_t whole = RoundUp(skipped + size, block_bytes_);
    const size_t last = whole - block_bytes_;
    // The other bytes of the blocks at both ends stay as they are.
    if (skipped != 0) TRY(TransferRead(begin, bounce.bytes().first(block_bytes_)));
    if (skipped + size != whole && (last != 0 || skipped == 0)) {
      TRY(TransferRead(begin + last, bounce.bytes().subspan(last, block_bytes_)));
    }
    std::memcpy(bounce.data() + skipped, data.data(), size);
    TRY(TransferWrite(begin, bounce.bytes().first(whole)));
    data.remove_prefix(size);
    offset_bytes += size;
  }
  return {};
}

// --- truncating ---

Status OpenFile::Truncate(uint64_t size_bytes) {
  TRY(CheckGrowth(0, size_bytes));
  {
    JournalRoom room = TRY(core_->Reserve());
    ExclusiveLock lock(lock_);
    if (size_bytes > this->size_bytes()) {
      TRY(ReserveUnits(size_bytes));
      TRY(UseBuffer());
      TRY(AppendZeros(size_bytes));
    } else if (size_bytes < this->size_bytes()) {
      TRY(Cut(size_bytes));
    }
  }
  return core_->AfterChange();
}

Status OpenFile::Cut(uint64_t size_bytes) {
  TRY(core_->CheckWritable());
  TRY(pending_.Await());
  MutexLock tables(core_->tables());
  inode_.modified_ns = core_->NowNs();
  uint64_t number = inode_.names() == 0 ? core_->LastNumber() : 0;
  if (size_bytes < inode_.committed_bytes && inode_.names() != 0) {
    core_->LogFile(inode_, size_bytes, 0, {});
    number = core_->LastNumber();
    barrier_ = number;
    inode_.cut = true;  // for who opens it after us
  }
  std::vector<UnitRange> freed;
  core_->table().CutExtents(inode_, UnitsFor(size_bytes, core_->unit_bytes()), freed);
  if (pins_ != 0) {
    cut_extents_.insert(cut_extents_.end(), freed.begin(), freed.end());
  } else {
    core_->Free(freed, number);
  }
  if (buffer_in_use() && size_bytes < buffer_start_) DropBuffer();
  inode_.size_bytes = size_bytes;
  logged_ = std::min(logged_, size_bytes);
  return {};
}

void OpenFile::Unpin() {
  if (--pins_ != 0) return;
  MutexLock tables(core_->tables());
  if (pins_ != 0) return;
  core_->Free(cut_extents_, core_->LastNumber());
  cut_extents_.clear();
}

// --- syncing ---

bool OpenFile::IsLogged() {
  if (inherits_unsynced_.exchange(false)) overwritten_ = true;
  MutexLock tables(core_->tables());
  return logged_ == size_bytes() && inode_.committed_bytes == size_bytes() && !overwritten_;
}

bool OpenFile::IsSmallSync() {
  return !overwritten_ && buffer_in_use() && logged_ >= buffer_start_ &&
         size_bytes() - logged_ <= kSmallSyncBytes;
}

Result<bool> OpenFile::LogStep() {
  TRY(core_->CheckWritable());
  if (IsLogged()) return true;
  const uint64_t size = size_bytes();
  if (IsSmallSync()) {
    std::string tail(buffer_.data() + (logged_ - buffer_start_), size - logged_);
    MutexLock tables(core_->tables());
    CHECK(core_->LogFile(inode_, size, 0, std::move(tail)) == size);
    logged_ = size;
    has_logged_tail_ = true;
    return true;
  }
  TRY(Spill(true));
  TRY(pending_.Await());
  TRY(core_->disk().Flush(FlushKind::kData));
  overwritten_ = false;
  MutexLock tables(core_->tables());
  logged_ = core_->LogFile(inode_, size, size, {});
  if (logged_ == size) has_logged_tail_ = false;
  return logged_ == size;
}

Status OpenFile::Sync() {
  uint64_t number = 0;
  for (bool done = false; !done;) {
    JournalRoom room = TRY(core_->Reserve());
    ExclusiveLock lock(lock_);
    done = TRY(LogStep());
    number = core_->LastNumber();
  }
  TRY(core_->Commit(number));
  return core_->AfterChange();
}

}  // namespace tifs::volume
