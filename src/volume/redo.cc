#include "volume/redo.h"

#include <utility>

namespace tifs::volume {

void Redo::Apply(const FileRecord& record) {
  const uint64_t tail_begin = record.size_bytes - record.tail.size();
  auto at = tails_.find(record.inode);
  if (at == tails_.end()) {
    if (!record.tail.empty()) tails_[record.inode] = {tail_begin, record.tail};
    return;
  }
  Tail& tail = at->second;
  // What the extents have is not needed from here any more.
  if (record.in_place_bytes > tail.offset_bytes) {
    tail.bytes.erase(0, record.in_place_bytes - tail.offset_bytes);
    tail.offset_bytes = record.in_place_bytes;
  }
  if (tail_begin <= tail.offset_bytes || tail_begin > tail.end_bytes()) {
    // New bytes take the place of all; or the file was cut before them; or, a gap being between,
    // the bytes there are in place.
    tail = {tail_begin, record.tail};
  } else {
    tail.bytes.resize(tail_begin - tail.offset_bytes);
    tail.bytes += record.tail;
  }
  if (tail.bytes.empty()) tails_.erase(at);
}

const Redo::Tail* Redo::Find(uint64_t inode) const {
  const auto at = tails_.find(inode);
  return at != tails_.end() ? &at->second : nullptr;
}

}  // namespace tifs::volume
