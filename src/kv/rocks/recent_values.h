#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/sync.h"

namespace tifs::kv {

// Small values that were read or written lately, or that there is none for a key, so that reading
// them again costs a copy rather than a search in RocksDB. A fixed table by the key's hash; who
// shares a slot pushes the other out. Safe for use by several threads.
//
// A value carries the number of a commit as of which it is known, and it is the newest: whoever is
// about to write its key takes it out first. So a transaction that has taken its snapshot, and that
// began after that commit, sees this value at the snapshot: had a commit that the snapshot holds
// written the key since, it would have taken the value out before its write, so before the snapshot
// was taken and before the value was looked for.
class RecentValues {
 public:
  static constexpr size_t kSlots = 4096;
  static constexpr size_t kMaxKeyBytes = 128;
  static constexpr size_t kMaxValueBytes = 512;

  // Calls `take` with the key's value, nullptr where the key does not exist, and returns true; or
  // false if it is not known. The caller has a snapshot, taken after it noted that `begun_after`
  // was the last commit.
  template <typename Take>
  bool Find(std::string_view key, uint64_t begun_after, const Take& take) {
    Slot& slot = SlotOf(key);
    MutexLock lock(slot.mutex);
    if (!slot.known || slot.as_of > begun_after || slot.key != key) return false;
    take(slot.exists ? &slot.value : nullptr);
    return true;
  }

  // `value` (absent: none) was read at a snapshot that was taken after it was noted that
  // `begun_after` was the last commit.
  void NoteRead(std::string_view key, std::optional<std::string_view> value, uint64_t begun_after) {
    Slot& slot = SlotOf(key);
    MutexLock lock(slot.mutex);
    // A later write of this slot may be in the snapshot or not: not to be told.
    if (slot.last_write > begun_after) return;
    slot.Set(key, value, begun_after);
  }

  // Around the write of a key by a commit; in the order of commits.
  void BeforeWrite(std::string_view key, uint64_t commit) {
    Slot& slot = SlotOf(key);
    MutexLock lock(slot.mutex);
    slot.last_write = commit;
    if (slot.known && slot.key == key) slot.known = false;
  }
  void AfterWrite(std::string_view key, std::optional<std::string_view> value, uint64_t commit) {
    Slot& slot = SlotOf(key);
    MutexLock lock(slot.mutex);
    slot.Set(key, value, commit);
  }

 private:
  struct Slot {
    Mutex mutex;
    uint64_t last_write = 0;  // the last commit that writes a key of this slot, or was about to
    uint64_t as_of = 0;
    bool known = false;
    bool exists = false;
    std::string key;
    std::string value;

    void Set(std::string_view new_key, std::optional<std::string_view> new_value, uint64_t commit)
        REQUIRES(mutex) {
      known = new_key.size() <= kMaxKeyBytes && (!new_value || new_value->size() <= kMaxValueBytes);
      if (!known) return;
      key.assign(new_key);
      exists = new_value.has_value();
      if (exists) value.assign(*new_value);
      as_of = commit;
    }
  };

  Slot& SlotOf(std::string_view key) { return slots_[std::hash<std::string_view>{}(key) % kSlots]; }

  const std::unique_ptr<Slot[]> slots_ = std::make_unique<Slot[]>(kSlots);
};

}  // namespace tifs::kv
