#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace tifs::cli {

// A hidden directory of its own inside another, deleted with all that is in it when this object
// goes. While one lives, SIGINT and SIGTERM only set a flag, so that the deletion is not skipped.
class BenchFolder {
 public:
  // Errors: as mkdir(2).
  static Result<std::unique_ptr<BenchFolder>> Make(const std::string& parent);
  ~BenchFolder();
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;

  const std::string& path() const { return path_; }
  // Deletes it now. Errors: what is left.
  Status Remove();
  // Whether a signal asked to stop.
  static bool Interrupted();

 private:
  explicit BenchFolder(std::string path);

  const std::string path_;
  bool removed_ = false;
};

}  // namespace tifs::cli
