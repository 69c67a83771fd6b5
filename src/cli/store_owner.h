#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace tifs::cli {

inline constexpr char kOwnerFileName[] = "tifs.owner";

// How a process that had a store ended, where it did not end well.
struct OwnerFailure {
  pid_t pid = 0;
  std::string reason;  // empty: it died, or could not say
};

// Who works on a store.
struct OwnerRecord {
  pid_t pid = 0;
  std::string activity;     // "mount", "fsck", "gc", "format", "info"
  std::string mount_point;  // of a mount, once it is being made
  std::string socket;       // where a mount answers; see control_socket.h
  std::string since;        // RFC 3339, UTC
  // Of the owner before, for whoever still waits to hear how that one ended.
  std::optional<OwnerFailure> previous;
};

// The file `tifs.owner` in a store's directory: locked (flock) by the process that works on the
// store, and naming it, so that whoever is refused can be told by whom. The lock dies with its
// process, and an owner that ends well leaves the file empty: what is in a file that is not locked
// says that its last owner died, or what it failed at. What keeps two processes off the data even
// without us is the store's own lock. Where the file system below is read-only, the record is in a
// file of the run-time directory meanwhile.
class StoreOwner {
 public:
  // Takes the lock and writes `record` (pid and since are filled in). Errors: kBusy if another has
  // it; others as open(2).
  static Result<std::unique_ptr<StoreOwner>> Claim(const std::string& directory,
                                                   OwnerRecord record);
  // Who has the store; nothing if nobody has.
  static Result<std::optional<OwnerRecord>> Read(const std::string& directory);
  // How `pid`, an owner that has ended, failed; nothing if it ended well. To be asked soon after:
  // the file remembers one owner besides the one that has the store.
  static std::optional<OwnerFailure> FailureOf(const std::string& directory, pid_t pid);

  // Says what this process does now.
  Status Update(const OwnerRecord& record);
  // Leaves `reason` behind when it lets go, for FailureOf and the next owner.
  void NoteFailure(std::string reason);
  // How the last owner failed, unless it ended well.
  const std::optional<OwnerFailure>& predecessor_failure() const { return record_.previous; }
  const OwnerRecord& record() const { return record_; }

  // Empties the file, unless a failure was noted, and lets go.
  ~StoreOwner();
  StoreOwner(const StoreOwner&) = delete;
  StoreOwner& operator=(const StoreOwner&) = delete;

 private:
  StoreOwner(int fd, OwnerRecord record) : fd_(fd), record_(std::move(record)) {}

  Status Write();

  const int fd_;
  OwnerRecord record_;
  std::string beside_;  // where the record is, if not in the store
  std::optional<std::string> failure_;
};

}  // namespace tifs::cli
