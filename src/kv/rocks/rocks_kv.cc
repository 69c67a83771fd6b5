#include "kv/rocks/rocks_kv.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/perf_level.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/log.h"
#include "kv/rocks/rocks_log.h"
#include "kv/rocks/rocks_status.h"
#include "kv/rocks/rocks_transaction.h"
#include "kv/rocks/store_health.h"
#include "kv/rocks/tuning.h"
#include "kv/rocks/wal_file_system.h"

namespace tifs::kv {
namespace {

// RocksDB counts every step in thread-local variables unless told not to: a third of a cached Get.
void StopCountingSteps() {
  thread_local const bool once = (rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable), true);
  (void)once;
}

rocksdb::WriteBatch ToBatch(const WriteBuffer& buffer) {
  constexpr size_t kHeaderBytes = 12;
  constexpr size_t kRecordBytes = 11;  // at most: a tag and two lengths
  rocksdb::WriteBatch batch(kHeaderBytes + buffer.bytes() + kRecordBytes * buffer.writes());
  for (const auto& [key, entry] : buffer.entries()) {
    if (!entry.written) continue;
    const rocksdb::Status status =
        entry.deleted ? batch.Delete(ToSlice(key)) : batch.Put(ToSlice(key), ToSlice(entry.value));
    status.PermitUncheckedError();  // a batch without limits takes all
  }
  return batch;
}

// The name of the store is as durable as what is in it.
Status MakeDirectory(rocksdb::Env& env, const std::string& path, bool is_local) {
  if (!is_local) {
    TRY(StatusFromRocks(env.CreateDirIfMissing(path), "make store directory"));
  } else if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrorFromErrno(errno, "make store directory", path);
  }
  const std::string parent = path.substr(0, std::max<size_t>(path.rfind('/'), 1));
  std::unique_ptr<rocksdb::Directory> directory;
  TRY(StatusFromRocks(env.NewDirectory(parent, &directory), "open the store's parent"));
  return StatusFromRocks(directory->Fsync(), "sync the store's parent");
}

}  // namespace

RocksKv::RocksKv(const RocksOptions& options)
    : options_(options), health_(std::make_unique<StoreHealth>(*options.clock)) {}

Result<std::unique_ptr<RocksKv>> RocksKv::Open(const RocksOptions& options) {
  TRY(options.Validate());
  std::unique_ptr<RocksKv> store(new RocksKv(options));
  try {
    TRY(store->OpenDb());
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, "open store", e.what());
  }
  return store;
}

Status RocksKv::OpenDb() {
  const bool is_local = !options_.file_system;
  file_system_ = std::make_shared<WalFileSystem>(
      is_local ? rocksdb::FileSystem::Default() : options_.file_system,
      WalFileSystem::Features{.zeros_ahead = is_local || options_.file_system_is_posix,
                              .private_files = is_local || options_.file_system_is_posix});
  env_ = rocksdb::NewCompositeEnv(file_system_);

  const rocksdb::Status exists = env_->FileExists(options_.path + "/CURRENT");
  if (!exists.ok() && !exists.IsNotFound()) return ErrorFromRocks(exists, "open store");
  if (exists.IsNotFound()) {
    if (!options_.create) return Error(ErrorCode::kNotFound, "open store", options_.path);
    TRY(MakeDirectory(*env_, options_.path, is_local));
  }

  rocksdb::Options options = TunedOptions(options_.memory_bytes);
  options.env = env_.get();
  options.info_log = NewRocksLog();
  options.create_if_missing = options_.create;
  options.listeners.push_back(health_->MakeListener());

  rocksdb::DB* db = nullptr;
  if (options_.read_only) {
    TRY(LockForReading());
    TRY(StatusFromRocks(rocksdb::DB::OpenForReadOnly(options, options_.path, &db), "open store"));
    db_.reset(db);
    health_->SetReadOnly();
    return {};
  }
  TRY(StatusFromRocks(rocksdb::DB::Open(options, options_.path, &db), "open store"));
  db_.reset(db);
  TRY(StatusFromRocks(file_system_->EndOpening(), "open store"));
  syncer_ = std::make_unique<WalSyncer>(*options_.clock, options_.wal,
                                        [this](bool durable) { return WriteLog(durable); });
  return {};
}

// RocksDB locks only for writing; a reader must not see files vanish either.
Status RocksKv::LockForReading() {
  const rocksdb::Status status = env_->LockFile(options_.path + "/LOCK", &read_lock_);
  if (status.ok()) return {};
  Error error = ErrorFromRocks(status, "open store");
  // Where not even a lock can be written there is no writer.
  if (error.code() == ErrorCode::kBusy) return error;
  return {};
}

RocksKv::~RocksKv() {
  if (syncer_) {
    if (Status status = Sync(); !status) {
      LogError("store: not everything was synced at its end: {}", status.error().ToString());
    }
    syncer_.reset();
  }
  if (db_ && !options_.read_only && health_->reason().empty()) {
    const rocksdb::Status flushed = db_->Flush(rocksdb::FlushOptions());
    if (!flushed.ok()) LogWarning("store: flush at its end: {}", flushed.ToString());
  }
  if (db_) {
    const rocksdb::Status closed = db_->Close();
    if (!closed.ok()) LogWarning("store: close: {}", closed.ToString());
    db_.reset();
  }
  if (read_lock_) env_->UnlockFile(read_lock_).PermitUncheckedError();
}

Result<std::unique_ptr<Transaction>> RocksKv::Begin() {
  StopCountingSteps();
  return std::make_unique<RocksTransaction>(*this, last_commit_.load(std::memory_order_acquire));
}

Result<std::optional<Value>> RocksKv::GetLatest(std::string_view key) {
  StopCountingSteps();
  rocksdb::PinnableSlice found;
  const rocksdb::Status status =
      db_->Get(rocksdb::ReadOptions(), db_->DefaultColumnFamily(), ToSlice(key), &found);
  if (status.IsNotFound()) return std::optional<Value>();
  TRY(StatusFromRocks(status, "get"));
  return std::optional<Value>(TakeValue(found));
}

Status RocksKv::Commit(const WriteBuffer& buffer, uint64_t begun_after) {
  TRY(health_->CheckWritable([this] { return Resume(); }));
  rocksdb::WriteBatch batch = ToBatch(buffer);

  MutexLock lock(commit_mutex_);
  for (const auto& [key, entry] : buffer.entries()) {
    const ConflictTable::Slot slot = ConflictTable::SlotOf(key);
    const bool conflict = entry.written ? conflicts_.WriteConflicts(slot, begun_after)
                                        : conflicts_.LockConflicts(slot, begun_after);
    if (conflict) return Error(ErrorCode::kConflict, "commit");
  }
  const uint64_t number = last_commit_.load(std::memory_order_relaxed) + 1;
  if (buffer.writes() > 0) {
    for (const auto& [key, entry] : buffer.entries()) {
      if (entry.written) recent_.BeforeWrite(key, number);
    }
    const rocksdb::Status status = db_->Write(rocksdb::WriteOptions(), &batch);
    if (!status.ok()) return health_->NoteFailure(status, "commit");
  }
  for (const auto& [key, entry] : buffer.entries()) {
    const ConflictTable::Slot slot = ConflictTable::SlotOf(key);
    if (entry.written) {
      conflicts_.StampWrite(slot, number);
      recent_.AfterWrite(key, entry.deleted ? std::nullopt : std::optional(entry.value), number);
    }
    if (entry.locked) conflicts_.StampLock(slot, number);
  }
  last_commit_.store(number, std::memory_order_release);
  if (buffer.writes() > 0) syncer_->NoteCommit(number);
  return {};
}

Status RocksKv::Sync() {
  if (!syncer_) return {};
  return syncer_->Sync();
}

Status RocksKv::WriteLog(bool durable) {
  TRY(health_->CheckWritable([this] { return Resume(); }));
  {
    // No write may come between RocksDB's noticing that the log cannot be written and its refusing
    // of writes for that reason: it would be a failed assertion, and Debian's RocksDB has those on.
    MutexLock lock(commit_mutex_);
    const rocksdb::Status status = db_->FlushWAL(false);
    if (!status.ok()) return health_->NoteFailure(status, "write out");
  }
  if (!durable) return {};
  const rocksdb::IOStatus status = file_system_->SyncLogs();
  if (!status.ok()) return health_->NoteFailure(status, "sync");
  return {};
}

// Whatever did not reach a log reaches a table: afterwards all that was committed is durable.
Status RocksKv::Resume() {
  TRY(StatusFromRocks(db_->Resume(), "resume"));
  return StatusFromRocks(db_->Flush(rocksdb::FlushOptions()), "resume");
}

Result<SpaceUsage> RocksKv::Space() {
  if (options_.space) return options_.space();
  if (!options_.file_system) {
    struct statvfs fs;
    if (statvfs(options_.path.c_str(), &fs) != 0) return ErrorFromErrno(errno, "statvfs");
    return SpaceUsage{.total_bytes = fs.f_blocks * fs.f_frsize,
                      .available_bytes = fs.f_bavail * fs.f_frsize};
  }
  uint64_t available = 0;
  TRY(StatusFromRocks(env_->GetFreeSpace(options_.path, &available), "free space"));
  uint64_t used = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &used);
  return SpaceUsage{.total_bytes = available + used, .available_bytes = available};
}

std::string RocksKv::ReadOnlyReason() { return health_->reason(); }

}  // namespace tifs::kv
