#include <algorithm>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/log.h"
#include "fs/access.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

// A position in a directory is a number that any listing can go on from: 0 the start, 1 after ".",
// 2 after "..", else the name's hash and, in the low bits, how many entries of that hash are past.
// It depends on the entry alone, so it stays right whatever else comes and goes.
constexpr uint64_t kAfterDot = 1;
constexpr uint64_t kAfterDotDot = 2;
constexpr int kOrdinalBits = 7;
constexpr uint64_t kMaxOrdinal = (1 << kOrdinalBits) - 1;
static_assert(Schema::kNameHashBits + kOrdinalBits == 63, "an off_t");

constexpr size_t kBatch = 128;

struct Listed {
  std::string name;
  DentryRecord dentry;
  uint64_t cookie = 0;
};

// Visits "." and ".."; false if the visitor declined.
Result<bool> VisitDots(Operation& op, const InodeRecord& directory, uint64_t cookie,
                       bool with_attributes, const DirectoryVisitor& visitor) {
  const auto visit = [&](std::string_view name, const InodeRecord& inode,
                         uint64_t after) -> Result<bool> {
    Entry entry;
    if (with_attributes) entry = TRY(EntryOf(op, inode));
    return visitor({name, inode.number, S_IFDIR, after, with_attributes ? &entry : nullptr});
  };
  if (cookie < kAfterDot && !TRY(visit(".", directory, kAfterDot))) return false;
  if (cookie >= kAfterDotDot) return true;
  if (directory.number == op.mount.root) return visit("..", directory, kAfterDotDot);
  const InodeRecord parent = TRY(op.records.LoadInode(directory.parent, InlineData::kSkip));
  return visit("..", parent, kAfterDotDot);
}

// The next entries after a position, at most `limit`.
Result<std::vector<Listed>> ListAfter(Operation& op, InodeNumber directory, uint64_t cookie,
                                      size_t limit) {
  const uint64_t first_hash = cookie >> kOrdinalBits;
  uint64_t skip = cookie <= kAfterDotDot ? 0 : cookie & kMaxOrdinal;
  uint64_t last_hash = 0;
  uint64_t ordinal = 0;
  std::vector<Listed> listed;
  Status bad;
  const KeySpan span = op.mount.schema.Dentries(directory, first_hash);
  TRY(op.txn.Scan(
      span.range(), 0, kv::Direction::kForward, [&](std::string_view key, std::string_view value) {
        const auto parsed = op.mount.schema.ParseDentry(key);
        auto dentry = DentryRecord::Decode(value);
        if (!parsed || !dentry) {
          LogError("corrupt entry at key \"{}\"", EscapeForLog(key));
          op.mount.metrics.corrupt_values.Add();
          bad = Error(ErrorCode::kCorrupt, "entry");
          return false;
        }
        ordinal = parsed->hash == last_hash ? std::min(ordinal + 1, kMaxOrdinal) : 1;
        last_hash = parsed->hash;
        if (parsed->hash == first_hash && ordinal <= skip) return true;
        listed.push_back(
            {std::string(parsed->name), *dentry, parsed->hash << kOrdinalBits | ordinal});
        return listed.size() < limit;
      }));
  TRY(std::move(bad));
  return listed;
}

Result<bool> VisitListed(Operation& op, const std::vector<Listed>& listed, bool with_attributes,
                         const DirectoryVisitor& visitor) {
  std::vector<std::optional<InodeRecord>> inodes;
  if (with_attributes) {
    std::vector<InodeNumber> numbers;
    for (const Listed& one : listed) numbers.push_back(one.dentry.inode);
    inodes = TRY(op.records.LoadInodes(numbers));
  }
  for (size_t i = 0; i < listed.size(); ++i) {
    const Listed& one = listed[i];
    Entry entry;
    bool has_entry = with_attributes && inodes[i].has_value();
    if (has_entry) {
      Result<Entry> loaded = EntryOf(op, *inodes[i]);
      has_entry = loaded.ok();
      if (has_entry) entry = *loaded;
      // What is corrupt is listed by its name, so that the others beside it can be reached.
      if (!has_entry && loaded.error().code() != ErrorCode::kCorrupt) {
        return std::move(loaded).error();
      }
    }
    if (!visitor({one.name, one.dentry.inode, one.dentry.type_mode, one.cookie,
                  has_entry ? &entry : nullptr})) {
      return false;
    }
  }
  return true;
}

}  // namespace

Status ReadDirectory(Operation& op, InodeNumber number, uint64_t cookie, size_t limit,
                     bool with_attributes, const DirectoryVisitor& visitor) {
  InodeRecord directory = TRY(op.records.LoadInode(number, InlineData::kSkip));
  if (!directory.IsDirectory()) return Error(ErrorCode::kNotDirectory, "readdir");
  if (directory.nlink == 0) return {};  // removed while it was open: empty
  if (cookie > INT64_MAX) return {};    // beyond every position
  const StripeRecord stripes = TRY(op.records.LoadStripes(number));
  directory.mtime = stripes.MtimeOf(directory);
  directory.ctime = stripes.CtimeOf(directory);
  op.WasRead(directory);
  size_t left = limit == 0 ? SIZE_MAX : limit;
  bool more = true;
  const DirectoryVisitor counting = [&](const DirectoryEntry& entry) {
    if (left == 0 || !visitor(entry)) return false;
    --left;
    cookie = entry.cookie;
    return left > 0;
  };
  if (cookie < kAfterDotDot) {
    more = TRY(VisitDots(op, directory, cookie, with_attributes, counting));
  }
  while (more) {
    const std::vector<Listed> listed = TRY(ListAfter(op, number, cookie, std::min(left, kBatch)));
    if (listed.empty()) break;
    more = TRY(VisitListed(op, listed, with_attributes, counting));
  }
  return {};
}

}  // namespace tifs::fs::ops
