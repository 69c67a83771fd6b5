#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace tifs::internal {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "tifs: %s:%d: CHECK failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace tifs::internal
