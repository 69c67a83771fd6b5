#pragma once

// CHECK aborts in every build: for invariants of our own code whose breach would lead to wrong
// data. DCHECK does so in debug builds only. Neither is ever applied to data from disk, store or
// network.
namespace tifs::internal {
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
}  // namespace tifs::internal

#define CHECK(condition) \
  ((condition) ? (void)0 : ::tifs::internal::CheckFailed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define DCHECK(condition) ((void)sizeof(!(condition)))
#else
#define DCHECK(condition) CHECK(condition)
#endif
