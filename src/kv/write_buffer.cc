#include "kv/write_buffer.h"

#include <cstring>

namespace tifs::kv {
namespace {

char* CopyBytes(std::pmr::memory_resource& arena, std::string_view bytes) {
  auto* copy = static_cast<char*>(arena.allocate(bytes.size(), 1));
  std::memcpy(copy, bytes.data(), bytes.size());
  return copy;
}

}  // namespace

Status WriteBuffer::CheckRoom(std::string_view key, const Entry* old, size_t value_bytes) const {
  if (key.size() > limits_.max_key_bytes) return Error(ErrorCode::kTooLarge, "key");
  if (value_bytes > limits_.max_value_bytes) return Error(ErrorCode::kTooLarge, "value");
  const size_t before = old ? key.size() + old->value.size() : 0;
  if (bytes_ - before + key.size() + value_bytes > limits_.max_transaction_bytes) {
    return Error(ErrorCode::kTooLarge, "transaction");
  }
  return {};
}

WriteBuffer::Entry& WriteBuffer::EntryFor(std::string_view key, Entries::iterator found) {
  if (found != entries_.end() && found->first == key) return found->second;
  const std::string_view copy(CopyBytes(arena_, key), key.size());
  bytes_ += key.size();
  return entries_.emplace_hint(found, copy, Entry{})->second;
}

Status WriteBuffer::Write(std::string_view key, std::string_view value, bool deleted) {
  const auto found = entries_.lower_bound(key);
  const bool exists = found != entries_.end() && found->first == key;
  TRY(CheckRoom(key, exists ? &found->second : nullptr, value.size()));
  Entry& entry = EntryFor(key, found);
  bytes_ += value.size();
  bytes_ -= entry.value.size();
  if (value.size() <= entry.capacity) {
    char* place = const_cast<char*>(entry.value.data());
    if (!value.empty()) std::memmove(place, value.data(), value.size());
    entry.value = {place, value.size()};
  } else {
    entry.value = {CopyBytes(arena_, value), value.size()};
    entry.capacity = value.size();
  }
  writes_ += entry.written ? 0 : 1;
  entry.written = true;
  entry.deleted = deleted;
  return {};
}

Status WriteBuffer::Put(std::string_view key, std::string_view value) {
  return Write(key, value, false);
}

Status WriteBuffer::Delete(std::string_view key) { return Write(key, {}, true); }

Status WriteBuffer::Lock(std::string_view key) {
  const auto found = entries_.lower_bound(key);
  const bool exists = found != entries_.end() && found->first == key;
  TRY(CheckRoom(key, exists ? &found->second : nullptr, exists ? found->second.value.size() : 0));
  EntryFor(key, found).locked = true;
  return {};
}

const WriteBuffer::Entry* WriteBuffer::FindWrite(std::string_view key) const {
  if (entries_.empty()) return nullptr;
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second.written ? &found->second : nullptr;
}

WriteBuffer::Entries::const_iterator WriteBuffer::NextWrite(
    const KeyRange& range, Direction direction, std::optional<std::string_view> last) const {
  if (direction == Direction::kForward) {
    auto it = last ? entries_.upper_bound(*last) : entries_.lower_bound(range.begin);
    while (it != entries_.end() && !it->second.written) ++it;
    const bool inside = it != entries_.end() && (range.end.empty() || it->first < range.end);
    return inside ? it : entries_.end();
  }
  auto it = last                ? entries_.lower_bound(*last)
            : range.end.empty() ? entries_.end()
                                : entries_.lower_bound(range.end);
  while (it != entries_.begin()) {
    --it;
    if (it->first < range.begin) break;
    if (it->second.written) return it;
  }
  return entries_.end();
}

}  // namespace tifs::kv
