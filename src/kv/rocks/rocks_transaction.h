#pragma once

#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/kv.h"
#include "kv/rocks/rocks_kv.h"
#include "kv/write_buffer.h"

namespace tifs::kv {

inline rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
inline std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// The bytes behind a PinnableSlice as a Value with one allocation: small ones are copied, large
// ones stay where RocksDB has pinned them. Empties `slice`.
Value TakeValue(rocksdb::PinnableSlice& slice);

// A transaction on RocksKv; see there for the order of its steps.
class RocksTransaction : public Transaction {
 public:
  RocksTransaction(RocksKv& store, uint64_t begun_after)
      : store_(store), begun_after_(begun_after), buffer_(store.limits()) {}
  ~RocksTransaction() override;

  Result<std::optional<Value>> Get(std::string_view key) override;
  Result<std::vector<std::optional<Value>>> BatchGet(
      std::span<const std::string_view> keys) override;
  Status Scan(const KeyRange& range, size_t limit, Direction direction,
              const ScanVisitor& visitor) override;
  Status Put(std::string_view key, std::string_view value) override {
    return buffer_.Put(key, value);
  }
  Status Delete(std::string_view key) override { return buffer_.Delete(key); }
  Status Lock(std::string_view key) override { return buffer_.Lock(key); }
  Status Commit() override;
  Result<bool> DetermineCommit() override { return committed_; }
  Timestamp begin_timestamp() override;

 private:
  // Read options at this transaction's snapshot, which the first call takes.
  const rocksdb::ReadOptions& AtSnapshot();

  RocksKv& store_;
  const uint64_t begun_after_;
  rocksdb::ReadOptions read_options_;
  rocksdb::PinnableSlice scratch_;
  WriteBuffer buffer_;
  bool ended_ = false;
  bool committed_ = false;
};

}  // namespace tifs::kv
