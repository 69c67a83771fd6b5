// Prints the golden volume that this release makes: make_golden_volume > FILE
#include <cstdio>

#include "tests/golden/golden_volume.h"

int main() {
  const auto disk = tifs::golden::MakeGoldenVolume();
  if (!disk) {
    std::fprintf(stderr, "make_golden_volume: %s\n", disk.error().ToString().c_str());
    return 1;
  }
  const std::string text = tifs::golden::DiskToText(*disk);
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
