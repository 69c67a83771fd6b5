#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/random.h"

namespace tifs::rocksfs {

// One RocksDB whose every write is an operation with a number: it sets one of a few keys, and the
// key "number" with it. So what is found after a crash is right if it is what the first n
// operations made, and n is no less than what was durable. Beside it: copies of it (checkpoints)
// and tables that are made to be ingested. All is in `directory`, under names that begin with
// `name`.
class RocksInstance {
 public:
  RocksInstance(std::string directory, std::string name, uint64_t seed)
      : directory_(std::move(directory)), name_(std::move(name)), random_(seed) {}

  // Errors as text, here and below; nothing if all is right.
  std::string Open(rocksdb::Env& env);
  void Close() { db_.reset(); }
  // One operation of any kind. All fail once the power is gone.
  std::string Step();
  // After Open: the database has what it must have, and so have its copies.
  std::string Check();

  const std::string& name() const { return name_; }

 private:
  static std::string CheckDb(rocksdb::DB& db, uint64_t at_least, uint64_t at_most, uint64_t& found);
  std::string CheckCopies();
  std::string CheckUnfinishedCopy(const std::string& path);
  rocksdb::Status Write(bool sync);
  rocksdb::Status Ingest();
  rocksdb::Status Copy();
  rocksdb::Status DropTornLogs();
  rocksdb::Options MakeOptions() const;

  const std::string directory_;
  const std::string name_;
  Random random_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::Env* env_ = nullptr;
  uint64_t issued_ = 0;   // the last operation that may have happened
  uint64_t durable_ = 0;  // the last one that must have
  bool has_torn_logs_ = false;
  int copies_made_ = 0;
  std::map<std::string, uint64_t> copies_;  // durable ones, and how far they go
  // One that was begun, and may be there by now.
  std::string unfinished_copy_;
  uint64_t unfinished_number_ = 0;
};

}  // namespace tifs::rocksfs
