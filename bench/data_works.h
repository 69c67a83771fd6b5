// Works on one large file: sequential and random, reading and writing.

#pragma once

#include <string>
#include <vector>

#include "environment.h"

namespace tifs::bench {

class DataWorks {
 public:
  explicit DataWorks(Environment& environment) : environment_(environment) {}

  // The works, in the order in which they need least preparation. They borrow this object.
  std::vector<Work> Works();

 private:
  double SequentialWrite();
  double SequentialReadCold();
  double SequentialReadWarm();
  double RandomRead(uint32_t jobs);
  double RandomWrite();

  std::string Path() const { return environment_.directory + "/large"; }
  double FileMebibytes() const;
  void PrepareFile();
  double WriteFile() const;  // seconds, fsync and close included
  double ReadFile() const;   // seconds

  Environment& environment_;
};

}  // namespace tifs::bench
