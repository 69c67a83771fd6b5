#include "fs/check_round.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/coding.h"
#include "fs/inode_allocator.h"

namespace tifs::fs {
namespace {

std::string Number(uint64_t value) { return std::to_string(value); }

std::string InodeText(uint64_t number) { return "inode " + Number(number); }

uint64_t InlineCharge(uint64_t bytes) { return (bytes + 511) / 512 * 512; }

}  // namespace

void CheckRound::Report(Kind kind, std::string what, Mend mend) {
  ++problem_count_;
  if (problems_.size() < kMaxProblems) {
    problems_.push_back({kind, std::move(what), std::move(mend)});
  }
}

// A key that should not be there: it is deleted.
void CheckRound::ReportKey(Kind kind, const char* what, std::string_view key) {
  Report(
      kind, std::string(what) + " at key \"" + EscapeForLog(key) + "\"",
      [key = std::string(key)](RecordStore& records) { return records.transaction().Delete(key); });
}

Status CheckRound::ScanScope(Schema::Scope scope, const kv::ScanVisitor& visitor) {
  const KeySpan span = schema_.AllOf(scope);
  return txn_.Scan(span.range(), 0, kv::Direction::kForward,
                   [&](std::string_view key, std::string_view value) {
                     if (++keys_seen_ % 10'000 == 0 && options_.progress) {
                       options_.progress(keys_seen_);
                     }
                     return visitor(key, value);
                   });
}

CheckRound::Inode* CheckRound::Find(InodeNumber inode) {
  const auto it = std::ranges::lower_bound(inodes_, inode.value, {}, &Inode::number);
  return it == inodes_.end() || it->number != inode.value ? nullptr : &*it;
}

Status CheckRound::Run(CheckReport& report) {
  TRY(ScanInodes());
  if (Find(kRootInode) == nullptr) Report(Kind::kMalformed, "the root directory is missing", {});
  TRY(ScanDentries());
  TRY(ScanBlocks(report));
  TRY(ScanXattrs());
  TRY(ScanLeftovers(report));
  for (const Inode& inode : inodes_) CheckInode(inode);
  CheckReachable();
  for (const Inode& inode : inodes_) CheckCounts(inode);
  TRY(CheckUsage(report));
  TRY(CheckNextInode());
  TRY(ScanUnknown());
  report.inodes = inodes_.size();
  report.directories = static_cast<uint64_t>(std::ranges::count_if(inodes_, &Inode::IsDirectory));
  return {};
}

Status CheckRound::ScanInodes() {
  return ScanScope(Schema::Scope::kInode, [&](std::string_view key, std::string_view value) {
    const auto parsed = schema_.ParseInode(key);
    if (!parsed) {
      ReportKey(Kind::kMalformed, "malformed inode key", key);
    } else if (parsed->stripe) {
      AddStripe(*parsed, key, value);
    } else {
      AddInode(parsed->inode, key, value);
    }
    return true;
  });
}

void CheckRound::AddInode(InodeNumber number, std::string_view key, std::string_view value) {
  const auto record = InodeRecord::Decode(number, value);
  if (!record) {
    ReportKey(Kind::kMalformed, "corrupt inode", key);
    return;
  }
  Inode inode;
  inode.number = number.value;
  inode.parent = record->parent.value;
  inode.mode = record->mode;
  inode.flags = record->flags;
  inode.nlink = record->nlink;
  inode.charged = record->charged_bytes;
  inode.has_clears = !record->pending_clears.empty();
  if (record->IsRegular()) {
    inode.expected_charge = InlineCharge(record->inline_data.size());
    for (const BlockRange& range : record->preallocated) {
      inode.expected_charge += range.size() * meta_.block_size_bytes;
    }
  }
  inodes_.push_back(inode);
}

void CheckRound::AddStripe(const Schema::InodeKey& parsed, std::string_view key,
                           std::string_view value) {
  Inode* inode = inodes_.empty() ? nullptr : &inodes_.back();
  if (inode == nullptr || inode->number != parsed.inode.value || !inode->IsDirectory() ||
      *parsed.stripe >= meta_.directory_stripes) {
    ReportKey(Kind::kMalformed, "directory stripe without its directory", key);
    return;
  }
  const auto stripe = StripeRecord::Decode(value);
  if (!stripe) {
    ReportKey(Kind::kMalformed, "corrupt directory stripe", key);
    return;
  }
  inode->entries += stripe->entries;
  inode->subdirectories += stripe->subdirectories;
}

Status CheckRound::ScanDentries() {
  return ScanScope(Schema::Scope::kDentry, [&](std::string_view key, std::string_view value) {
    AddDentry(key, value);
    return true;
  });
}

void CheckRound::AddDentry(std::string_view key, std::string_view value) {
  const auto parsed = schema_.ParseDentry(key);
  const auto dentry = DentryRecord::Decode(value);
  if (!parsed || !dentry || parsed->hash != schema_.NameHash(parsed->name)) {
    ReportKey(Kind::kMalformed, "malformed entry", key);
    return;
  }
  Inode* parent = Find(parsed->parent);
  if (parent == nullptr || !parent->IsDirectory() || parent->nlink == 0) {
    ReportKey(Kind::kMalformed, "entry of no directory", key);
    return;
  }
  Inode* child = Find(dentry->inode);
  if (child == nullptr || child->nlink == 0 ||
      (child->IsDirectory() && child->parent != parent->number)) {
    // Its count in the stripe is mended once the entry is gone.
    ReportKey(Kind::kMalformed, "entry that leads nowhere", key);
    return;
  }
  if ((child->mode & S_IFMT) != dentry->type_mode) {
    Report(
        Kind::kCount, "wrong type of entry \"" + EscapeForLog(parsed->name) + "\"",
        [key = std::string(key), inode = dentry->inode, mode = child->mode](RecordStore& records) {
          return records.transaction().Put(key, DentryRecord{inode, mode & S_IFMT}.Encode());
        });
  }
  ++child->links;
  --parent->entries;
  if (child->IsDirectory()) --parent->subdirectories;
}

Status CheckRound::ScanBlocks(CheckReport& report) {
  std::optional<InodeRecord> record;  // of the file whose blocks are being visited
  Status failed;
  TRY(ScanScope(Schema::Scope::kBlock, [&](std::string_view key, std::string_view value) {
    ++report.blocks;
    const auto parsed = schema_.ParseBlock(key);
    Inode* inode = parsed ? Find(parsed->inode) : nullptr;
    if (inode == nullptr || !S_ISREG(inode->mode) ||
        (inode->flags & InodeRecord::kHasBlocks) == 0) {
      ReportKey(Kind::kMalformed, "block of no file", key);
      return true;
    }
    if (!record || record->number != parsed->inode) {
      auto loaded = records_.LoadInode(parsed->inode, InlineData::kSkip);
      if (!loaded) {
        failed = std::move(loaded).error();
        return false;
      }
      record = *std::move(loaded);
    }
    AddBlock(*record, *inode, *parsed, key, value);
    return true;
  }));
  return failed;
}

void CheckRound::AddBlock(const InodeRecord& record, Inode& inode, const Schema::BlockKey& parsed,
                          std::string_view key, std::string_view value) {
  const auto block = BlockValue::Decode(value);
  const auto length = block ? BlockLength(*block) : Result<uint32_t>(0u);
  if (!block || !length || *length == 0 || *length > meta_.block_size_bytes ||
      block->epoch > record.clear_epoch) {
    ReportKey(Kind::kMalformed, "corrupt block", key);
    return;
  }
  if (!record.IsPreallocated(parsed.index)) {
    inode.expected_charge += record.ChargeOf(parsed.index, *length, meta_.block_size_bytes);
  }
  const uint64_t start = parsed.index.value * meta_.block_size_bytes;
  if (record.nlink > 0 && record.IsLive(parsed.index, block->epoch) &&
      (parsed.index.value > kMaxFileBytes / meta_.block_size_bytes ||
       start + *length > record.size_bytes)) {
    ReportKey(Kind::kMalformed, "block beyond the end of its file", key);
  }
}

Status CheckRound::ScanXattrs() {
  return ScanScope(Schema::Scope::kXattr, [&](std::string_view key, std::string_view value) {
    const auto parsed = schema_.ParseXattr(key);
    const Inode* inode = parsed ? Find(parsed->inode) : nullptr;
    if (inode == nullptr || value.empty() || value.front() != 1) {
      ReportKey(Kind::kMalformed, "extended attribute of no inode", key);
    } else if ((inode->flags & InodeRecord::kHasXattrs) == 0) {
      Report(Kind::kCount, InodeText(inode->number) + " does not say that it has attributes",
             [number = InodeNumber{inode->number}](RecordStore& records) -> Status {
               InodeRecord record = TRY(records.LoadInode(number));
               record.Set(InodeRecord::kHasXattrs);
               return records.StoreInode(record);
             });
    }
    return true;
  });
}

Status CheckRound::ScanLeftovers(CheckReport& report) {
  return ScanScope(Schema::Scope::kLeftover, [&](std::string_view key, std::string_view value) {
    const auto parsed = schema_.ParseLeftover(key);
    const auto record = LeftoverRecord::Decode(value);
    if (!parsed || !record) {
      ReportKey(Kind::kMalformed, "malformed leftover", key);
      return true;
    }
    Inode* inode = Find(parsed->inode);
    if (record->kind == LeftoverKind::kClear) {
      if (inode != nullptr) inode->is_queued = true;
      return true;  // one whose clears are done by then is harmless
    }
    ++report.orphans;
    if (inode == nullptr || inode->nlink > 0) {
      ReportKey(Kind::kMalformed, "orphan that is none", key);
    } else {
      inode->is_queued = true;
    }
    return true;
  });
}

void CheckRound::CheckInode(const Inode& inode) {
  const InodeNumber number{inode.number};
  if ((inode.nlink == 0 || inode.has_clears) && !inode.is_queued) {
    const auto kind = inode.nlink == 0 ? LeftoverKind::kOrphan : LeftoverKind::kClear;
    Report(Kind::kMalformed, InodeText(inode.number) + " waits for work that is not queued",
           [number, kind](RecordStore& records) -> Status {
             TRY(records.AddLeftover(number, kind));
             return {};
           });
  }
  if (inode.nlink > 0 && inode.links == 0 && number != kRootInode) {
    Report(Kind::kUnreachable, InodeText(inode.number) + " has no name",
           [number](RecordStore& records) {
             return LinkToLostAndFound(records, SystemClock(), number);
           });
  }
}

void CheckRound::CheckReachable() {
  // Directories whose way up has been seen to end at the root.
  std::unordered_set<uint64_t> reachable{kRootInode.value};
  for (const Inode& inode : inodes_) {
    if (!inode.IsDirectory() || inode.nlink == 0 || inode.links == 0) continue;
    std::unordered_set<uint64_t> way;
    const Inode* current = &inode;
    while (current != nullptr && current->links > 0 && !reachable.contains(current->number) &&
           way.insert(current->number).second) {
      current = Find(InodeNumber{current->parent});
    }
    const bool in_cycle =
        current != nullptr && way.contains(current->number) && current->number == inode.number;
    if (in_cycle) {
      Report(Kind::kUnreachable, InodeText(inode.number) + " is its own ancestor",
             [number = InodeNumber{inode.number}](RecordStore& records) {
               return LinkToLostAndFound(records, SystemClock(), number);
             });
    }
    if (current != nullptr && reachable.contains(current->number)) {
      reachable.insert(way.begin(), way.end());
    }
  }
}

void CheckRound::CheckCounts(const Inode& inode) {
  if (inode.nlink == 0) return;
  const InodeNumber number{inode.number};
  const uint32_t nlink = inode.IsDirectory() ? 2 : inode.links;
  if (inode.nlink != nlink && (inode.links > 0 || number == kRootInode)) {
    Report(Kind::kCount,
           InodeText(inode.number) + " has link count " + Number(inode.nlink) + ", not " +
               Number(nlink),
           [number, nlink](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.nlink = nlink;
             return records.StoreInode(record);
           });
  }
  if (inode.IsDirectory() && (inode.entries != 0 || inode.subdirectories != 0)) {
    Report(Kind::kCount, "directory " + InodeText(inode.number) + " counts its entries wrongly",
           [number, entries = inode.entries,
            subdirectories = inode.subdirectories](RecordStore& records) -> Status {
             StripeRecord stripe = TRY(records.LoadStripe(number, 0));
             stripe.entries -= entries;
             stripe.subdirectories -= subdirectories;
             return records.StoreStripe(number, 0, stripe);
           });
  }
  if (inode.charged != inode.expected_charge) {
    Report(Kind::kCount,
           InodeText(inode.number) + " is charged " + Number(inode.charged) + " bytes, not " +
               Number(inode.expected_charge),
           [number, charge = inode.expected_charge](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.charged_bytes = charge;
             return records.StoreInode(record);
           });
  }
}

Status CheckRound::CheckUsage(CheckReport& report) {
  for (const Inode& inode : inodes_) report.used_bytes += inode.charged;
  const UsageRecord right{report.used_bytes, inodes_.size(), true};
  const std::optional<kv::Value> value = TRY(txn_.Get(schema_.Usage()));
  const Result<UsageRecord> stored =
      value ? UsageRecord::Decode(value->view()) : Result<UsageRecord>(UsageRecord());
  const bool exactly =
      stored.ok() && stored->bytes == right.bytes && stored->inodes == right.inodes;
  const bool bounded = stored.ok() && !stored->exact && stored->bytes >= right.bytes &&
                       stored->inodes >= right.inodes;
  if (!exactly && !bounded) {
    Report(Kind::kCount, "wrong usage count", [right, key = schema_.Usage()](RecordStore& records) {
      return records.transaction().Put(key, right.Encode());
    });
  }
  return {};
}

Status CheckRound::CheckNextInode() {
  const std::optional<kv::Value> value = TRY(txn_.Get(schema_.NextInode()));
  const uint64_t needed = inodes_.empty() ? kRootInode.value + 1 : inodes_.back().number + 1;
  const Result<uint64_t> next =
      value ? DecodeNextInode(value->view()) : Result<uint64_t>(uint64_t{0});
  if (!next || *next < needed) {
    Report(Kind::kMalformed, "the next inode number is in use",
           [needed, key = schema_.NextInode()](RecordStore& records) {
             return records.transaction().Put(key, EncodeNextInode(needed + (1 << 20)));
           });
  }
  return {};
}

Status CheckRound::ScanUnknown() {
  static constexpr std::array kScopes = {Schema::Scope::kGlobal, Schema::Scope::kInode,
                                         Schema::Scope::kBlock,  Schema::Scope::kDentry,
                                         Schema::Scope::kXattr,  Schema::Scope::kLeftover,
                                         Schema::Scope::kUsage};
  const auto is_known = [&](std::string_view key) {
    return std::ranges::any_of(kScopes, [&](Schema::Scope scope) {
      const KeySpan span = schema_.AllOf(scope);
      return span.begin.view() <= key && key < span.end.view();
    });
  };
  // The scopes lie in order: only the gaps between and after them are read.
  std::string from(schema_.Everything().begin.view());
  const std::string end(schema_.Everything().end.view());
  for (bool more = true; more;) {
    more = false;
    TRY(txn_.Scan({from, end}, 0, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view) {
                    if (is_known(key)) {
                      const auto scope = static_cast<Schema::Scope>(key[schema_.prefix().size()]);
                      from = schema_.AllOf(scope).end.view();
                      more = true;
                      return false;
                    }
                    ReportKey(Kind::kMalformed, "unknown key", key);
                    return true;
                  }));
  }
  return {};
}

}  // namespace tifs::fs
