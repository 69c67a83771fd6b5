#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace tifs::kv {

// When a key was last written and last locked, in numbers of commits, remembered in a fixed table
// by the key's hash. Two keys that share a slot share their stamps, so a check may see a conflict
// that is none (the transaction runs again), never miss one. The caller serialises all calls.
class ConflictTable {
 public:
  using Slot = uint32_t;
  static constexpr Slot kSlots = 1 << 18;

  static Slot SlotOf(std::string_view key) {
    return static_cast<Slot>(std::hash<std::string_view>{}(key)) % kSlots;
  }

  // Whether a write or a lock of this key would conflict with a commit after number `since`.
  bool WriteConflicts(Slot slot, uint64_t since) const {
    return stamps_[slot].written > since || stamps_[slot].locked > since;
  }
  bool LockConflicts(Slot slot, uint64_t since) const { return stamps_[slot].written > since; }

  void StampWrite(Slot slot, uint64_t commit) { stamps_[slot].written = commit; }
  void StampLock(Slot slot, uint64_t commit) { stamps_[slot].locked = commit; }

 private:
  struct Stamps {
    uint64_t written = 0;
    uint64_t locked = 0;
  };

  std::unique_ptr<Stamps[]> stamps_ = std::make_unique<Stamps[]>(kSlots);
};

}  // namespace tifs::kv
