#include "sim/write_cache.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace tifs::sim {

void Patch::ApplyPart(DiskImage& image, uint64_t part_offset_bytes,
                      uint64_t part_size_bytes) const {
  if (data) {
    image.Write(part_offset_bytes,
                std::string_view(*data).substr(part_offset_bytes - offset_bytes, part_size_bytes));
  } else {
    image.Fill(part_offset_bytes, part_size_bytes, fill);
  }
}

WriteCache::WriteCache(DiskImage durable, uint32_t unit_bytes)
    : durable_(std::move(durable)), unit_bytes_(unit_bytes) {}

void WriteCache::Write(Patch patch) {
  const Range range = {patch.offset_bytes, patch.offset_bytes + patch.size_bytes};
  pending_.push_back({std::move(patch), {range}});
}

void WriteCache::WriteThrough(const Patch& patch) {
  MakeDurable(patch, {patch.offset_bytes, patch.offset_bytes + patch.size_bytes});
}

void WriteCache::MakeDurable(const Patch& patch, const Range& range) {
  patch.ApplyPart(durable_, range.begin, range.end - range.begin);
  for (Pending& pending : pending_) {
    std::vector<Range> left;
    for (const Range& old : pending.ranges) {
      if (old.begin < range.begin) left.push_back({old.begin, std::min(old.end, range.begin)});
      if (old.end > range.end) left.push_back({std::max(old.begin, range.end), old.end});
    }
    pending.ranges = std::move(left);
  }
  std::erase_if(pending_, [](const Pending& pending) { return pending.ranges.empty(); });
}

void WriteCache::Flush() {
  durable_ = Keep([](size_t, size_t) { return true; });
  pending_.clear();
}

void WriteCache::FailFlush(Random& random) {
  // One manner for all half of the time: that everything is lost is what a driver that gives up
  // does.
  const uint64_t manner = random.Below(6);
  std::vector<Pending> pending = std::exchange(pending_, {});
  for (Pending& each : pending) {
    const uint64_t fate = manner < 3 ? manner : random.Below(3);
    if (fate == 0) continue;
    if (fate == 1) {
      pending_.push_back(std::move(each));
      continue;
    }
    for (const Range& range : each.ranges) MakeDurable(each.patch, range);
  }
}

void WriteCache::Resize(uint64_t size_bytes) {
  durable_.Resize(size_bytes);
  for (Pending& pending : pending_) {
    for (Range& range : pending.ranges) range.end = std::min(range.end, size_bytes);
    std::erase_if(pending.ranges, [](const Range& range) { return range.begin >= range.end; });
  }
  std::erase_if(pending_, [](const Pending& pending) { return pending.ranges.empty(); });
}

void WriteCache::FlipBit(uint64_t offset_bytes, uint8_t bit) {
  const auto flipped = [&](char byte) { return static_cast<char>(byte ^ (1 << bit)); };
  char byte = 0;
  durable_.Read(offset_bytes, {&byte, 1});
  byte = flipped(byte);
  durable_.Write(offset_bytes, {&byte, 1});
  for (Pending& pending : pending_) {
    Patch& patch = pending.patch;
    if (offset_bytes < patch.offset_bytes ||
        offset_bytes - patch.offset_bytes >= patch.size_bytes) {
      continue;
    }
    std::string data = patch.data ? *patch.data : std::string(patch.size_bytes, patch.fill);
    char& there = data[offset_bytes - patch.offset_bytes];
    there = flipped(there);
    patch.data = std::make_shared<const std::string>(std::move(data));
  }
}

template <typename Unit>
void WriteCache::ForEachUnit(const Pending& pending, Unit unit) const {
  for (const Range& range : pending.ranges) {
    for (uint64_t begin = range.begin; begin < range.end;) {
      const uint64_t end = std::min(range.end, (begin / unit_bytes_ + 1) * unit_bytes_);
      unit(Range{begin, end});
      begin = end;
    }
  }
}

size_t WriteCache::units() const {
  size_t count = 0;
  for (const Pending& pending : pending_) {
    ForEachUnit(pending, [&](const Range&) { ++count; });
  }
  return count;
}

DiskImage WriteCache::Keep(const Keeps& keeps) const {
  DiskImage image = durable_;
  size_t unit = 0;
  for (size_t write = 0; write < pending_.size(); ++write) {
    ForEachUnit(pending_[write], [&](const Range& range) {
      if (keeps(write, unit++)) {
        pending_[write].patch.ApplyPart(image, range.begin, range.end - range.begin);
      }
    });
  }
  return image;
}

DiskImage WriteCache::KeepWrites(uint64_t mask) const {
  CHECK(writes() <= 64);
  return Keep([mask](size_t write, size_t) { return (mask >> write & 1) != 0; });
}

DiskImage WriteCache::KeepUnits(uint64_t mask) const {
  CHECK(units() <= 64);
  return Keep([mask](size_t, size_t unit) { return (mask >> unit & 1) != 0; });
}

DiskImage WriteCache::KeepSome(Random& random) const {
  const uint64_t manner = random.Below(5);
  const size_t first_few = random.Below(writes() + 1);
  std::vector<bool> by_write(writes());
  for (size_t i = 0; i < by_write.size(); ++i) by_write[i] = random.OneIn(2);
  return Keep([&](size_t write, size_t) {
    switch (manner) {
      case 0: return false;
      case 1: return true;
      case 2: return write < first_few;
      case 3: return static_cast<bool>(by_write[write]);
      default: return random.OneIn(2);
    }
  });
}

}  // namespace tifs::sim
