// Prints the golden store that this release makes: make_golden_store values|extents > FILE
#include <cstdio>
#include <cstring>

#include "tests/golden/golden_store.h"

int main(int argc, char** argv) {
  using tifs::golden::Blocks;
  const bool values = argc == 2 && std::strcmp(argv[1], "values") == 0;
  if (!values && (argc != 2 || std::strcmp(argv[1], "extents") != 0)) {
    std::fprintf(stderr, "usage: make_golden_store values|extents\n");
    return 2;
  }
  const auto dump = tifs::golden::MakeGoldenStore(values ? Blocks::kInValues : Blocks::kInDataFile);
  if (!dump) {
    std::fprintf(stderr, "make_golden_store: %s\n", dump.error().ToString().c_str());
    return 1;
  }
  const std::string text = dump->ToText();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
