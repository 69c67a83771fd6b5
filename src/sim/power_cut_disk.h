#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/sync.h"
#include "sim/power_supply.h"

namespace tifs::sim {

// Which call on a PowerCutDisk it was, for those who let a call lie.
enum class SyncKind : uint8_t { kFile, kDirectory };

// A local file system in memory that remembers what was synced and can lose power.
//
// What a sync promises, and nothing more:
//   - File::Sync       the file's bytes and length. Not its name: that takes a sync of the
//   directory.
//   - SyncDirectory    the creations, renames, links and removals in that directory until then.
// When the power goes, each file on its own keeps its synced state and, of the writes since, none,
// all, a prefix, or any torn subset (by sectors, with garbage where a length survived its bytes);
// each change of a directory, on its own, happened or did not. A rename is whole or not at all.
//
// Paths are absolute, components parted by '/'. Safe for use by several threads.
class PowerCutDisk : private PowerSupply::Medium {
 private:
  struct Node;

 public:
  // An open file. All calls fail with kIo once the power went, also after it is back.
  class File {
   public:
    // Returns how many bytes there were from `offset_bytes` on, at most out.size().
    Result<size_t> Read(uint64_t offset_bytes, std::span<char> out) const;
    Status Write(uint64_t offset_bytes, std::string_view data);
    Status Append(std::string_view data);
    // Extends with zeros or cuts.
    Status Truncate(uint64_t size_bytes);
    Status Sync();
    Result<uint64_t> Size() const;

   private:
    friend class PowerCutDisk;
    File(PowerCutDisk& disk, std::shared_ptr<Node> node, std::string path, uint64_t generation)
        : disk_(disk), node_(std::move(node)), path_(std::move(path)), generation_(generation) {}

    PowerCutDisk& disk_;
    const std::shared_ptr<Node> node_;
    const std::string path_;  // as it was opened, for `LieAboutSync`
    const uint64_t generation_;
  };

  struct OpenMode {
    bool create = false;
    bool exclusive = false;  // with create: kExists if it is there
    bool truncate = false;
    // What a lost write leaves in a part of the file that was never written: zeros, as journalled
    // file systems promise, not what lay there on the disk before. Stays with the file.
    bool unwritten_reads_zeros = false;
    // Of the unsynced writes a prefix survives, the last one perhaps in part: as appends do on a
    // file system that writes data before the length that covers it (ext4 data=ordered, XFS,
    // btrfs). Stays with the file.
    bool in_order = false;
  };

  // With a power of its own, or with that of other media.
  PowerCutDisk();
  explicit PowerCutDisk(PowerSupply& power);
  ~PowerCutDisk() override;

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode);
  Status MakeDirectory(const std::string& path);
  Status RemoveDirectory(const std::string& path);
  Status Remove(const std::string& path);
  // Replaces a file at `to`. Two names of one file stay so, as POSIX has it.
  Status Rename(const std::string& from, const std::string& to);
  Status Link(const std::string& from, const std::string& to);
  Status SyncDirectory(const std::string& path);
  Result<std::vector<std::string>> List(const std::string& path) const;
  // kNotFound if there is none; nothing for a directory.
  Result<std::optional<uint64_t>> FileSize(const std::string& path) const;
  // An exclusive advisory lock by name, gone with the power. kBusy if it is held.
  Status Lock(const std::string& path);
  void Unlock(const std::string& path);

  // The power goes at the `calls`-th changing call from now (0: at once): that call may or may not
  // have its effect, fails, and so does every later one, reads included.
  void CutAfter(uint64_t calls);
  bool IsOff() const;
  // What the platters hold, chosen by `random`, becomes the disk's contents; works again. So do
  // all media that share its power.
  void PowerOn(Random& random);

  // Changing calls so far: what CutAfter counts.
  uint64_t calls() const;
  // For experiments: syncs for which `lie` is true report success and do nothing. Empty: none.
  void LieAboutSync(std::function<bool(SyncKind kind, std::string_view path)> lie);
  uint64_t syncs_lied_about() const;

 private:
  // One unsynced write (or, without data, a change of length).
  struct PendingWrite {
    uint64_t offset_bytes;
    std::optional<std::string> data;
  };
  struct Node {
    bool is_directory = false;
    bool unwritten_reads_zeros = false;
    bool in_order = false;
    // Files: as reads see it; as of the last sync; what happened since, in order.
    std::string content;
    std::string durable;
    std::vector<PendingWrite> pending;
    // Directories.
    std::map<std::string, std::shared_ptr<Node>> entries;
    std::map<std::string, std::shared_ptr<Node>> durable_entries;
  };
  // An entry set (or, without a node, removed) by an unsynced operation.
  struct EntryChange {
    std::shared_ptr<Node> directory;
    std::string name;
    std::shared_ptr<Node> node;
  };
  using DirectoryOperation = std::vector<EntryChange>;

  struct Place {
    std::shared_ptr<Node> directory;
    std::string name;
  };

  void Survive(Random& random) override;
  static void Apply(std::string& content, const PendingWrite& write);
  Status Changing() REQUIRES(mutex_);
  Status CheckAlive() const REQUIRES(mutex_);
  Status CheckAlive(const File& file) const REQUIRES(mutex_);
  Result<std::shared_ptr<Node>> Find(const std::string& path) const REQUIRES(mutex_);
  Result<Place> FindPlace(const std::string& path) const REQUIRES(mutex_);
  void Change(DirectoryOperation operation) REQUIRES(mutex_);
  Status WriteTo(const File& file, PendingWrite write);
  Status SyncFile(const File& file);
  void SurviveDirectories(Random& random) REQUIRES(mutex_);
  static void SurviveFile(Node& file, Random& random);
  std::shared_ptr<Node> Rebuild(const Node& node,
                                std::map<const Node*, std::shared_ptr<Node>>& rebuilt,
                                Random& random) REQUIRES(mutex_);

  const std::unique_ptr<PowerSupply> own_power_;  // null if it is shared
  PowerSupply& power_;
  mutable Mutex mutex_;
  std::shared_ptr<Node> root_ GUARDED_BY(mutex_);
  std::vector<DirectoryOperation> pending_ GUARDED_BY(mutex_);
  std::set<std::string> locks_ GUARDED_BY(mutex_);
  std::function<bool(SyncKind, std::string_view)> lie_ GUARDED_BY(mutex_);
  uint64_t lies_ GUARDED_BY(mutex_) = 0;
  // Rises when the power comes back; files opened before are dead.
  uint64_t generation_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tifs::sim
