// libFuzzer's entry: one program a target, named by TIFS_FUZZ_TARGET.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const tifs::fuzz::Target* const target = [] {
    for (const auto& candidate : tifs::fuzz::AllTargets()) {
      if (std::strcmp(candidate.name, TIFS_FUZZ_TARGET) == 0) return &candidate;
    }
    std::fprintf(stderr, "no fuzz target '%s'\n", TIFS_FUZZ_TARGET);
    std::abort();
  }();
  const std::string problem =
      target->run(std::string_view(reinterpret_cast<const char*>(bytes), size));
  if (!problem.empty()) {
    std::fprintf(stderr, "%s: %s\n", target->name, problem.c_str());
    std::abort();
  }
  return 0;
}
