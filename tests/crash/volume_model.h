#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tifs::volume {

// An operation on a volume, for random and exhaustive sequences.
struct VolumeOp {
  enum class Kind : uint8_t {
    kCreate,
    kAppend,    // `size` bytes
    kWriteAt,   // `size` bytes at `offset`, which may lie beyond the end
    kTruncate,  // to `size`
    kAllocate,  // up to `size`
    kSync,
    kClose,
    kRename,  // to `to`
    kLink,    // as `to`
    kUnlink,
    kMakeDirectory,
    kRemoveDirectory,
    kSyncDirectory,
    kSyncVolume,
    kCheckpoint,
    kReopenVolume,
  };
  Kind kind = Kind::kCreate;
  std::string path;
  std::string to;
  uint64_t offset = 0;
  uint64_t size = 0;
};
std::string OpText(const VolumeOp& op);

// A tree of files: what was read of a volume.
struct TreeEntry {
  bool is_directory = false;
  std::string bytes;
  uint64_t inode = 0;  // the same for names of the same file; 0: has one name
};
using Tree = std::map<std::string, TreeEntry>;

// What the file API promises, without a disk: the state that users see, and for every operation
// done, the state that the journal had then ("logged"). After a crash a volume must hold the logged
// state after some operation that is not older than the last one that made things durable, but that
// bytes which were overwritten in place since a file's last sync may be old or new.
class VolumeModel {
 public:
  // Everything in `tree` is durable.
  explicit VolumeModel(const Tree& tree);

  // Does `op`, which is the next one; `fill` are the bytes of a write. False: it must fail.
  bool Apply(const VolumeOp& op, std::string_view fill);
  // The number of operations so far.
  size_t ops() const { return snapshots_.size() - 1; }
  // Which file a path is; files keep their number when they are renamed.
  std::optional<int> FileAt(const std::string& path) const;
  // Whether that file has a name. Others are only open.
  bool HasName(int file) const;
  const std::set<int>& open_files() const { return open_; }
  const std::string& Bytes(int file) const { return files_.at(file).bytes; }
  // The number that the next file to be created gets.
  int NextFile() const { return next_file_; }
  Tree Visible() const;

  // Whether `found` may be what is there after a crash, when operation `durable` made things
  // durable and operation `begun` was the last to be begun. Else why not.
  std::string Check(const Tree& found, size_t durable, size_t begun) const;

 private:
  struct Event {
    enum class Kind : uint8_t { kWrite, kCut, kSync } kind;
    size_t op;
    uint64_t offset;    // of a cut: the new size
    std::string bytes;  // of a write
  };
  struct ModelFile {
    std::string bytes;
    std::string logged;
    std::vector<Event> events;
  };
  // A path is a directory's, or the file's of that number.
  using Names = std::map<std::string, std::optional<int>>;
  struct Snapshot {
    Names names;
    std::map<int, std::string> logged;
  };

  bool Do(const VolumeOp& op, std::string_view fill);
  bool Write(int file, uint64_t offset, std::string_view bytes);
  bool Truncate(int file, uint64_t size);
  void Sync(int file);
  bool Rename(const std::string& from, const std::string& to);
  bool HasParent(const std::string& path) const;
  bool IsDirectory(const std::string& path) const;
  bool IsEmpty(const std::string& directory) const;
  void TakeSnapshot();
  std::string CheckSnapshot(const Tree& found, size_t at, size_t begun) const;
  bool MayBe(const ModelFile& file, size_t at, size_t begun, uint64_t offset, char byte) const;

  Names names_;
  std::map<int, ModelFile> files_;
  std::set<int> open_;
  int next_file_ = 0;
  std::vector<Snapshot> snapshots_;
};

}  // namespace tifs::volume
