#include "block/io_class.h"

namespace tifs::block {
namespace {

size_t ThreadNumber() {
  static std::atomic<size_t> next{0};
  thread_local const size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

thread_local constinit IoScope::Purpose IoScope::current_;

void IoCounter::Add(IoClass io_class, IoKind kind, uint64_t bytes) {
  Cell& cell = shelves_[ThreadNumber() % kShelves].cells[static_cast<size_t>(io_class)];
  if (kind == IoKind::kRead) {
    cell.reads.fetch_add(1, std::memory_order_relaxed);
    cell.read_bytes.fetch_add(bytes, std::memory_order_relaxed);
  } else if (kind == IoKind::kWrite) {
    cell.writes.fetch_add(1, std::memory_order_relaxed);
    cell.write_bytes.fetch_add(bytes, std::memory_order_relaxed);
  }
}

IoClassCounts IoCounter::Counts(IoClass io_class) const {
  IoClassCounts sum;
  for (const Shelf& shelf : shelves_) {
    const Cell& cell = shelf.cells[static_cast<size_t>(io_class)];
    sum.reads += cell.reads.load(std::memory_order_relaxed);
    sum.read_bytes += cell.read_bytes.load(std::memory_order_relaxed);
    sum.writes += cell.writes.load(std::memory_order_relaxed);
    sum.write_bytes += cell.write_bytes.load(std::memory_order_relaxed);
  }
  return sum;
}

std::array<IoClassCounts, kIoClasses> IoCounter::All() const {
  std::array<IoClassCounts, kIoClasses> counts;
  for (size_t i = 0; i < kIoClasses; ++i) counts[i] = Counts(static_cast<IoClass>(i));
  return counts;
}

}  // namespace tifs::block
