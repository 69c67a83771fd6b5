#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "kv/kv.h"
#include "kv/run_transaction.h"

namespace tifs::cli {

// The table of a cluster's file systems: which number (keyspace) has which name. It lies in a
// keyspace of its own (docs/kv_schema.md, "The table of names"). A number is never given twice, so
// nothing that an old process still holds can reach a younger file system. Each call is one
// transaction. Errors of all calls: kUnavailable, kIo, kCorrupt.
class ClusterNames {
 public:
  // A persisted number.
  enum class State : uint8_t {
    kUnfinished = 1,  // being formatted, or a format that did not come to its end
    kReady = 2,
    kDestroyed = 3,  // its keys are being deleted
  };
  struct FileSystem {
    std::string name;
    uint32_t number = 0;
    State state = State::kUnfinished;
  };

  static constexpr size_t kMaxNameBytes = 64;
  static bool IsName(std::string_view text);

  // `names`: the keyspace of the table; must outlive this.
  ClusterNames(kv::Store& names, Clock& clock) : runner_(names, clock) {}

  Result<std::optional<FileSystem>> Find(std::string_view name);
  // In the order of their names.
  Result<std::vector<FileSystem>> List();
  // Gives the name a new number, unfinished. kExists: it has one.
  Result<FileSystem> Add(std::string_view name);
  // kNotFound: the name is not, or no longer, that of this number.
  Status SetState(const FileSystem& file_system, State state);
  Status Remove(const FileSystem& file_system);

 private:
  kv::TransactionRunner runner_;
};

// The table's value of a name.
std::string EncodeClusterName(const ClusterNames::FileSystem& file_system);
Result<ClusterNames::FileSystem> DecodeClusterName(std::string_view name, std::string_view value);

}  // namespace tifs::cli
