#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/disk_image.h"

namespace tifs::sim {

// Bytes that replace others: of a write, or of a discard (then `fill` for all of them).
struct Patch {
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  std::shared_ptr<const std::string> data;  // null: `fill`
  char fill = 0;

  void ApplyTo(DiskImage& image) const { ApplyPart(image, offset_bytes, size_bytes); }
  // Of the range, which lies within this patch's.
  void ApplyPart(DiskImage& image, uint64_t part_offset_bytes, uint64_t part_size_bytes) const;
};

// The volatile cache of a disk: what surely survives a loss of power, and, write by write, what
// may. Any subset of the units of all unflushed writes may survive, independently, where a unit is
// what the disk never tears; where several writes of a unit survive, the last one counts.
class WriteCache {
 public:
  WriteCache(DiskImage durable, uint32_t unit_bytes);

  // A write or discard that is done, or that was under way when the power went.
  void Write(Patch patch);
  // Durable when done. What earlier writes left unflushed there can no longer come back.
  void WriteThrough(const Patch& patch);
  void Flush();
  // A flush that fails: of each unflushed write it is decided by `random` whether it is durable
  // now, still unflushed, or gone, and then no later flush brings it back.
  void FailFlush(Random& random);
  // Adds zeros or cuts off, durably and at once.
  void Resize(uint64_t size_bytes);
  // One bit of what is durable, and of all that is unflushed there, turns over.
  void FlipBit(uint64_t offset_bytes, uint8_t bit);

  const DiskImage& durable() const { return durable_; }
  // Unflushed writes, and units of them: those of write 0 first, by address.
  size_t writes() const { return pending_.size(); }
  size_t units() const;

  // What the disk holds if those units survive for which `keep(write, unit)` is true, `unit`
  // counting through all writes; or those writes or units whose bit in `mask` is set (then there
  // are at most 64).
  using Keeps = std::function<bool(size_t write, size_t unit)>;
  DiskImage Keep(const Keeps& keeps) const;
  DiskImage KeepWrites(uint64_t mask) const;
  DiskImage KeepUnits(uint64_t mask) const;
  // None, all, the first few writes, whole writes at random, or units at random.
  DiskImage KeepSome(Random& random) const;

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
  };
  struct Pending {
    Patch patch;
    std::vector<Range> ranges;  // of the patch, less what was written through since
  };

  // Earlier writes that are unflushed there can no longer come back.
  void MakeDurable(const Patch& patch, const Range& range);
  // Calls `unit(range)` for each unit of `pending`.
  template <typename Unit>
  void ForEachUnit(const Pending& pending, Unit unit) const;

  DiskImage durable_;
  uint32_t unit_bytes_;
  std::vector<Pending> pending_;
};

}  // namespace tifs::sim
