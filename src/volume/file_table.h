#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "volume/journal_record.h"
#include "volume/volume_format.h"

namespace tifs::volume {

class OpenFile;
class SparseFile;
class TableScan;
struct Inode;

using Directory = std::map<std::string, Inode*, std::less<>>;

// One name of an inode: the directory that has it, and the key there.
struct Name {
  Inode* parent = nullptr;
  const std::string* name = nullptr;
  bool operator==(const Name&) const = default;
};

// A file or directory in memory. An inode without a name is an orphan: deleted, and open.
struct Inode {
  Inode(uint64_t inode_number, InodeKind inode_kind) : number(inode_number), kind(inode_kind) {}

  uint32_t names() const {
    return (first_name.parent != nullptr ? 1 : 0) +
           (more_names ? static_cast<uint32_t>(more_names->size()) : 0);
  }
  // Up to the end of the last extent.
  uint64_t units() const { return extents.empty() ? 0 : extents.back().file_end(); }
  // Of the device.
  uint64_t allocated_units() const;
  bool is_directory() const { return kind == InodeKind::kDirectory; }
  bool is_open() const { return open != nullptr || open_sparse != nullptr; }

  const uint64_t number;
  const InodeKind kind;
  // Bytes were written that no record speaks of yet, and no handle is open that knows.
  bool unsynced = false;
  // Synced bytes were cut off, and the record of that may not be durable yet.
  bool cut = false;
  Name first_name;
  std::unique_ptr<std::vector<Name>> more_names;
  std::unique_ptr<Directory> entries;  // of a directory
  // What the journal says; the extents that cover it are in the journal, too. At most size_bytes,
  // but of a sparse file that was cut.
  uint64_t committed_bytes = 0;
  // What users see. Written by whoever holds the open file exclusively; read by anyone.
  std::atomic<uint64_t> size_bytes{0};
  std::atomic<int64_t> modified_ns{0};
  // Ascending, without gaps from 0. Changed under the tables' lock and the open file's both, read
  // under either. Of a sparse file: those that the journal has, with holes between them.
  std::vector<Extent> extents;
  // Files that are open; not owned.
  OpenFile* open = nullptr;
  SparseFile* open_sparse = nullptr;
};

// All files and directories, in memory: what the checkpoint and the journal together say, and what
// is not in the journal yet. Records are applied by the same code when they are made and when they
// are replayed, so that what comes back is what was. Invariants: every inode but the top one has a
// name or is open; names and entries point at each other; directories have one name, and all hang
// below the top one. Not safe for use by several threads at once: the volume's lock guards it.
class FileTable {
 public:
  static constexpr uint64_t kTopInode = 1;

  explicit FileTable(uint64_t unit_bytes);
  FileTable(const FileTable&) = delete;
  FileTable& operator=(const FileTable&) = delete;

  // The directory of all roots.
  Inode& top() { return *top_; }
  Inode* Find(uint64_t number);
  static Inode* Lookup(const Inode& directory, std::string_view name);
  // Whether `inode` is `directory` or hangs below it.
  static bool IsWithin(const Inode& inode, const Inode& directory);

  // --- records: kCorrupt, and nothing is changed, if one does not fit what is there ---

  Status Apply(const CreateRecord& record);
  Status Apply(const LinkRecord& record);
  // What became free is appended to `freed`. A file that is open becomes an orphan instead.
  Status Apply(const UnlinkRecord& record, std::vector<UnitRange>& freed);
  Status Apply(const RenameRecord& record, std::vector<UnitRange>& freed);
  // Of a file that nobody has open. That its extents are free is not checked here.
  Status Apply(const FileRecord& record);
  // Of a sparse file. What is not mapped any more is appended to `freed`.
  Status Apply(const MapRecord& record, std::vector<UnitRange>& freed);

  // --- what needs no record, or has one made by the caller ---

  // `bytes` are what the journal says from now on.
  void SetCommitted(Inode& inode, uint64_t bytes);
  void AppendExtent(Inode& inode, UnitRange units);
  // One more extent of a sparse file, behind those it has; false if it is not behind them.
  bool AppendRun(Inode& inode, const Extent& run);
  // Cuts what lies beyond the first `units`, and appends it to `freed`.
  void CutExtents(Inode& inode, uint64_t units, std::vector<UnitRange>& freed);
  // The last handle of an orphan is gone.
  void EraseOrphan(Inode& inode, std::vector<UnitRange>& freed);

  // --- loading a checkpoint ---

  // A new inode, without its names; nullptr if there is one of that number.
  Inode* Insert(uint64_t number, InodeKind kind);
  // False: the name is taken, or its parent is no directory.
  bool InsertName(Inode& inode, uint64_t parent, std::string_view name);
  // kCorrupt unless everything hangs below the top directory.
  Status CheckTree() const;

  uint64_t next_inode() const { return next_inode_; }
  void set_next_inode(uint64_t next) { next_inode_ = next; }
  uint64_t unit_bytes() const { return unit_bytes_; }
  uint64_t files() const { return files_; }
  uint64_t directories() const { return directories_; }
  // What a checkpoint of the inodes takes now, at most.
  uint64_t encoded_bytes() const { return encoded_bytes_; }
  const std::map<uint64_t, Inode>& inodes() const { return inodes_; }

  // Told of every inode before what a checkpoint says of it changes; nullptr for nobody.
  void set_scan(TableScan* scan) { scan_ = scan; }

 private:
  Inode* FindDirectory(uint64_t number);
  void Touch(const Inode& inode);
  void AddName(Inode& inode, Inode& parent, std::string_view name);
  void RemoveName(Inode& inode, Directory::iterator entry, Inode& parent);
  // A file without names and handles, a directory without a name: gone.
  void EraseIfUnused(Inode& inode, std::vector<UnitRange>& freed);

  const uint64_t unit_bytes_;
  std::map<uint64_t, Inode> inodes_;
  Inode* top_;
  uint64_t next_inode_ = kTopInode + 1;
  uint64_t files_ = 0;
  uint64_t directories_ = 0;
  uint64_t encoded_bytes_ = 0;
  TableScan* scan_ = nullptr;
};

// What one inode takes in a checkpoint: without names and extents, a name, an extent.
inline constexpr uint64_t kEncodedInodeBytes = 37;
inline constexpr uint64_t EncodedNameBytes(std::string_view name) { return 9 + name.size(); }
inline constexpr uint64_t kEncodedExtentBytes = 12;

}  // namespace tifs::volume
