#include "tests/volume/stress_instance.h"

#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/coding.h"

namespace tifs::rocksfs {

std::string StressInstance::KeyText(uint32_t key) {
  char text[16];
  std::snprintf(text, sizeof text, "key%06u", key);
  return text;
}

std::string StressInstance::Failure(const char* what, const rocksdb::Status& status) const {
  return status.ok() ? "" : path_ + ", " + what + ": " + status.ToString();
}

std::string StressInstance::Name(const Target& target) const {
  return path_ + ", column " + std::to_string(target.column) + ", " + KeyText(target.key);
}

// --- opening ---

std::string StressInstance::Open(rocksdb::Env& env, Random& random) {
  options_ = {};
  options_.env = &env;
  options_.create_if_missing = true;
  options_.create_missing_column_families = true;
  options_.write_buffer_size = 128 << 10;
  options_.target_file_size_base = 128 << 10;
  options_.max_bytes_for_level_base = 512 << 10;
  options_.max_background_jobs = 2;
  options_.compression = rocksdb::kNoCompression;
  options_.use_direct_reads = random.OneIn(2);
  options_.use_direct_io_for_flush_and_compaction = random.OneIn(2);
  // RocksDB asserts that not both are asked for.
  options_.allow_mmap_reads = !options_.use_direct_reads &&
                              !options_.use_direct_io_for_flush_and_compaction && random.OneIn(4);
  options_.bytes_per_sync = random.OneIn(2) ? 64 << 10 : 0;
  options_.max_open_files = random.OneIn(2) ? -1 : 20;
  options_.max_manifest_file_size = 16 << 10;
  // What a database was made with stays with it.
  options_.enable_blob_files = number_ == 1;
  options_.min_blob_size = 1'000;
  options_.enable_blob_garbage_collection = true;
  if (number_ == 2) options_.compaction_style = rocksdb::kCompactionStyleUniversal;
  families_ = {{rocksdb::kDefaultColumnFamilyName, options_}, {"other", options_}};
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options_, path_, families_, &columns_, &db);
  db_.reset(db);
  return Failure("open", status);
}

void StressInstance::Close() {
  for (rocksdb::ColumnFamilyHandle* column : columns_) {
    db_->DestroyColumnFamilyHandle(column).PermitUncheckedError();
  }
  columns_.clear();
  db_.reset();
}

// --- looking ---

std::string StressInstance::Judge(const Target& target, const rocksdb::Status& status,
                                  const std::string& value, uint32_t version) const {
  if (!status.ok() && !status.IsNotFound()) return Name(target) + ": " + status.ToString();
  const auto expected = StressValue(number_, target.column, target.key, version);
  if (status.ok() == expected.has_value() && (!expected || *expected == value)) return "";
  return Name(target) + " should be of version " + std::to_string(version) + ", and is " +
         (status.ok() ? EscapeForLog(value.substr(0, 40)) : std::string("absent"));
}

std::string StressInstance::VerifyKey(const Target& target) {
  ExpectedState::Slot& slot = SlotOf(target);
  std::string value;
  const rocksdb::Status status = db_->Get({}, columns_[target.column], KeyText(target.key), &value);
  const std::string why = Judge(target, status, value, slot.acked);
  if (why.empty()) {
    slot.pending = slot.acked.load();
    return "";
  }
  if (slot.pending == slot.acked || !Judge(target, status, value, slot.pending).empty()) {
    return why + "; pending is " + std::to_string(slot.pending);
  }
  ExpectedState::Acknowledge(slot);
  return "";
}

std::string StressInstance::VerifyAll() {
  for (uint32_t column = 0; column < ExpectedState::kColumns; ++column) {
    for (uint32_t key = 0; key < ExpectedState::kKeys; ++key) {
      if (std::string why = VerifyKey({column, key}); !why.empty()) return why;
    }
    // And nothing else.
    const std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator({}, columns_[column]));
    uint32_t key = 0;
    for (each->SeekToFirst(); each->Valid(); each->Next(), ++key) {
      const auto has_value = [&] {
        const uint32_t version = expected_.At(number_, column, key).acked;
        return StressValue(number_, column, key, version).has_value();
      };
      while (key < ExpectedState::kKeys && !has_value()) ++key;
      if (key == ExpectedState::kKeys || each->key() != KeyText(key)) {
        return path_ + " has a key " + each->key().ToString();
      }
    }
    if (!each->status().ok()) return Failure("iterate", each->status());
  }
  return "";
}

// --- operations ---

StressInstance::Target StressInstance::Pick(uint32_t part, uint32_t parts, Random& random) const {
  const uint32_t mine = ExpectedState::kKeys / parts;
  return {static_cast<uint32_t>(random.Below(ExpectedState::kColumns)),
          static_cast<uint32_t>(random.Below(mine)) * parts + part};
}

std::string StressInstance::Step(uint32_t part, uint32_t parts, Random& random) {
  const uint64_t kind = random.Below(1'000);
  if (kind < 3) return Ingest(part, parts, random);
  if (kind < 5) return Copy(part, parts);
  if (kind < 10) return Maintain(random);
  if (kind < 30) return Scan(part, parts, random);
  if (kind < 80) return ReadMany(part, parts, random);
  if (kind < 300) return Read(part, parts, random);
  return Write(part, parts, random);
}

std::string StressInstance::Write(uint32_t part, uint32_t parts, Random& random) {
  std::vector<Target> targets;
  for (uint64_t count = random.OneIn(8) ? 1 + random.Below(10) : 1; count != 0; --count) {
    targets.push_back(Pick(part, parts, random));
  }
  rocksdb::WriteBatch batch;
  for (const Target& target : targets) {
    const uint32_t version = ExpectedState::Begin(SlotOf(target));
    const auto value = StressValue(number_, target.column, target.key, version);
    rocksdb::ColumnFamilyHandle* const column = columns_[target.column];
    const rocksdb::Status added = value ? batch.Put(column, KeyText(target.key), *value)
                                        : batch.Delete(column, KeyText(target.key));
    if (!added.ok()) return Failure("batch", added);
  }
  rocksdb::WriteOptions options;
  options.sync = random.OneIn(20);
  if (std::string why = Failure("write", db_->Write(options, &batch)); !why.empty()) return why;
  for (const Target& target : targets) ExpectedState::Acknowledge(SlotOf(target));
  return "";
}

std::string StressInstance::Read(uint32_t part, uint32_t parts, Random& random) {
  const Target target = Pick(part, parts, random);
  std::string value;
  const rocksdb::Status status = db_->Get({}, columns_[target.column], KeyText(target.key), &value);
  return Judge(target, status, value, SlotOf(target).acked);
}

std::string StressInstance::ReadMany(uint32_t part, uint32_t parts, Random& random) {
  std::vector<Target> targets;
  std::vector<std::string> names;
  for (int i = 0; i < 16; ++i) {
    targets.push_back(Pick(part, parts, random));
    targets.back().column = targets[0].column;
    names.push_back(KeyText(targets.back().key));
  }
  std::vector<rocksdb::Slice> keys(names.begin(), names.end());
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet({}, columns_[targets[0].column], keys.size(), keys.data(), values.data(),
                statuses.data());
  for (size_t i = 0; i < targets.size(); ++i) {
    std::string why =
        Judge(targets[i], statuses[i], values[i].ToString(), SlotOf(targets[i]).acked);
    if (!why.empty()) return why;
  }
  return "";
}

// Some keys on end. Those of other threads may be changing.
std::string StressInstance::Scan(uint32_t part, uint32_t parts, Random& random) {
  const Target start = Pick(part, parts, random);
  rocksdb::ReadOptions options;
  options.async_io = random.OneIn(2);
  options.readahead_size = random.OneIn(2) ? 64 << 10 : 0;
  const std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator(options, columns_[start.column]));
  each->Seek(KeyText(start.key));
  const uint32_t end = std::min(start.key + 200, ExpectedState::kKeys);
  for (uint32_t key = start.key; key < end; ++key) {
    while (each->Valid() && each->key().ToString() < KeyText(key)) each->Next();
    if (!each->status().ok()) return Failure("scan", each->status());
    if (key % parts != part) continue;
    const Target target{start.column, key};
    const bool found = each->Valid() && each->key() == KeyText(key);
    std::string why = Judge(target, found ? rocksdb::Status::OK() : rocksdb::Status::NotFound(),
                            found ? each->value().ToString() : "", SlotOf(target).acked);
    if (!why.empty()) return "scanned: " + why;
  }
  return "";
}

std::string StressInstance::Ingest(uint32_t part, uint32_t parts, Random& random) {
  const uint32_t column = static_cast<uint32_t>(random.Below(ExpectedState::kColumns));
  const std::string file = path_ + "-made" + std::to_string(part) + ".sst";
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options_), options_);
  rocksdb::Status status = writer.Open(file);
  std::vector<Target> targets;
  for (uint32_t key = part; key < ExpectedState::kKeys && status.ok(); key += parts * 10) {
    targets.push_back({column, key});
    const uint32_t version = ExpectedState::Begin(SlotOf(targets.back()));
    const auto value = StressValue(number_, column, key, version);
    status = value ? writer.Put(KeyText(key), *value) : writer.Delete(KeyText(key));
  }
  if (status.ok()) status = writer.Finish();
  rocksdb::IngestExternalFileOptions options;
  options.move_files = random.OneIn(2);
  if (status.ok()) status = db_->IngestExternalFile(columns_[column], {file}, options);
  if (!status.ok()) return Failure("ingest", status);
  for (const Target& target : targets) ExpectedState::Acknowledge(SlotOf(target));
  if (options.move_files) return "";
  return Failure("delete", options_.env->DeleteFile(file));
}

std::string StressInstance::Copy(uint32_t part, uint32_t parts) {
  const std::string path = path_ + "-copy" + std::to_string(part);
  // What a kill left.
  if (std::string why = Failure("destroy", rocksdb::DestroyDB(path, options_, families_));
      !why.empty()) {
    return why;
  }
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(path);
  if (!status.ok()) return Failure("checkpoint", status);
  if (std::string why = CheckCopy(path, part, parts); !why.empty()) return why;
  return Failure("destroy", rocksdb::DestroyDB(path, options_, families_));
}

// Keys of this thread are in the copy as they are in the database.
std::string StressInstance::CheckCopy(const std::string& path, uint32_t part, uint32_t parts) {
  rocksdb::DB* opened = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> columns;
  const rocksdb::Status status =
      rocksdb::DB::OpenForReadOnly(options_, path, families_, &columns, &opened);
  const std::unique_ptr<rocksdb::DB> copy(opened);
  if (!status.ok()) return Failure("open a copy", status);
  std::string why;
  for (uint32_t key = part; key < ExpectedState::kKeys && why.empty(); key += parts) {
    for (uint32_t column = 0; column < ExpectedState::kColumns && why.empty(); ++column) {
      std::string value;
      const rocksdb::Status found = copy->Get({}, columns[column], KeyText(key), &value);
      const Target target{column, key};
      why = Judge(target, found, value, SlotOf(target).acked);
    }
  }
  for (rocksdb::ColumnFamilyHandle* column : columns) {
    copy->DestroyColumnFamilyHandle(column).PermitUncheckedError();
  }
  return why.empty() ? "" : "copied: " + why;
}

std::string StressInstance::Maintain(Random& random) {
  rocksdb::ColumnFamilyHandle* const column = columns_[random.Below(columns_.size())];
  if (random.OneIn(4)) {
    return Failure("compact", db_->CompactRange({}, column, nullptr, nullptr));
  }
  return Failure("flush", db_->Flush({}, column));
}

}  // namespace tifs::rocksfs
