#include "tests/volume/expected_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "base/random.h"
#include "block/unique_fd.h"

namespace tifs::rocksfs {

struct ExpectedState::Contents {
  std::atomic<uint64_t> operations;
  Slot slots[kInstances][kColumns][kKeys];
};

Result<ExpectedState> ExpectedState::Open(const std::string& path) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
  const block::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.get() < 0 || ftruncate(fd.get(), sizeof(Contents)) != 0) {
    return ErrorFromErrno(errno, "expected state", path);
  }
  void* mapped = mmap(nullptr, sizeof(Contents), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return ErrorFromErrno(errno, "expected state", path);
  return ExpectedState(static_cast<Contents*>(mapped));
}

ExpectedState::ExpectedState(ExpectedState&& from) noexcept
    : contents_(std::exchange(from.contents_, nullptr)) {}

ExpectedState::~ExpectedState() {
  if (contents_ != nullptr) munmap(contents_, sizeof(Contents));
}

ExpectedState::Slot& ExpectedState::At(uint32_t instance, uint32_t column, uint32_t key) {
  return contents_->slots[instance][column][key];
}

std::atomic<uint64_t>& ExpectedState::operations() { return contents_->operations; }

uint32_t ExpectedState::Begin(Slot& slot) {
  const uint32_t version = slot.last + 1;
  slot.last = version;
  slot.pending = version;
  return version;
}

std::optional<std::string> StressValue(uint32_t instance, uint32_t column, uint32_t key,
                                       uint32_t version) {
  if (version % 6 == 0) return std::nullopt;
  Random random(((uint64_t{instance} * 7 + column) * 65'537 + key) * 1'000'003 + version);
  std::string value = std::to_string(instance) + "/" + std::to_string(column) + "/" +
                      std::to_string(key) + "/" + std::to_string(version) + "/";
  // A few are large; they are blobs where there are any.
  const size_t size = value.size() + random.Below(random.OneIn(8) ? 12'000 : 600);
  while (value.size() < size) value += static_cast<char>(random.Next());
  return value;
}

}  // namespace tifs::rocksfs
