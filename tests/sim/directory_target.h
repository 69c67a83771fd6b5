#pragma once

#include <sys/stat.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/operation.h"
#include "tests/sim/target.h"

namespace tifs::sim {

// A directory of this machine, through system calls: of ext4, or of a mount. The process must be
// root and have one thread, because its user, umask and working directory change with every call.
class DirectoryTarget : public Target {
 public:
  // Makes the directory `path` (0755), which must not exist, and removes it with all that is in it
  // at its end.
  explicit DirectoryTarget(std::string path);
  ~DirectoryTarget() override;

  Outcome Apply(const Operation& operation, bool watch) override;
  void ApplyFailed(const Operation& operation) override;
  Tree Walk(const Interest& interest) override;
  void CloseAll() override;
  std::string Complaint() override { return complaint_; }

 private:
  struct Slot {
    int fd = -1;
    bool is_directory = false;
  };
  // An inode by an O_PATH descriptor, and what it was like.
  struct Watched {
    std::string label;
    int fd;
    struct stat before;
  };

  void ApplyAs(const Operation& op, Outcome& outcome);
  // Each returns what the system call does, -1 with errno.
  int64_t ApplyNames(const Operation& op, Outcome& outcome);
  int64_t ApplyAttributes(const Operation& op);
  int64_t ApplyXattrs(const Operation& op, Outcome& outcome);
  int64_t ApplyFiles(const Operation& op, Outcome& outcome);
  int64_t Open(const Operation& op, Outcome& outcome);
  int64_t CopyRange(const Operation& op);
  void AddStat(const Operation& op, Outcome& outcome);
  void Close(Slot& slot);
  std::vector<Watched> BeginWatch(const Operation& op);
  void EndWatch(const std::vector<Watched>& watched, Outcome& outcome);

  void WalkInto(const std::string& path, const Interest& interest, Tree& tree,
                std::map<uint64_t, std::string>& first_paths);
  NodeState StateOf(const std::string& path, const struct stat& stat, const Interest& interest);

  const std::string path_;
  int root_fd_;
  std::array<Slot, kSlots> slots_;
  std::string complaint_;
};

}  // namespace tifs::sim
