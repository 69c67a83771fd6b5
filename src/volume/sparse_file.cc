#include "volume/sparse_file.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "volume/extent_map.h"
#include "volume/read_plan.h"
#include "volume/volume_core.h"

namespace tifs::volume {
namespace {

// From so many bytes on, aligned memory is written as it is.
constexpr uint64_t kDirectBytes = 16 << 10;

std::vector<UnitRange> RangesOf(const std::vector<Extent>& runs) {
  std::vector<UnitRange> ranges;
  ranges.reserve(runs.size());
  for (const Extent& run : runs) ranges.push_back(run.units);
  return ranges;
}

}  // namespace

// While it exists, nobody else writes to these units.
class SparseFile::BusyUnits {
 public:
  BusyUnits(SparseFile& file, UnitSpan units) : file_(file), units_(units) {
    MutexLock lock(file_.busy_mutex_);
    const auto overlaps = [&](const UnitSpan& other) {
      return other.begin < units_.end && units_.begin < other.end;
    };
    while (std::ranges::any_of(file_.busy_, overlaps)) file_.idle_.Wait(file_.busy_mutex_);
    file_.busy_.push_back(units_);
  }
  ~BusyUnits() {
    MutexLock lock(file_.busy_mutex_);
    std::erase_if(file_.busy_,
                  [this](const UnitSpan& other) { return other.begin == units_.begin; });
    file_.idle_.NotifyAll();
  }
  BusyUnits(const BusyUnits&) = delete;
  BusyUnits& operator=(const BusyUnits&) = delete;

 private:
  SparseFile& file_;
  const UnitSpan units_;
};

SparseFile::SparseFile(std::shared_ptr<VolumeCore> core, Inode& inode, const SparseMode& mode)
    : core_(std::move(core)),
      inode_(inode),
      writable_(mode.write),
      unit_bytes_(core_->unit_bytes()),
      block_bytes_(core_->disk().geometry().block_bytes),
      keep_free_units_(UnitsFor(mode.keep_free_bytes, unit_bytes_)),
      size_bytes_(inode.size_bytes.load()) {}

SparseFile::~SparseFile() {
  if (writable_ && core_->CheckWritable()) (void)Sync();
  {
    MutexLock tables(core_->tables());
    ExclusiveLock map(map_);
    core_->Free(RangesOf(written_), 0);
    core_->Free(RangesOf(reserved_), 0);
    written_.clear();
    reserved_.clear();
  }
  core_->Detach(*this, inode_);
}

// Bytes beyond the end that a crash left in the last unit must not show when the file grows over
// them. Not flushed: the sync that makes the new end durable flushes this as well.
Status SparseFile::ClearTail() {
  const uint64_t size = size_bytes();
  const uint64_t end = RoundUp(size, unit_bytes_);
  if (size == end || RunsOf({size / unit_bytes_, size / unit_bytes_ + 1}, false).empty()) return {};
  const std::string zeros(end - size, '\0');
  SharedLock io(io_);
  return WriteUnits(SpanOf(size, zeros.size()), size, zeros);
}

std::vector<Extent> SparseFile::UnloggedRuns() const {
  SharedLock map(map_);
  std::vector<Extent> runs = written_;
  runs.insert(runs.end(), reserved_.begin(), reserved_.end());
  return runs;
}

Status SparseFile::CheckChange(uint64_t offset_bytes, uint64_t length_bytes) const {
  if (!writable_) {
    return Error(ErrorCode::kBadHandle, "volume", "the file was opened for reading");
  }
  TRY(core_->CheckWritable());
  if (offset_bytes <= kMaxFileBytes && length_bytes <= kMaxFileBytes - offset_bytes) return {};
  return Error(ErrorCode::kFileTooBig, "volume");
}

SparseFile::UnitSpan SparseFile::SpanOf(uint64_t offset_bytes, uint64_t length_bytes) const {
  return {offset_bytes / unit_bytes_, UnitsFor(offset_bytes + length_bytes, unit_bytes_)};
}

std::vector<Extent> SparseFile::RunsOf(UnitSpan units, bool with_reserved) const {
  SharedLock map(map_);
  std::vector<Extent> runs = RunsIn(inode_.extents, units.begin, units.end);
  const auto add = [&](const std::vector<Extent>& more) {
    const std::vector<Extent> found = RunsIn(more, units.begin, units.end);
    runs.insert(runs.end(), found.begin(), found.end());
  };
  add(written_);
  if (with_reserved) add(reserved_);
  std::ranges::sort(runs, {}, &Extent::file_unit);
  return runs;
}

bool SparseFile::IsReserved(uint64_t unit) const {
  SharedLock map(map_);
  return !RunsIn(reserved_, unit, unit + 1).empty();
}

// --- reading ---

Status SparseFile::ReadRun(const Extent& run, uint64_t offset_bytes, std::span<char> out) {
  const uint64_t device =
      run.units.start * unit_bytes_ + (offset_bytes - run.file_unit * unit_bytes_);
  const auto alignment = core_->disk().geometry().buffer_alignment_bytes;
  if ((device | out.size()) % block_bytes_ == 0 &&
      reinterpret_cast<uintptr_t>(out.data()) % alignment == 0) {
    return core_->disk().Read(device, out);
  }
  BouncePool::Lease bounce = TRY(core_->bounce().Take());
  for (uint64_t at = device; !out.empty();) {
    const uint64_t begin = RoundDown(at, block_bytes_);
    const uint64_t skipped = at - begin;
    const size_t size = std::min<size_t>(out.size(), BouncePool::kBufferBytes - skipped);
    TRY(core_->disk().Read(begin, bounce.bytes().first(RoundUp(skipped + size, block_bytes_))));
    std::memcpy(out.data(), bounce.data() + skipped, size);
    out = out.subspan(size);
    at += size;
  }
  return {};
}

Status SparseFile::ReadAt(uint64_t offset_bytes, std::span<char> out) {
  TRY(core_->CheckReadable());
  SharedLock io(io_);
  const uint64_t size = size_bytes();
  const uint64_t there =
      offset_bytes < size ? std::min<uint64_t>(out.size(), size - offset_bytes) : 0;
  uint64_t done = 0;
  if (there != 0) {
    for (const Extent& run : RunsOf(SpanOf(offset_bytes, there), false)) {
      const uint64_t begin = std::max(run.file_unit * unit_bytes_, offset_bytes) - offset_bytes;
      const uint64_t end = std::min(run.file_end() * unit_bytes_ - offset_bytes, there);
      std::memset(out.data() + done, 0, begin - done);
      TRY(ReadRun(run, offset_bytes + begin, out.subspan(begin, end - begin)));
      done = end;
    }
  }
  std::memset(out.data() + done, 0, out.size() - done);
  return {};
}

uint64_t SparseFile::NextData(uint64_t offset_bytes) const {
  const uint64_t size = size_bytes();
  uint64_t next = std::max(offset_bytes, size);
  SharedLock map(map_);
  using Runs = const std::vector<Extent>*;
  for (Runs runs : {Runs(&inode_.extents), Runs(&written_)}) {
    const Extent* run = FirstRunAfter(*runs, offset_bytes / unit_bytes_);
    if (run == nullptr) continue;
    next = std::min(next, std::max(offset_bytes, run->file_unit * unit_bytes_));
  }
  return next;
}

// --- writing ---

Status SparseFile::TakeMissing(UnitSpan units) {
  const std::vector<Extent> runs = RunsOf(units, true);
  std::vector<UnitSpan> holes;
  uint64_t missing = 0;
  const auto note = [&](uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    holes.push_back({begin, end});
    missing += end - begin;
  };
  uint64_t at = units.begin;
  for (const Extent& run : runs) {
    note(at, run.file_unit);
    at = run.file_end();
  }
  note(at, units.end);
  if (holes.empty()) return {};
  uint64_t next_to = 0;
  if (holes[0].begin > 0) {
    const auto before = RunsOf({holes[0].begin - 1, holes[0].begin}, true);
    if (!before.empty()) next_to = before[0].units.end();
  }
  const uint64_t unlogged = UnloggedRuns().size();
  return core_->TakeForSparse(missing, next_to, keep_free_units_, unlogged * kEncodedRunBytes,
                              [&](const std::vector<UnitRange>& taken) {
                                ExclusiveLock map(map_);
                                auto hole = holes.begin();
                                for (UnitRange range : taken) {
                                  while (range.count > 0) {
                                    const uint64_t count =
                                        std::min(range.count, hole->end - hole->begin);
                                    InsertRun(reserved_, {hole->begin, {range.start, count}});
                                    range = {range.start + count, range.count - count};
                                    hole->begin += count;
                                    if (hole->begin == hole->end) ++hole;
                                  }
                                }
                              });
}

void SparseFile::NoteWritten(UnitSpan units, uint64_t end_bytes) {
  MutexLock tables(core_->tables());
  ExclusiveLock map(map_);
  std::vector<Extent> now;
  EraseRuns(reserved_, units.begin, units.end, now);
  for (const Extent& run : now) InsertRun(written_, run);
  if (end_bytes > size_bytes()) {
    size_bytes_.store(end_bytes, std::memory_order_release);
    inode_.size_bytes = end_bytes;
  }
  inode_.modified_ns = core_->NowNs();
}

Status SparseFile::TransferWrite(const std::vector<Extent>& runs, uint64_t offset_bytes,
                                 std::span<const char> data) {
  std::vector<block::IoRequest> requests;
  while (!data.empty()) {
    const Placement place = FindPlacement(runs, unit_bytes_, offset_bytes, data.size());
    if (requests.empty() && place.size_bytes == data.size()) {
      return core_->disk().Write(place.device_offset_bytes, data);
    }
    requests.push_back(
        block::IoRequest::Write(place.device_offset_bytes, data.first(place.size_bytes)));
    data = data.subspan(place.size_bytes);
    offset_bytes += place.size_bytes;
  }
  return core_->disk().RunWrites(requests);
}

// Writes `bytes` (whole blocks): `data` where it lies, zeros around it, but what the device has of
// blocks at the edges of `known`, in which it has the file's bytes.
Status SparseFile::WriteThroughBounce(const std::vector<Extent>& runs, UnitSpan bytes,
                                      UnitSpan known, uint64_t offset_bytes,
                                      std::string_view data) {
  if (bytes.begin >= bytes.end) return {};
  BouncePool::Lease bounce = TRY(core_->bounce().Take());
  const uint64_t data_end = offset_bytes + data.size();
  for (uint64_t begin = bytes.begin; begin < bytes.end;) {
    const uint64_t end = std::min<uint64_t>(bytes.end, begin + BouncePool::kBufferBytes);
    const std::span<char> piece = bounce.bytes().first(end - begin);
    std::memset(piece.data(), 0, piece.size());
    for (const uint64_t edge : {offset_bytes, data_end}) {
      const uint64_t block = RoundDown(edge, block_bytes_);
      if (edge == block || block < begin || block >= end) continue;
      if (block < known.begin || block >= known.end) continue;
      const Placement place = FindPlacement(runs, unit_bytes_, block, block_bytes_);
      TRY(core_->disk().Read(place.device_offset_bytes,
                             piece.subspan(block - begin, block_bytes_)));
    }
    const uint64_t from = std::max(begin, offset_bytes);
    const uint64_t to = std::min(end, data_end);
    if (from < to)
      std::memcpy(piece.data() + (from - begin), &data[from - offset_bytes], to - from);
    TRY(TransferWrite(runs, begin, piece));
    begin = end;
  }
  return {};
}

Status SparseFile::WriteUnits(UnitSpan units, uint64_t offset_bytes, std::string_view data) {
  const std::vector<Extent> runs = RunsOf(units, true);
  const uint64_t data_end = offset_bytes + data.size();
  const bool is_first_new = IsReserved(units.begin);
  const bool is_last_new = IsReserved(units.end - 1);
  // What a new unit holds is another file's: it is written whole.
  const UnitSpan all = {
      is_first_new ? units.begin * unit_bytes_ : RoundDown(offset_bytes, block_bytes_),
      is_last_new ? units.end * unit_bytes_ : RoundUp(data_end, block_bytes_)};
  const UnitSpan known = {is_first_new ? (units.begin + 1) * unit_bytes_ : 0,
                          is_last_new ? (units.end - 1) * unit_bytes_ : kMaxFileBytes};
  const uint64_t begin = RoundUp(offset_bytes, block_bytes_);
  const uint64_t end = RoundDown(data_end, block_bytes_);
  const auto alignment = core_->disk().geometry().buffer_alignment_bytes;
  if (begin + kDirectBytes > end ||
      reinterpret_cast<uintptr_t>(data.data() + (begin - offset_bytes)) % alignment != 0) {
    return WriteThroughBounce(runs, all, known, offset_bytes, data);
  }
  const std::string_view direct = data.substr(begin - offset_bytes, end - begin);
  TRY(WriteThroughBounce(runs, {all.begin, begin}, known, offset_bytes, data));
  TRY(TransferWrite(runs, begin, {direct.data(), direct.size()}));
  return WriteThroughBounce(runs, {end, all.end}, known, offset_bytes, data);
}

Status SparseFile::WriteAt(uint64_t offset_bytes, std::string_view data) {
  TRY(CheckChange(offset_bytes, data.size()));
  if (data.empty()) return {};
  const UnitSpan units = SpanOf(offset_bytes, data.size());
  const BusyUnits busy(*this, units);
  SharedLock io(io_);
  TRY(TakeMissing(units));
  TRY(WriteUnits(units, offset_bytes, data));
  NoteWritten(units, offset_bytes + data.size());
  dirty_.store(true, std::memory_order_seq_cst);
  return {};
}

Status SparseFile::Allocate(uint64_t offset_bytes, uint64_t length_bytes) {
  TRY(CheckChange(offset_bytes, length_bytes));
  if (length_bytes == 0) return {};
  const UnitSpan units = SpanOf(offset_bytes, length_bytes);
  const BusyUnits busy(*this, units);
  SharedLock io(io_);
  return TakeMissing(units);
}

// --- taking away ---

Status SparseFile::ZeroUnit(uint64_t begin_bytes, uint64_t end_bytes) {
  const UnitSpan units = SpanOf(begin_bytes, end_bytes - begin_bytes);
  const BusyUnits busy(*this, units);
  SharedLock io(io_);
  if (RunsOf(units, false).empty()) return {};
  const std::string zeros(std::min<uint64_t>(end_bytes - begin_bytes, 1 << 20), '\0');
  for (uint64_t at = begin_bytes; at < end_bytes; at += zeros.size()) {
    TRY(WriteUnits(units, at, std::string_view(zeros).substr(0, end_bytes - at)));
  }
  dirty_.store(true, std::memory_order_seq_cst);
  return {};
}

Status SparseFile::Zero(uint64_t begin_bytes, uint64_t end_bytes) {
  end_bytes = std::min(end_bytes, size_bytes());
  while (begin_bytes < end_bytes) {
    const uint64_t end = std::min(end_bytes, RoundDown(begin_bytes, unit_bytes_) + unit_bytes_);
    TRY(ZeroUnit(begin_bytes, end));
    begin_bytes = end;
  }
  return {};
}

Status SparseFile::UnmapStep(UnitSpan units, std::optional<uint64_t> cut_at_bytes) {
  JournalRoom room = TRY(core_->Reserve());
  ExclusiveLock io(io_);
  MutexLock tables(core_->tables());
  ExclusiveLock map(map_);
  std::vector<Extent> unlogged;
  EraseRuns(written_, units.begin, units.end, unlogged);
  EraseRuns(reserved_, units.begin, units.end, unlogged);
  core_->Free(RangesOf(unlogged), 0);
  // Nobody writes now, so it does not grow.
  const uint64_t size = cut_at_bytes.value_or(size_bytes());
  size_bytes_.store(size, std::memory_order_release);
  inode_.modified_ns = core_->NowNs();
  MapRecord record{.inode = inode_.number,
                   .size_bytes = std::min(inode_.committed_bytes, size),
                   .modified_ns = inode_.modified_ns,
                   .runs = {}};
  const bool is_known = !RunsIn(inode_.extents, units.begin, units.end).empty();
  if (is_known) {
    record.runs.push_back({units.begin, {MapRecord::kHole, units.end - units.begin}});
  }
  if (is_known || record.size_bytes != inode_.committed_bytes) {
    std::vector<UnitRange> freed;
    CHECK(core_->table().Apply(record, freed).ok());
    // Nobody looks at what has no name any more.
    const bool is_deleted = inode_.names() == 0;
    core_->Free(freed, is_deleted ? core_->LastNumber() : core_->Log(record));
  }
  inode_.size_bytes = size;
  return {};
}

Status SparseFile::Unmap(UnitSpan units, std::optional<uint64_t> cut_at_bytes) {
  {
    SharedLock map(map_);
    uint64_t end = inode_.units();
    for (const std::vector<Extent>* runs : {&written_, &reserved_}) {
      if (!runs->empty()) end = std::max(end, runs->back().file_end());
    }
    units.end = std::max(units.begin, std::min(units.end, end));
  }
  do {
    const uint64_t end = std::min(units.end, units.begin + kMaxExtentUnits);
    TRY(UnmapStep({units.begin, end}, cut_at_bytes));
    units.begin = end;
  } while (units.begin < units.end);
  return core_->AfterChange();
}

Status SparseFile::Discard(uint64_t offset_bytes, uint64_t length_bytes) {
  TRY(CheckChange(offset_bytes, length_bytes));
  MutexLock change(change_);
  const uint64_t end_bytes = offset_bytes + length_bytes;
  // Also at the end of the file: it may grow meanwhile.
  const UnitSpan whole = {UnitsFor(offset_bytes, unit_bytes_), end_bytes / unit_bytes_};
  bool has_room = false;
  {
    // A hole in the middle of a run makes two of it.
    MutexLock tables(core_->tables());
    has_room = core_->CheckMetadataRoom(kEncodedRunBytes).ok();
  }
  if (whole.begin >= whole.end || !has_room) return Zero(offset_bytes, end_bytes);
  TRY(Zero(offset_bytes, whole.begin * unit_bytes_));
  TRY(Zero(whole.end * unit_bytes_, end_bytes));
  return Unmap(whole, std::nullopt);
}

Status SparseFile::Truncate(uint64_t size_bytes) {
  TRY(CheckChange(0, size_bytes));
  MutexLock change(change_);
  const uint64_t before = this->size_bytes();
  if (size_bytes >= before) {
    MutexLock tables(core_->tables());
    size_bytes_.store(size_bytes, std::memory_order_release);
    inode_.size_bytes = size_bytes;
    return {};
  }
  const uint64_t end = RoundUp(size_bytes, unit_bytes_);
  TRY(Zero(size_bytes, std::min(end, before)));
  // Else a crash could leave the new end, and the old bytes for the day when the file grows again.
  if (size_bytes != end) TRY(core_->disk().Flush(FlushKind::kData));
  return Unmap({end / unit_bytes_, kMaxFileBytes / unit_bytes_}, size_bytes);
}

// --- syncing ---

Status SparseFile::LogWritten(const std::vector<Extent>& flushed, uint64_t size_bytes) {
  size_t next = 0;
  do {
    JournalRoom room = TRY(core_->Reserve());
    MutexLock tables(core_->tables());
    if (inode_.names() == 0) return {};
    ExclusiveLock map(map_);
    MapRecord record{.inode = inode_.number,
                     .size_bytes = size_bytes,
                     .modified_ns = inode_.modified_ns,
                     .runs = {}};
    std::vector<Extent> logged;
    for (; next < flushed.size() && record.runs.size() < kMaxRecordExtents; ++next) {
      record.runs.push_back(flushed[next]);
      EraseRuns(written_, flushed[next].file_unit, flushed[next].file_end(), logged);
    }
    std::vector<UnitRange> freed;
    CHECK(core_->table().Apply(record, freed).ok() && freed.empty());
    core_->Log(record);
    inode_.size_bytes = this->size_bytes();
  } while (next < flushed.size());
  return {};
}

Status SparseFile::Sync() {
  TRY(CheckChange(0, 0));
  MutexLock change(change_);
  std::vector<Extent> written;
  uint64_t size = 0;
  bool is_logged = false;
  const bool dirty = dirty_.exchange(false, std::memory_order_seq_cst);
  {
    MutexLock tables(core_->tables());
    SharedLock map(map_);
    written = written_;
    size = size_bytes();
    is_logged = written.empty() && size == inode_.committed_bytes;
  }
  // Whoever has noted a unit or a new end may not have said yet that the file is dirty.
  if (dirty || !is_logged) TRY(core_->disk().Flush(FlushKind::kData));
  if (!is_logged) TRY(LogWritten(written, size));
  TRY(core_->Commit(core_->LastNumber()));
  return core_->AfterChange();
}

}  // namespace tifs::volume
