#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/store_owner.h"
#include "cli/uri.h"

// Which processes of this machine work on a file system of a cluster: each has a directory in the
// run-time directory, named after the file system and the process, with the file `tifs.owner` that
// an embedded store has in its own directory. It is how commands find the mounts of this machine;
// what other machines do is in the store.
namespace tifs::cli {

// The directory of one process for one file system.
std::string ClusterOwnerDirectory(const Uri& uri, pid_t pid);

// The claim of this process; any number of processes may have one.
class ClusterOwner {
 public:
  // Errors are explained.
  static Result<std::unique_ptr<ClusterOwner>> Claim(const Uri& uri, OwnerRecord record);
  // Removes the directory, unless a failure was noted in it.
  ~ClusterOwner();
  ClusterOwner(const ClusterOwner&) = delete;
  ClusterOwner& operator=(const ClusterOwner&) = delete;

  StoreOwner& owner() { return *owner_; }
  const std::string& directory() const { return directory_; }

 private:
  ClusterOwner(std::string directory, std::unique_ptr<StoreOwner> owner)
      : directory_(std::move(directory)), owner_(std::move(owner)) {}

  const std::string directory_;
  std::unique_ptr<StoreOwner> owner_;
};

// The processes that have it now, in no order.
Result<std::vector<OwnerRecord>> ClusterOwnersOf(const Uri& uri);

}  // namespace tifs::cli
