#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/result.h"
#include "volume/file_table.h"

namespace tifs::volume {

// The inodes as they were at one instant, encoded in slices while operations go on: an inode that
// is about to change and has not been encoded yet is encoded first (copy on write). All calls under
// the lock that guards the table.
class TableScan {
 public:
  // The instant is now.
  explicit TableScan(FileTable& table);
  ~TableScan();
  TableScan(const TableScan&) = delete;
  TableScan& operator=(const TableScan&) = delete;

  // Appends the next `inodes` or so to `out`. False: there are no more, the end mark included.
  bool NextSlice(size_t inodes, std::string& out);
  // FileTable calls it.
  void Preserve(const Inode& inode);

  uint64_t encoded_inodes() const { return encoded_; }

 private:
  void Encode(const Inode& inode, std::string& out);

  FileTable& table_;
  const uint64_t end_;   // inodes from here on are newer
  uint64_t cursor_ = 0;  // inodes below are encoded
  bool finished_ = false;
  uint64_t encoded_ = 0;
  std::unordered_set<uint64_t> preserved_numbers_;
  std::string preserved_;
};

// What stands before the inodes.
struct CheckpointStart {
  uint64_t position = 0;
  uint64_t keep = 0;
  uint64_t next_inode = 0;
  bool operator==(const CheckpointStart&) const = default;
};

void EncodeCheckpointStart(const CheckpointStart& start, std::string& out);
// Fills an empty table from what EncodeCheckpointStart and a scan wrote. kCorrupt.
Result<CheckpointStart> LoadTable(std::string_view bytes, FileTable& table);

}  // namespace tifs::volume
