#include <vector>

#include "fuzz_target.h"

namespace tifs::fuzz {

std::span<const Target> AllTargets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> targets;
    for (auto some : {SchemaTargets(), RecordTargets(), CommandLineTargets(), VolumeTargets()}) {
      targets.insert(targets.end(), some.begin(), some.end());
    }
    return targets;
  }();
  return all;
}

}  // namespace tifs::fuzz
