#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tests/sim/inode_ops.h"
#include "tests/sim/operation.h"
#include "tests/sim/target.h"

namespace tifs::sim {

// Does over operations on inodes what the kernel does for system calls: walks paths, follows
// symbolic links, keeps the table of open files and checks what they were opened for.
class PathTarget : public Target {
 public:
  // `ops` outlives it.
  explicit PathTarget(InodeOps& ops) : ops_(ops) {}
  // A copy over a copy of the inodes, with the same files open.
  PathTarget(InodeOps& ops, const PathTarget& other) : ops_(ops), slots_(other.slots_) {}

  Outcome Apply(const Operation& operation, bool watch) override;
  void ApplyFailed(const Operation& operation) override;
  Tree Walk(const Interest& interest) override;
  void CloseAll() override;
  std::string Complaint() override { return complaint_; }

 private:
  using Inode = fs::InodeNumber;
  struct Slot {
    Inode inode;  // 0: free
    fs::HandleId handle;
    bool read = false;
    bool write = false;
    bool append = false;
    bool is_directory = false;
  };
  // A last component in its directory.
  struct Place {
    Inode parent;
    std::string name;
  };
  using Watched = std::vector<std::pair<std::string, fs::Attributes>>;

  Result<Place> ResolveParent(std::string_view path);
  Result<Place> FollowAll(Place place);
  // What is at a place, if anything; and why the kernel itself refuses a call, if it does.
  using MaybeFound = std::optional<fs::Attributes>;
  using Refusal = std::optional<ErrorCode>;
  Result<MaybeFound> LookFor(const Place& place);
  Result<Refusal> RefusalToMake(const Place& place);
  Result<Refusal> RefusalToRemove(const Place& place);
  Result<Refusal> RefusalToRename(const Place& from, const Place& to, uint32_t flags);
  Refusal RefusalOfXattr(const fs::Attributes& attributes, std::string_view name, Call call) const;
  Result<bool> IsSameInode(const Place& a, const Place& b);
  Result<bool> IsInside(Inode directory, Inode ancestor);
  Status Settle(const Refusal& refusal, Status own);

  Result<fs::Attributes> Resolve(std::string_view path, bool follow);
  Result<Inode> WalkTo(Inode directory, std::string_view path, int& links);

  Status ApplyNames(const Operation& op, Outcome& outcome);
  Status ApplyRename(const Operation& op);
  Status ApplyMake(const Operation& op, Outcome& outcome);
  Status ApplyFiles(const Operation& op, Outcome& outcome);
  Status ApplyAttributes(const Operation& op, Outcome& outcome);
  Status ApplyXattrs(const Operation& op, Outcome& outcome);
  Status Open(const Operation& op, Outcome& outcome);
  Status OpenInto(Slot& slot, const fs::Attributes& attributes, const Operation& op);
  Status Allocate(const Operation& op);
  Status CopyRange(const Operation& op, Outcome& outcome);
  void Close(Slot& slot);

  Watched BeginWatch(const Operation& op);
  void EndWatch(const Watched& watched, Outcome& outcome);
  void WalkInto(Inode directory, const std::string& path, const Interest& interest, Tree& tree,
                std::map<uint64_t, std::string>& first_paths);
  NodeState StateOf(const fs::Attributes& attributes, const std::string& path,
                    const Interest& interest);
  static Stat ToStat(const fs::Attributes& attributes);

  InodeOps& ops_;
  std::array<Slot, kSlots> slots_;
  fs::OpContext context_;  // of the operation at hand
  std::string complaint_;
};

}  // namespace tifs::sim
