#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/data/block_value.h"
#include "fs/fs_check.h"
#include "fs/record_store.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "kv/kv.h"

namespace tifs::fs {

// One reading of the whole store at one snapshot: what is wrong, and for each what would mend it.
//
// Mending happens in order of kind, a kind a round, because what is counted in a later kind depends
// on what an earlier one changes: first what is malformed or leads nowhere, then what is
// unreachable, then counts.
class CheckRound {
 public:
  enum class Kind : uint8_t { kMalformed, kUnreachable, kCount };
  using Mend = std::function<Status(RecordStore&)>;
  struct Problem {
    Kind kind;
    std::string what;
    Mend mend;  // empty: cannot be mended
  };

  CheckRound(kv::Transaction& txn, const Schema& schema, const MetaRecord& meta,
             const CheckOptions& options)
      : txn_(txn),
        schema_(schema),
        meta_(meta),
        options_(options),
        records_(txn, schema, meta.directory_stripes, nullptr) {}

  // Fills the report's counts; its findings stay empty.
  Status Run(CheckReport& report);

  // At most kMaxProblems are kept; all are counted.
  static constexpr size_t kMaxProblems = 1000;
  const std::vector<Problem>& problems() const { return problems_; }
  uint64_t problem_count() const { return problem_count_; }

 private:
  // What is known of an inode; in ascending order of number.
  struct Inode {
    uint64_t number = 0;
    uint64_t parent = 0;
    uint32_t mode = 0;
    uint32_t flags = 0;
    uint32_t nlink = 0;
    uint32_t links = 0;   // entries that name it
    int64_t entries = 0;  // stripes' sum less the entries seen
    int64_t subdirectories = 0;
    uint64_t charged = 0;
    uint64_t expected_charge = 0;
    bool has_clears = false;
    bool is_queued = false;  // a leftover names it

    bool IsDirectory() const { return S_ISDIR(mode); }
  };

  void Report(Kind kind, std::string what, Mend mend);
  void ReportKey(Kind kind, const char* what, std::string_view key);
  Status ScanScope(Schema::Scope scope, const kv::ScanVisitor& visitor);
  Inode* Find(InodeNumber inode);

  Status ScanInodes();
  void AddInode(InodeNumber number, std::string_view key, std::string_view value);
  void AddStripe(const Schema::InodeKey& parsed, std::string_view key, std::string_view value);
  Status ScanDentries();
  void AddDentry(std::string_view key, std::string_view value);
  Status ScanBlocks(CheckReport& report);
  void AddBlock(const InodeRecord& record, Inode& inode, const Schema::BlockKey& parsed,
                std::string_view key, std::string_view value);
  Status ScanXattrs();
  Status ScanLeftovers(CheckReport& report);
  Status ScanUnknown();
  void CheckInode(const Inode& inode);
  void CheckCounts(const Inode& inode);
  void CheckReachable();
  Status CheckUsage(CheckReport& report);
  Status CheckNextInode();

  kv::Transaction& txn_;
  const Schema& schema_;
  const MetaRecord& meta_;
  const CheckOptions& options_;
  RecordStore records_;
  std::vector<Inode> inodes_;
  std::vector<Problem> problems_;
  uint64_t problem_count_ = 0;
  uint64_t keys_seen_ = 0;
};

// Gives an inode without a name one in the root's lost+found, which is made if it is missing.
Status LinkToLostAndFound(RecordStore& records, Clock& clock, InodeNumber inode);

}  // namespace tifs::fs
