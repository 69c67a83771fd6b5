#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace tifs::rocksfs {

// What the databases of a stress run should hold, in a mapped file on another disk, so that it
// outlives the process that is killed. A value is known by its version: each write of a key has the
// next one, and the version alone says which bytes it writes, or that it deletes.
//
// A slot belongs to one thread at a time. It says `pending` before it writes and `acked` when the
// write was answered; what is found after a kill is one or the other.
class ExpectedState {
 public:
  static constexpr uint32_t kInstances = 3;
  static constexpr uint32_t kColumns = 2;
  static constexpr uint32_t kKeys = 1'500;

  struct Slot {
    std::atomic<uint32_t> acked;
    std::atomic<uint32_t> pending;
    std::atomic<uint32_t> last;  // the highest version that was ever used
  };

  // Makes the file if it is not there.
  static Result<ExpectedState> Open(const std::string& path);
  ExpectedState(ExpectedState&& from) noexcept;
  ExpectedState& operator=(ExpectedState&&) = delete;
  ~ExpectedState();

  Slot& At(uint32_t instance, uint32_t column, uint32_t key);
  // Operations done, since the file was made.
  std::atomic<uint64_t>& operations();

  // Of a write that is about to be done.
  static uint32_t Begin(Slot& slot);
  static void Acknowledge(Slot& slot) { slot.acked = slot.pending.load(); }

 private:
  struct Contents;
  explicit ExpectedState(Contents* contents) : contents_(contents) {}

  Contents* contents_;
};

// What a version of a key is; nothing if it is none, or a deletion.
std::optional<std::string> StressValue(uint32_t instance, uint32_t column, uint32_t key,
                                       uint32_t version);

}  // namespace tifs::rocksfs
