// Works of real programs: SQLite, git, rm.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "environment.h"

namespace tifs::bench {

class ProgramWorks {
 public:
  explicit ProgramWorks(Environment& environment) : environment_(environment) {}

  // The works, in the order in which they need least preparation. They borrow this object.
  std::vector<Work> Works();

 private:
  double SqliteTransactions();
  double GitClone();
  double GitStatusAgain();
  double RemoveClone();

  std::string ClonePath() const { return environment_.directory + "/clone"; }
  void PrepareClone();
  double CloneSeconds();

  Environment& environment_;
  uint32_t databases_made_ = 0;
};

// Makes at `path` a git repository whose working tree has about `size_bytes`: text files in
// directories, ten commits, packed. The same seed gives the same commits.
void GenerateRepository(const std::string& path, uint64_t size_bytes, uint64_t seed);

}  // namespace tifs::bench
