#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace tifs::cli {

inline constexpr char kOwnerFileName[] = "tifs.owner";

// Who works on a store.
struct OwnerRecord {
  pid_t pid = 0;
  std::string activity;     // "mount", "fsck", "gc", "format", "info"
  std::string mount_point;  // of a mount, once it is being made
  std::string socket;       // where a mount answers; see control_socket.h
  std::string since;        // RFC 3339, UTC
};

// The file `tifs.owner` in a store's directory: locked (flock) by the process that works on the
// store, and naming it, so that whoever is refused can be told by whom. The lock dies with its
// process; what a crashed one wrote stays and is read by nobody, for the file is not locked then.
// What keeps two processes off the data even without us is the store's own lock.
class StoreOwner {
 public:
  // Takes the lock and writes `record` (pid and since are filled in). Errors: kBusy if another has
  // it; others as open(2).
  static Result<std::unique_ptr<StoreOwner>> Claim(const std::string& directory,
                                                   OwnerRecord record);
  // Who has the store; nothing if nobody has.
  static Result<std::optional<OwnerRecord>> Read(const std::string& directory);

  // Says what this process does now.
  Status Update(const OwnerRecord& record);
  // Whether the last owner ended without letting go.
  bool predecessor_died() const { return predecessor_died_; }
  const OwnerRecord& record() const { return record_; }

  // Empties the file and lets go.
  ~StoreOwner();
  StoreOwner(const StoreOwner&) = delete;
  StoreOwner& operator=(const StoreOwner&) = delete;

 private:
  StoreOwner(int fd, OwnerRecord record) : fd_(fd), record_(std::move(record)) {}

  const int fd_;
  OwnerRecord record_;
  bool predecessor_died_ = false;
};

}  // namespace tifs::cli
