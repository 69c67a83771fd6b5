#include "fs/data/deferred_writes.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/coding.h"
#include "base/log.h"

namespace tifs::fs {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kDeletesAtOnce = 1024;
// What the store needs for a key besides its value, so that many tiny writes count, too.
constexpr uint64_t kKeyOverheadBytes = 128;

}  // namespace

std::string DeferredValue::Encode() const {
  std::string value;
  value.reserve(1 + 8 + data.size());
  Encoder encoder(value);
  encoder.Fixed(kVersion);
  encoder.Fixed(offset_bytes);
  encoder.Raw(data);
  return value;
}

Result<DeferredValue> DeferredValue::Decode(std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  DeferredValue write;
  write.offset_bytes = decoder.Fixed<uint64_t>();
  if (!decoder.ok() || version != kVersion) return Error(ErrorCode::kCorrupt, "deferred write");
  write.data = decoder.Rest();
  return write;
}

void DeferredWrites::Attach(kv::Store& store, const Schema& schema, Clock& clock) {
  runner_.emplace(store, clock);
  schema_ = &schema;
}

Status DeferredWrites::Replay(ExtentDevice& device, uint64_t end_bytes, bool read_only) {
  const KeySpan all = schema_->AllOf(Schema::Scope::kDeferred);
  std::vector<DeferredWrite> done;
  const auto write_again = [&](std::string_view key, std::string_view value) -> Status {
    const auto number = schema_->ParseDeferred(key);
    const auto write = DeferredValue::Decode(value);
    if (number) next_number_ = std::max(next_number_.load(), *number + 1);
    if (!number || !write || write->offset_bytes > end_bytes ||
        write->data.size() > end_bytes - write->offset_bytes) {
      LogError("corrupt deferred write at key \"{}\"", EscapeForLog(key));
      return {};
    }
    if (read_only) {
      return Error(ErrorCode::kReadOnly, "open",
                   "writes that a crash cut off have to be done first");
    }
    done.push_back({*number, 0});
    return device.Write(write->offset_bytes, write->data);
  };
  TRY(runner_->Read([&](kv::Transaction& txn) -> Status {
    done.clear();
    Status written;
    TRY(txn.Scan(all.range(), 0, kv::Direction::kForward,
                 [&](std::string_view key, std::string_view value) {
                   written = write_again(key, value);
                   return written.ok();
                 }));
    return written;
  }));
  if (done.empty()) return {};
  LogInfo("data file: {} writes from before a crash were done again", done.size());
  TRY(device.Sync());
  TRY(Delete(std::move(done)));
  return runner_->store().Sync();
}

Status DeferredWrites::Put(BlockTransaction& txn, uint64_t offset_bytes, std::string_view data) {
  const uint64_t number = next_number_.fetch_add(1, std::memory_order_relaxed);
  TRY(txn.kv.Put(schema_->Deferred(number), DeferredValue{offset_bytes, data}.Encode()));
  txn.deferred.push_back({number, data.size() + kKeyOverheadBytes});
  window_bytes_.fetch_add(data.size(), std::memory_order_relaxed);
  return {};
}

void DeferredWrites::Committed(const BlockTransaction& txn) { PutBack(txn.deferred); }

std::vector<DeferredWrite> DeferredWrites::Take() {
  MutexLock lock(mutex_);
  kept_bytes_.store(0, std::memory_order_relaxed);
  return std::exchange(committed_, {});
}

void DeferredWrites::PutBack(std::vector<DeferredWrite> taken) {
  MutexLock lock(mutex_);
  for (const DeferredWrite& write : taken) {
    committed_.push_back(write);
    kept_bytes_.fetch_add(write.size_bytes, std::memory_order_relaxed);
  }
}

Status DeferredWrites::Delete(std::vector<DeferredWrite> taken) {
  while (!taken.empty()) {
    const size_t first = taken.size() - std::min(taken.size(), kDeletesAtOnce);
    if (Status deleted = DeleteSome(std::span(taken).subspan(first)); !deleted) {
      PutBack(std::move(taken));
      return deleted;
    }
    taken.resize(first);
  }
  return {};
}

Status DeferredWrites::DeleteSome(std::span<const DeferredWrite> writes) {
  return runner_->Run([&](kv::Transaction& txn) -> Status {
    for (const DeferredWrite& write : writes) TRY(txn.Delete(schema_->Deferred(write.number)));
    return {};
  });
}

}  // namespace tifs::fs
