#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "volume/journal_record.h"

namespace tifs::volume {

// The last bytes of files that the journal has and their extents may not: what small syncs left
// (docs/volume_format.md, record "file"). Built while the journal is replayed. Invariant: the bytes
// of a file are one run, and end where the file ends.
class Redo {
 public:
  struct Tail {
    uint64_t offset_bytes = 0;
    std::string bytes;

    uint64_t end_bytes() const { return offset_bytes + bytes.size(); }
  };

  // After the record was applied to the table.
  void Apply(const FileRecord& record);
  // The file is gone.
  void Forget(uint64_t inode) { tails_.erase(inode); }
  const Tail* Find(uint64_t inode) const;
  // By inode number. There may be some of files that are gone.
  const std::map<uint64_t, Tail>& tails() const { return tails_; }

 private:
  std::map<uint64_t, Tail> tails_;
};

}  // namespace tifs::volume
