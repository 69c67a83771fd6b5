#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory_resource>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "kv/kv.h"

namespace tifs::kv {

// What one transaction has put, deleted and locked, sorted by key, for stores that buffer until
// Commit. Made for few keys: the first kilobytes need no heap. Not safe for use by several threads.
class WriteBuffer {
 public:
  struct Entry {
    std::string_view value;
    size_t capacity = 0;   // bytes behind value.data(), so that an overwrite may reuse them
    bool written = false;  // put or deleted; else only locked
    bool deleted = false;
    bool locked = false;
  };
  using Entries = std::pmr::map<std::string_view, Entry>;

  // `limits` must outlive the buffer.
  explicit WriteBuffer(const Limits& limits) : limits_(limits) {}
  WriteBuffer(const WriteBuffer&) = delete;
  WriteBuffer& operator=(const WriteBuffer&) = delete;

  // All copy what they are given; kTooLarge leaves the buffer as it was.
  Status Put(std::string_view key, std::string_view value);
  Status Delete(std::string_view key);
  Status Lock(std::string_view key);

  bool empty() const { return entries_.empty(); }
  const Entries& entries() const { return entries_; }
  // How many entries are written, and the bytes of all keys and values.
  size_t writes() const { return writes_; }
  size_t bytes() const { return bytes_; }

  // The write of this key, or null; a key that is only locked has none.
  const Entry* FindWrite(std::string_view key) const;
  // The first write beyond `last` in the direction (or within the range at all, if there is no
  // `last`) that the range contains; end() if there is none.
  Entries::const_iterator NextWrite(const KeyRange& range, Direction direction,
                                    std::optional<std::string_view> last) const;
  Entries::const_iterator end() const { return entries_.end(); }

 private:
  static constexpr size_t kInlineBytes = 2048;

  Status CheckRoom(std::string_view key, const Entry* old, size_t value_bytes) const;
  Entry& EntryFor(std::string_view key, Entries::iterator found);
  Status Write(std::string_view key, std::string_view value, bool deleted);

  const Limits& limits_;
  alignas(std::max_align_t) std::byte inline_[kInlineBytes];
  std::pmr::monotonic_buffer_resource arena_{inline_, sizeof(inline_)};
  Entries entries_{&arena_};
  size_t writes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tifs::kv
