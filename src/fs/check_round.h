#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/data/block_value.h"
#include "fs/fs_check.h"
#include "fs/record_store.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "fs/sparse_slots.h"
#include "kv/kv.h"

namespace tifs::fs {

// One reading of the whole store at one snapshot: what is wrong, and for each what would mend it.
// The rules that it follows in mending: nobody gets to see another's bytes, nobody gains a right,
// and else what is left of a user's data stays, under its own name where that is known.
//
// Mending happens in order of kind, a kind a round, because what is found in a later kind depends
// on what an earlier one changes: first slots that several blocks name (while all of them are
// there), then what is malformed or leads nowhere, then what is unreachable, then counts.
//
// check_round.cc: inodes and what is counted. check_round_entries.cc: entries, and the inodes that
// they should lead to. check_round_contents.cc: blocks, attributes, leftovers, other keys.
// check_round_usage.cc: sessions, and what is counted for all.
class CheckRound {
 public:
  enum class Kind : uint8_t { kSharedSlot, kMalformed, kUnreachable, kCount };
  // Runs in a transaction of its own, after the snapshot is gone.
  using Mend = std::function<Status(RecordStore&)>;
  // What a finding is about: an inode, or the entry `name` of a directory; 0: neither.
  struct Place {
    InodeNumber inode;
    InodeNumber parent;
    std::string name;
  };
  struct Problem {
    Kind kind;
    std::string what;
    Mend mend;  // empty: cannot be mended
    Place place;
  };

  // All are kept and must outlive this; `txn` is not used after Run.
  CheckRound(kv::Transaction& txn, const Schema& schema, const MetaRecord& meta, Clock& clock,
             const CheckOptions& options)
      : txn_(txn), schema_(schema), meta_(meta), clock_(clock), options_(options) {}

  // Fills the report's counts; its findings stay empty.
  Status Run(CheckReport& report);

  // At most kMaxKept are kept, which bounds memory; all are counted. The others show again in a
  // later round.
  static constexpr size_t kMaxKept = 10'000;
  const std::vector<Problem>& problems() const { return problems_; }
  uint64_t problem_count() const { return problem_count_; }

 private:
  // What is known of an inode that can be read; in ascending order of number.
  struct Inode {
    uint64_t number = 0;
    uint64_t parent = 0;  // of what is no directory: that of the first entry that names it
    uint32_t mode = 0;    // the type bits are 0 while `is_untyped`
    uint32_t flags = 0;
    uint32_t attributes = 0;  // those flags of InodeRecord that its attributes ask for
    uint32_t nlink = 0;
    uint32_t links = 0;   // entries that name it
    int64_t entries = 0;  // stripes' sum less the entries seen
    int64_t subdirectories = 0;
    uint64_t charged = 0;
    uint64_t expected_charge = 0;
    bool has_clears : 1 = false;
    bool is_queued_orphan : 1 = false;  // a leftover says so
    bool is_queued_clear : 1 = false;
    bool has_children : 1 = false;
    bool is_entered : 1 = false;  // a directory: an entry in its parent names it
    bool is_untyped : 1 = false;  // the first entry that names it will tell
    bool is_walked : 1 = false;   // CheckReachable is done with it

    bool IsDirectory() const { return S_ISDIR(mode); }
    // Without a name, waiting to be reclaimed.
    bool IsOrphan() const { return nlink == 0 && links == 0 && !has_children; }
  };
  // What is known of an inode that cannot be read, or is not there although something needs it.
  struct Lost {
    bool is_unreadable = false;
    bool is_directory = false;  // it is made anew as one
    bool is_file = false;       // it has blocks: it is made anew as a file
    bool is_unlinked = false;   // a leftover says so, and no entry names it
    uint64_t size_bytes = 0;    // where its blocks end
    InodeNumber parent;         // the directory of the first entry that names it
  };
  // An entry of a directory that names another parent, or has another name already.
  struct Misplaced {
    std::string key;
    InodeNumber parent;
    InodeNumber child;
    std::string name;
  };
  // The file whose blocks are being visited.
  struct File {
    InodeRecord record;
    uint32_t highest_epoch = 0;  // of its blocks
  };
  // A block that names a slot which others name, too.
  struct Sharer {
    std::string key;
    Schema::BlockKey block;
  };
  struct SharedSlot {
    std::vector<Sharer> sharers;
    uint32_t length_bytes = 0;  // the longest
    bool is_complete = true;    // all sharers are there
  };

  // --- check_round.cc ---
  void Report(Kind kind, std::string what, Place place, Mend mend);
  // A key that should not be there: it is deleted.
  void ReportKey(const char* what, std::string_view key, Place place = {});
  // A problem that waits for others to be mended.
  void Postpone() { ++problem_count_; }
  using Visitor = std::function<Status(std::string_view key, std::string_view value)>;
  Status ScanScope(Schema::Scope scope, const Visitor& visitor);
  Inode* Find(InodeNumber inode);
  Status NameProblems();

  Result<bool> HasKeys(const KeySpan& span);
  Result<bool> LooksLikeDirectory(InodeNumber inode);
  // Where the last block of an inode ends in its file; 0 if there is none.
  Result<uint64_t> EndOfBlocks(InodeNumber inode);
  // The type bits that an inode must have; 0 if only an entry can tell.
  Result<uint32_t> TypeOf(const InodeRecord& record);
  // Mends the fields of a record that contradict each other; whether there were any.
  Result<bool> Correct(InodeRecord& record);
  // The corrected record of an inode that Find finds.
  Result<InodeRecord> LoadCorrected(InodeNumber inode);

  Status ScanInodes();
  Status AddInode(InodeNumber number, std::string_view key, std::string_view value);
  void AddStripe(const Schema::InodeKey& parsed, std::string_view key, std::string_view value);
  void CheckUntyped();
  void CheckInode(const Inode& inode);
  void CheckAttributes(const Inode& inode);
  void CheckCounts(const Inode& inode);
  void CheckReachable();

  // --- check_round_usage.cc ---
  Status ScanSessions();
  Status CheckUsage(CheckReport& report);
  Status CheckNextInode();
  // Checks the next number of a shard, of which `highest` is in use.
  void CheckNextInodeOf(uint16_t shard, const std::optional<kv::Value>& value, uint64_t highest);

  // --- check_round_entries.cc ---
  // What takes an inode's place that cannot be read or is not there. Null: too many are lost.
  Result<Lost*> Lose(InodeNumber number);
  // Whether there will be an inode of that number once its loss is mended.
  bool WillBe(InodeNumber inode) const;
  Status ScanDentries();
  Status AddDentry(std::string_view key, std::string_view value);
  Status AddLostChild(const Schema::DentryKey& parsed, const DentryRecord& dentry, Inode* parent,
                      std::string_view key);
  void AddChild(const Schema::DentryKey& parsed, const DentryRecord& dentry, Inode* parent,
                Inode& child, std::string_view key);
  void ReportEntry(std::string what, const Schema::DentryKey& parsed, std::string_view key);
  void PlaceDirectories();
  void CheckLost();

  // --- check_round_contents.cc ---
  Status ScanBlocks(CheckReport& report);
  Status AddBlock(std::optional<File>& file, const Schema::BlockKey& parsed, std::string_view key,
                  std::string_view value);
  void CheckBlock(File& file, Inode& inode, const Schema::BlockKey& parsed, std::string_view key,
                  std::string_view value);
  void CheckEpochs(const File& file);
  Result<uint32_t> LengthOf(const BlockValue& block) const;
  // Of the block, how much the data file is too short for.
  uint64_t MissingBytes(std::string_view value) const;
  void AddSlot(std::string_view value);
  Status CheckSharedSlots();
  void ReportShared(uint64_t slot, const SharedSlot& shared);
  Status ScanXattrs();
  void AddXattr(std::string_view key, std::string_view value);
  void AddAcl(Inode& inode, std::string_view name, std::string_view key, std::string_view value);
  Status ScanLeftovers(CheckReport& report);
  Status ScanDeferred();
  Status ScanUnknown();

  kv::Transaction& txn_;
  const Schema& schema_;
  const MetaRecord& meta_;
  Clock& clock_;
  const CheckOptions& options_;
  std::vector<Inode> inodes_;
  std::map<uint64_t, InodeRecord> untyped_;
  std::map<uint64_t, Lost> lost_;
  std::vector<Misplaced> misplaced_;
  std::unordered_set<uint64_t> sessions_;
  SparseSlots slots_;
  std::unordered_set<uint64_t> shared_slots_;
  std::vector<Problem> problems_;
  uint64_t problem_count_ = 0;
  uint64_t keys_seen_ = 0;
};

// Whether an inode may have the number: one that has a next, and is not "none".
inline bool IsInodeNumber(InodeNumber inode) {
  return inode.value != 0 && inode.value != UINT64_MAX;
}

// "inode 7"
std::string InodeText(InodeNumber inode);

}  // namespace tifs::fs
