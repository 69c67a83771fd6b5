#include "allocation_count.h"

#include <cstdlib>
#include <new>

namespace tifs::fuzz {
namespace {
thread_local size_t allocated_bytes = 0;
}  // namespace

size_t AllocatedBytes() { return allocated_bytes; }

void* CountedAllocation(size_t size) {
  allocated_bytes += size;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace tifs::fuzz

void* operator new(size_t size) { return tifs::fuzz::CountedAllocation(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
