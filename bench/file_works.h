// Works on many small files: create, stat, readdir, rename, unlink.

#pragma once

#include <string>
#include <vector>

#include "environment.h"

namespace tifs::bench {

class FileWorks {
 public:
  explicit FileWorks(Environment& environment) : environment_(environment) {}

  // The works, in the order in which they need least preparation. They borrow this object.
  std::vector<Work> Works();

 private:
  double CreateByOne();
  double CreateByFour();
  double StatFirst();
  double StatAgain();
  double ReaddirAndStat();
  double Rename();
  double Unlink();

  // What is made stays until the run ends: ext4 passes over recently deleted inodes one by one, so
  // that removing the files of one work would slow the next one down, tenfold at worst. But each
  // work starts with nothing of the earlier ones in the kernel's caches, where an inode costs a
  // pass-through file system a descriptor.
  std::string FreshDirectory(const std::string& name);
  // A directory of `listed_files` files which were made just now.
  std::string FreshFiles(const std::string& name);
  // The same for the works that only look: made once, on disk, their pages not cached.
  void PrepareListing();
  void StatFiles(const std::string& directory) const;

  Environment& environment_;
  uint32_t directories_made_ = 0;
  std::string listing_;  // empty until it is prepared
};

}  // namespace tifs::bench
