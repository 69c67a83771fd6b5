#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/volume/expected_state.h"

namespace tifs::rocksfs {

// One RocksDB of a stress run, with column families, used by several threads; each has its own
// keys. Errors are texts; nothing if all is right.
class StressInstance {
 public:
  // In `directory` of `env`, under a name made of `number`. Options are chosen by `random`.
  StressInstance(ExpectedState& expected, uint32_t number, std::string directory)
      : expected_(expected), number_(number), path_(std::move(directory) + NameOf(number)) {}

  static std::string NameOf(uint32_t number) { return "/db" + std::to_string(number); }

  std::string Open(rocksdb::Env& env, Random& random);
  void Close();
  // Every key has what was acknowledged, or what was pending; from now on that is acknowledged.
  std::string VerifyAll();
  // One operation on keys k with k % parts == part.
  std::string Step(uint32_t part, uint32_t parts, Random& random);

 private:
  struct Target {
    uint32_t column;
    uint32_t key;
  };

  static std::string KeyText(uint32_t key);
  Target Pick(uint32_t part, uint32_t parts, Random& random) const;
  ExpectedState::Slot& SlotOf(const Target& target) {
    return expected_.At(number_, target.column, target.key);
  }
  std::string Name(const Target& target) const;
  std::string Judge(const Target& target, const rocksdb::Status& status, const std::string& value,
                    uint32_t version) const;
  std::string VerifyKey(const Target& target);

  std::string Write(uint32_t part, uint32_t parts, Random& random);
  std::string Read(uint32_t part, uint32_t parts, Random& random);
  std::string ReadMany(uint32_t part, uint32_t parts, Random& random);
  std::string Scan(uint32_t part, uint32_t parts, Random& random);
  std::string Ingest(uint32_t part, uint32_t parts, Random& random);
  std::string Copy(uint32_t part, uint32_t parts);
  std::string CheckCopy(const std::string& path, uint32_t part, uint32_t parts);
  std::string Maintain(Random& random);
  std::string Failure(const char* what, const rocksdb::Status& status) const;

  ExpectedState& expected_;
  const uint32_t number_;
  const std::string path_;
  rocksdb::Options options_;
  std::vector<rocksdb::ColumnFamilyDescriptor> families_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> columns_;
};

}  // namespace tifs::rocksfs
