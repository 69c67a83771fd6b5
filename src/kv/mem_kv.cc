#include "kv/mem_kv.h"

#include "base/check.h"

namespace tifs::kv {
namespace {

class SharedBytes : public Value::Owner {
 public:
  explicit SharedBytes(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}

 private:
  std::shared_ptr<const std::string> bytes_;
};

std::optional<Value> ToValue(std::shared_ptr<const std::string> bytes) {
  if (!bytes) return std::nullopt;
  const std::string_view view = *bytes;
  return Value(view, std::make_unique<SharedBytes>(std::move(bytes)));
}

}  // namespace

class MemTransaction : public Transaction {
 public:
  MemTransaction(MemKv& store, Timestamp snapshot)
      : store_(store), snapshot_(snapshot), buffer_(store.limits()) {}
  ~MemTransaction() override { store_.EndTransaction(snapshot_); }

  Result<std::optional<Value>> Get(std::string_view key) override { return Read(key); }

  Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) override {
    std::vector<std::optional<Value>> values;
    values.reserve(keys.size());
    for (std::string_view key : keys) values.push_back(Read(key));
    return values;
  }

  Status Scan(const KeyRange& range, size_t limit, Direction direction,
              const ScanVisitor& visitor) override;

  Status Put(std::string_view key, std::string_view value) override {
    return buffer_.Put(key, value);
  }
  Status Delete(std::string_view key) override { return buffer_.Delete(key); }
  Status Lock(std::string_view key) override { return buffer_.Lock(key); }

  Status Commit() override {
    CHECK(!ended_);
    ended_ = true;
    Status status = store_.Commit(buffer_, snapshot_);
    committed_ = status.ok();
    return status;
  }
  Result<bool> DetermineCommit() override { return committed_; }
  Timestamp begin_timestamp() override { return snapshot_; }

 private:
  std::optional<Value> Read(std::string_view key) {
    if (const WriteBuffer::Entry* own = buffer_.FindWrite(key)) {
      if (own->deleted) return std::nullopt;
      return Value(std::string(own->value));
    }
    return ToValue(store_.Read(key, snapshot_));
  }

  MemKv& store_;
  const Timestamp snapshot_;
  WriteBuffer buffer_;
  bool ended_ = false;
  bool committed_ = false;
};

// The store's records come in batches, read without the visitor, which may come back into this
// transaction; the own writes are looked up at each step, since the visitor may add to them.
Status MemTransaction::Scan(const KeyRange& range, size_t limit, Direction direction,
                            const ScanVisitor& visitor) {
  constexpr size_t kBatch = 64;
  std::vector<MemKv::Found> batch;
  size_t next = 0;
  bool drained = false;
  std::optional<std::string> last;
  for (size_t visited = 0; limit == 0 || visited < limit;) {
    if (next == batch.size() && !drained) {
      batch = store_.ReadRange(range, direction, last, kBatch, snapshot_);
      next = 0;
      drained = batch.size() < kBatch;
    }
    const auto own = buffer_.NextWrite(range, direction, last);
    const bool has_own = own != buffer_.end();
    const bool has_base = next < batch.size();
    if (!has_own && !has_base) return {};
    std::strong_ordering order = std::strong_ordering::less;  // of the store's against the own
    if (has_own && has_base) order = std::string_view(batch[next].first) <=> own->first;
    if (direction == Direction::kBackward) order = 0 <=> order;
    const bool take_own = has_own && (!has_base || order >= 0);
    if (has_base && (!take_own || order == 0)) ++next;
    if (take_own) {
      last.emplace(own->first);
      if (own->second.deleted) continue;
      ++visited;
      if (!visitor(*last, std::string(own->second.value))) return {};
    } else {
      const MemKv::Found& found = batch[next - 1];
      last.emplace(found.first);
      ++visited;
      if (!visitor(*last, *found.second)) return {};
    }
  }
  return {};
}

Result<std::unique_ptr<Transaction>> MemKv::Begin() {
  MutexLock lock(mutex_);
  snapshots_.insert(last_commit_);
  return std::make_unique<MemTransaction>(*this, last_commit_);
}

Result<std::optional<Value>> MemKv::GetLatest(std::string_view key) {
  return ToValue(Read(key, ~Timestamp{0}));
}

Result<SpaceUsage> MemKv::Space() {
  return SpaceUsage{.total_bytes = uint64_t{1} << 40, .available_bytes = uint64_t{1} << 39};
}

size_t MemKv::VersionCount() {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const auto& [key, record] : records_) {
    count += record.versions.size() + (record.locked > 0 ? 1 : 0);
  }
  return count;
}

MemKv::Bytes MemKv::ReadAt(const Record& record, Timestamp snapshot) {
  for (auto version = record.versions.rbegin(); version != record.versions.rend(); ++version) {
    if (version->committed <= snapshot) return version->value;
  }
  return nullptr;
}

MemKv::Bytes MemKv::Read(std::string_view key, Timestamp snapshot) {
  MutexLock lock(mutex_);
  const auto found = records_.find(key);
  return found == records_.end() ? nullptr : ReadAt(found->second, snapshot);
}

std::vector<MemKv::Found> MemKv::ReadRange(const KeyRange& range, Direction direction,
                                           std::optional<std::string_view> last, size_t count,
                                           Timestamp snapshot) {
  std::vector<Found> found;
  MutexLock lock(mutex_);
  if (direction == Direction::kForward) {
    auto it = last ? records_.upper_bound(*last) : records_.lower_bound(range.begin);
    for (; it != records_.end() && found.size() < count; ++it) {
      if (!range.end.empty() && it->first >= range.end) break;
      if (Bytes value = ReadAt(it->second, snapshot)) found.emplace_back(it->first, value);
    }
    return found;
  }
  auto it = last                ? records_.lower_bound(*last)
            : range.end.empty() ? records_.end()
                                : records_.lower_bound(range.end);
  while (it != records_.begin() && found.size() < count) {
    --it;
    if (it->first < range.begin) break;
    if (Bytes value = ReadAt(it->second, snapshot)) found.emplace_back(it->first, value);
  }
  return found;
}

bool MemKv::Conflicts(const WriteBuffer& buffer, Timestamp snapshot) const {
  for (const auto& [key, entry] : buffer.entries()) {
    const auto found = records_.find(key);
    if (found == records_.end()) continue;
    const Record& record = found->second;
    if (!record.versions.empty() && record.versions.back().committed > snapshot) return true;
    if (entry.written && record.locked > snapshot) return true;
  }
  return false;
}

Status MemKv::Commit(const WriteBuffer& buffer, Timestamp snapshot) {
  if (buffer.empty()) return {};
  MutexLock lock(mutex_);
  if (Conflicts(buffer, snapshot)) return Error(ErrorCode::kConflict, "commit");
  const Timestamp now = ++last_commit_;
  for (const auto& [key, entry] : buffer.entries()) {
    auto it = records_.find(key);
    if (it == records_.end()) it = records_.emplace(std::string(key), Record{}).first;
    Record& record = it->second;
    if (entry.locked) record.locked = now;
    if (entry.written) {
      Bytes value = entry.deleted ? nullptr : std::make_shared<const std::string>(entry.value);
      record.versions.push_back({now, std::move(value)});
    }
    if (entry.locked || entry.deleted || record.versions.size() > 1) {
      garbage_.emplace_back(now, it->first);
    }
  }
  Collect();
  return {};
}

void MemKv::EndTransaction(Timestamp snapshot) {
  MutexLock lock(mutex_);
  snapshots_.erase(snapshots_.find(snapshot));
  Collect();
}

void MemKv::Collect() {
  const Timestamp oldest = snapshots_.empty() ? last_commit_ : *snapshots_.begin();
  while (!garbage_.empty() && garbage_.front().first <= oldest) {
    Prune(garbage_.front().second, oldest);
    garbage_.pop_front();
  }
}

void MemKv::Prune(const std::string& key, Timestamp oldest) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  auto& [versions, locked] = found->second;
  if (locked <= oldest) locked = 0;
  // The newest version that the oldest snapshot sees, and all after it, are needed.
  auto needed = versions.begin();
  for (auto it = versions.begin(); it != versions.end() && it->committed <= oldest; ++it) {
    needed = it;
  }
  if (needed != versions.end() && needed->committed <= oldest && !needed->value) ++needed;
  versions.erase(versions.begin(), needed);
  if (versions.empty() && locked == 0) records_.erase(found);
}

}  // namespace tifs::kv
