#include "tests/crash/rocks_instance.h"

#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <utility>

namespace tifs::rocksfs {
namespace {

constexpr uint64_t kKeys = 40;

std::string KeyOf(uint64_t number) { return "key" + std::to_string(number * 7'919 % kKeys); }

std::string ValueOf(uint64_t number) {
  std::string value = std::to_string(number) + ":";
  value.resize(100 + number * 31 % 900, static_cast<char>('a' + number % 26));
  return value;
}

}  // namespace

rocksdb::Options RocksInstance::MakeOptions() const {
  rocksdb::Options options;
  options.env = env_;
  options.write_buffer_size = 64 << 10;
  options.target_file_size_base = 32 << 10;
  options.max_bytes_for_level_base = 64 << 10;
  options.level0_file_num_compaction_trigger = 3;
  options.compression = rocksdb::kNoCompression;
  options.max_background_jobs = 2;
  // As the store of TiFS, and TiKV: a log may end anywhere.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  return options;
}

std::string RocksInstance::Open(rocksdb::Env& env) {
  env_ = &env;
  rocksdb::DB* db = nullptr;
  rocksdb::Options options = MakeOptions();
  // Once something was durable, a database that has to be created is a lost one.
  options.create_if_missing = durable_ == 0;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory_ + "/" + name_, &db);
  db_.reset(db);
  has_torn_logs_ = true;
  return status.ok() ? "" : name_ + " does not open: " + status.ToString();
}

std::string RocksInstance::Step() {
  rocksdb::Status status;
  const uint64_t kind = random_.Below(40);
  switch (kind) {
    case 0: status = db_->Flush({}); break;
    case 1: status = db_->CompactRange({}, nullptr, nullptr); break;
    case 2: status = Ingest(); break;
    case 3: status = Copy(); break;
    case 4:
    case 5:
    case 6: status = Write(true); break;
    default: status = Write(false); break;
  }
  if (status.ok()) return "";
  return name_ + ", operation of kind " + std::to_string(kind) + ": " + status.ToString();
}

rocksdb::Status RocksInstance::Write(bool sync) {
  const uint64_t number = ++issued_;
  rocksdb::WriteBatch batch;
  batch.Put(KeyOf(number), ValueOf(number)).PermitUncheckedError();
  batch.Put("number", std::to_string(number)).PermitUncheckedError();
  rocksdb::WriteOptions options;
  options.sync = sync;
  const rocksdb::Status status = db_->Write(options, &batch);
  if (status.ok() && sync) durable_ = number;
  return status;
}

rocksdb::Status RocksInstance::Ingest() {
  const uint64_t number = ++issued_;
  const std::string path = directory_ + "/" + name_ + "-made.sst";
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), MakeOptions());
  rocksdb::Status status = writer.Open(path);
  if (status.ok()) status = writer.Put(KeyOf(number), ValueOf(number));
  if (status.ok()) status = writer.Put("number", std::to_string(number));
  if (status.ok()) status = writer.Finish();
  rocksdb::IngestExternalFileOptions options;
  options.move_files = random_.OneIn(2);
  if (status.ok()) status = db_->IngestExternalFile({path}, options);
  if (status.ok()) durable_ = number;
  return status;
}

// RocksDB reads the first record of every log in the directory when it makes a checkpoint. If a
// crash tore that record, and nothing else was recovered either, opening keeps the log, although it
// will never be looked at: with any file system, a checkpoint is then "Corruption: checksum
// mismatch" (RocksCrashTest.ALogThatIsTornAtItsStartFailsACheckpoint). A flush makes the log
// superfluous, and a look through the directory finds that.
rocksdb::Status RocksInstance::DropTornLogs() {
  if (!has_torn_logs_) return rocksdb::Status::OK();
  rocksdb::Status status = Write(false);
  if (status.ok()) status = db_->Flush({});
  if (status.ok()) status = db_->EnableFileDeletions(true);
  has_torn_logs_ = !status.ok();
  return status;
}

rocksdb::Status RocksInstance::Copy() {
  // The old ones go, so that their extents are used again.
  while (copies_.size() > 1) {
    const std::string path = copies_.begin()->first;
    copies_.erase(copies_.begin());
    const rocksdb::Status gone = rocksdb::DestroyDB(path, MakeOptions());
    if (!gone.ok()) return gone;
  }
  if (rocksdb::Status status = DropTornLogs(); !status.ok()) return status;
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  unfinished_copy_ = directory_ + "/" + name_ + "-copy" + std::to_string(copies_made_++);
  unfinished_number_ = issued_;
  if (status.ok()) status = checkpoint->CreateCheckpoint(unfinished_copy_);
  if (!status.ok()) return status;
  copies_[unfinished_copy_] = issued_;
  unfinished_copy_.clear();
  return status;
}

std::string RocksInstance::CheckDb(rocksdb::DB& db, uint64_t at_least, uint64_t at_most,
                                   uint64_t& found) {
  std::string text;
  const rocksdb::Status status = db.Get({}, "number", &text);
  if (!status.ok() && !status.IsNotFound()) return "number: " + status.ToString();
  found = status.ok() ? std::stoull(text) : 0;
  if (found < at_least || found > at_most) {
    return "it goes to operation " + std::to_string(found) + ", which should be in [" +
           std::to_string(at_least) + ", " + std::to_string(at_most) + "]";
  }
  std::map<std::string, std::string> expected;
  for (uint64_t number = 1; number <= found; ++number) expected[KeyOf(number)] = ValueOf(number);
  if (found != 0) expected["number"] = std::to_string(found);
  const std::unique_ptr<rocksdb::Iterator> each(db.NewIterator({}));
  auto next = expected.begin();
  for (each->SeekToFirst(); each->Valid(); each->Next(), ++next) {
    if (next == expected.end() || each->key() != next->first || each->value() != next->second) {
      return "at operation " + std::to_string(found) + " the key " + each->key().ToString() +
             " should not be, or not be so";
    }
  }
  if (!each->status().ok()) return each->status().ToString();
  return next == expected.end() ? "" : "the key " + next->first + " is lost";
}

std::string RocksInstance::Check() {
  uint64_t found = 0;
  if (std::string why = CheckDb(*db_, durable_, issued_, found); !why.empty()) {
    return name_ + ": " + why;
  }
  // The rest is gone for good, and their numbers are given again. What survived one cut is on the
  // platters.
  issued_ = durable_ = found;
  return CheckCopies();
}

std::string RocksInstance::CheckCopies() {
  for (const auto& [path, number] : copies_) {
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(MakeOptions(), path, &opened);
    const std::unique_ptr<rocksdb::DB> copy(opened);
    if (!status.ok()) return path + " does not open: " + status.ToString();
    uint64_t found = 0;
    if (std::string why = CheckDb(*copy, number, number, found); !why.empty()) {
      return path + ": " + why;
    }
  }
  if (unfinished_copy_.empty()) return "";
  return CheckUnfinishedCopy(std::exchange(unfinished_copy_, ""));
}

// It opens with all that it should have, or it does not open.
std::string RocksInstance::CheckUnfinishedCopy(const std::string& path) {
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(MakeOptions(), path, &opened);
  const std::unique_ptr<rocksdb::DB> copy(opened);
  if (!status.ok()) return "";
  uint64_t found = 0;
  std::string why = CheckDb(*copy, unfinished_number_, unfinished_number_, found);
  return why.empty() ? "" : path + ", which was not finished: " + why;
}

}  // namespace tifs::rocksfs
