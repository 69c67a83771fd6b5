#include "fs/check_round.h"

#include <algorithm>
#include <array>

#include "base/coding.h"
#include "fs/check_paths.h"
#include "fs/lost_and_found.h"

namespace tifs::fs {
namespace {

// More than a file can be charged: no disk below has ever had the room.
constexpr uint64_t kMaxChargeBytes = uint64_t{1} << 52;

// Whether a file has reserved more than there can be.
bool ReservesTooMuch(const InodeRecord& record, const MetaRecord& meta) {
  const uint64_t limit = meta.capacity_bytes == 0 ? kMaxChargeBytes : meta.capacity_bytes;
  uint64_t blocks = 0;
  for (const BlockRange& range : record.preallocated) blocks += range.size();
  return blocks > limit / meta.block_size_bytes;
}

std::string Number(uint64_t value) { return std::to_string(value); }

uint64_t InlineCharge(uint64_t bytes) { return (bytes + 511) / 512 * 512; }

}  // namespace

std::string InodeText(InodeNumber inode) { return "inode " + Number(inode.value); }

void CheckRound::Report(Kind kind, std::string what, Place place, Mend mend) {
  ++problem_count_;
  if (problems_.size() == kMaxKept) return;
  problems_.push_back({kind, std::move(what), std::move(mend), std::move(place)});
}

void CheckRound::ReportKey(const char* what, std::string_view key, Place place) {
  Report(Kind::kMalformed, std::string(what) + " at key \"" + EscapeForLog(key) + "\"",
         std::move(place), [key = std::string(key)](RecordStore& records) {
           return records.transaction().Delete(key);
         });
}

Status CheckRound::ScanScope(Schema::Scope scope, const Visitor& visitor) {
  const KeySpan span = schema_.AllOf(scope);
  Status visited;
  TRY(txn_.Scan(span.range(), 0, kv::Direction::kForward,
                [&](std::string_view key, std::string_view value) {
                  if (++keys_seen_ % 10'000 == 0 && options_.progress) {
                    options_.progress(keys_seen_);
                  }
                  visited = visitor(key, value);
                  return visited.ok();
                }));
  return visited;
}

CheckRound::Inode* CheckRound::Find(InodeNumber inode) {
  const auto it = std::ranges::lower_bound(inodes_, inode.value, {}, &Inode::number);
  return it == inodes_.end() || it->number != inode.value ? nullptr : &*it;
}

Status CheckRound::Run(CheckReport& report) {
  TRY(ScanInodes());
  if (Find(kRootInode) == nullptr) TRY(Lose(kRootInode));
  TRY(ScanDentries());
  PlaceDirectories();
  TRY(ScanBlocks(report));
  TRY(CheckSharedSlots());
  TRY(ScanXattrs());
  TRY(ScanLeftovers(report));
  CheckLost();
  CheckUntyped();
  for (const Inode& inode : inodes_) CheckInode(inode);
  CheckReachable();
  for (const Inode& inode : inodes_) CheckCounts(inode);
  TRY(ScanSessions());
  TRY(CheckUsage(report));
  TRY(CheckNextInode());
  TRY(ScanDeferred());
  TRY(ScanUnknown());
  report.inodes = inodes_.size();
  report.directories = static_cast<uint64_t>(std::ranges::count_if(inodes_, &Inode::IsDirectory));
  return NameProblems();
}

// Ends each finding with the path that it is about.
Status CheckRound::NameProblems() {
  CheckPaths paths([this](InodeNumber number) {
    if (const Inode* inode = Find(number); inode != nullptr) return InodeNumber{inode->parent};
    const auto lost = lost_.find(number.value);
    return lost == lost_.end() ? InodeNumber{} : lost->second.parent;
  });
  for (const Problem& problem : problems_) {
    paths.Need(problem.place.inode);
    paths.Need(problem.place.parent);
  }
  TRY(paths.Load(txn_, schema_));
  for (Problem& problem : problems_) {
    const Place& place = problem.place;
    const std::string path = place.parent.value != 0 ? paths.PathOf(place.parent, place.name)
                                                     : paths.PathOf(place.inode);
    if (!path.empty()) problem.what += ": \"" + EscapeForLog(path) + "\"";
  }
  return {};
}

// --- inodes ---

Result<bool> CheckRound::HasKeys(const KeySpan& span) {
  bool found = false;
  TRY(txn_.Scan(span.range(), 1, kv::Direction::kForward, [&](std::string_view, std::string_view) {
    found = true;
    return false;
  }));
  return found;
}

Result<bool> CheckRound::LooksLikeDirectory(InodeNumber inode) {
  if (TRY(txn_.Get(schema_.Stripe(inode, 0)))) return true;
  return HasKeys(schema_.Dentries(inode));
}

Result<uint64_t> CheckRound::EndOfBlocks(InodeNumber inode) {
  const KeySpan span = schema_.Blocks(inode, {0}, {UINT64_MAX});
  uint64_t end = 0;
  TRY(txn_.Scan(span.range(), 1, kv::Direction::kBackward,
                [&](std::string_view key, std::string_view value) {
                  const auto parsed = schema_.ParseBlock(key);
                  if (!parsed || parsed->index.value > kMaxFileBytes / meta_.block_size_bytes) {
                    return false;
                  }
                  const auto block = BlockValue::Decode(value);
                  const auto length = block ? LengthOf(*block) : Result<uint32_t>(uint32_t{0});
                  end = parsed->index.value * meta_.block_size_bytes +
                        (length && *length > 0 ? *length : meta_.block_size_bytes);
                  end = std::min(end, kMaxFileBytes);
                  return false;
                }));
  return end;
}

Result<uint32_t> CheckRound::TypeOf(const InodeRecord& record) {
  if (record.number == kRootInode) return uint32_t{S_IFDIR};
  const bool holds_data = record.Has(InodeRecord::kHasBlocks) || !record.inline_data.empty();
  const uint32_t type = record.mode & S_IFMT;
  // Only a directory has a parent, only others hold data: a type that has both against it is wrong.
  if (S_ISDIR(record.mode) && !holds_data) return type;
  if (type != 0 && !S_ISDIR(record.mode) && record.parent.value == 0) return type;
  const bool like_directory = TRY(LooksLikeDirectory(record.number));
  if (!holds_data && (like_directory || (type == 0 && record.parent.value != 0))) {
    return uint32_t{S_IFDIR};
  }
  if (type != 0 && (!S_ISDIR(record.mode) || like_directory || record.parent.value != 0)) {
    return type;
  }
  return record.Has(InodeRecord::kHasBlocks) ? uint32_t{S_IFREG} : uint32_t{0};
}

Result<bool> CheckRound::Correct(InodeRecord& record) {
  bool corrected = false;
  const auto set = [&corrected]<typename T>(T& field, const T& value) {
    if (field == value) return;
    field = value;
    corrected = true;
  };
  set(record.mode, (record.mode & 07777) | TRY(TypeOf(record)));
  set(record.flags, record.flags & InodeRecord::kKnownFlags);
  // What has links is not being deleted.
  if (record.nlink > 0) set(record.flags, record.flags & ~uint32_t{InodeRecord::kReclaimed});
  if ((record.mode & S_IFMT) == 0) return true;  // the rest once its type is known
  if (record.number == kRootInode) {
    set(record.parent, kRootInode);
  } else if (!record.IsDirectory()) {
    set(record.parent, InodeNumber{});
  }
  if (ReservesTooMuch(record, meta_)) set(record.preallocated, {});
  if (record.IsRegular()) {
    if (!record.Has(InodeRecord::kHasBlocks) || record.inline_data.empty()) return corrected;
    corrected = true;
    if (TRY(HasKeys(schema_.Blocks(record.number, {0}, {UINT64_MAX})))) {
      record.inline_data.clear();
    } else {
      record.Set(InodeRecord::kHasBlocks, false);
    }
    return corrected;
  }
  set(record.flags, record.flags & ~uint32_t{InodeRecord::kHasBlocks});
  set(record.pending_clears, {});
  set(record.preallocated, {});
  if (!record.IsSymlink()) set(record.inline_data, std::string());
  set(record.size_bytes, uint64_t{record.inline_data.size()});
  return corrected;
}

Result<InodeRecord> CheckRound::LoadCorrected(InodeNumber inode) {
  const std::optional<kv::Value> value = TRY(txn_.Get(schema_.Inode(inode)));
  if (!value) return Error(ErrorCode::kCorrupt, "inode");
  Result<InodeRecord> decoded = InodeRecord::Decode(inode, value->view());
  if (!decoded) {
    std::optional<InodeRecord> damaged = InodeRecord::DecodeDamaged(inode, value->view());
    if (!damaged) return std::move(decoded).error();
    decoded = *std::move(damaged);
  }
  InodeRecord record = *std::move(decoded);
  if (record.size_bytes == InodeRecord::kUnknownSize) {
    record.size_bytes = TRY(EndOfBlocks(inode));
  }
  TRY(Correct(record));
  return record;
}

Status CheckRound::ScanInodes() {
  return ScanScope(Schema::Scope::kInode,
                   [&](std::string_view key, std::string_view value) -> Status {
                     const auto parsed = schema_.ParseInode(key);
                     if (!parsed || !IsInodeNumber(parsed->inode)) {
                       ReportKey("malformed inode key", key);
                     } else if (parsed->stripe) {
                       AddStripe(*parsed, key, value);
                     } else {
                       TRY(AddInode(parsed->inode, key, value));
                     }
                     return {};
                   });
}

Status CheckRound::AddInode(InodeNumber number, std::string_view key, std::string_view value) {
  Result<InodeRecord> decoded = InodeRecord::Decode(number, value);
  const bool is_damaged = !decoded;
  if (is_damaged) {
    std::optional<InodeRecord> damaged = InodeRecord::DecodeDamaged(number, value);
    if (!damaged) {
      Lost* lost = TRY(Lose(number));
      if (lost != nullptr) lost->is_unreadable = true;
      if (lost == nullptr) Postpone();
      return {};
    }
    decoded = *std::move(damaged);
    if (decoded->size_bytes == InodeRecord::kUnknownSize) {
      decoded->size_bytes = TRY(EndOfBlocks(number));
    }
  }
  InodeRecord& record = *decoded;
  const bool is_corrected = TRY(Correct(record));
  Inode inode;
  inode.number = number.value;
  inode.parent = record.parent.value;
  inode.mode = record.mode;
  inode.flags = record.flags;
  inode.nlink = record.nlink;
  inode.charged = record.charged_bytes;
  inode.has_clears = !record.pending_clears.empty();
  inode.is_untyped = (record.mode & S_IFMT) == 0;
  if (record.IsRegular()) {
    inode.expected_charge = InlineCharge(record.inline_data.size());
    for (const BlockRange& range : record.preallocated) {
      inode.expected_charge += range.size() * meta_.block_size_bytes;
    }
  }
  inodes_.push_back(inode);
  const bool bad_target = record.IsSymlink() && (record.inline_data.empty() ||
                                                 record.inline_data.size() > kMaxSymlinkBytes);
  if (bad_target) {
    Report(Kind::kMalformed, "symbolic link " + InodeText(number) + " has no target: remove it",
           {.inode = number}, {});
  }
  if (inode.is_untyped) {
    untyped_.emplace(number.value, std::move(record));
  } else if (is_damaged || is_corrected) {
    Report(Kind::kMalformed,
           is_damaged ? "corrupt " + InodeText(number) + ", in one field only"
                      : InodeText(number) + " has fields that contradict each other",
           {.inode = number}, [record = std::move(record)](RecordStore& records) {
             return records.StoreInode(record);
           });
  }
  (void)key;
  return {};
}

void CheckRound::CheckUntyped() {
  for (auto& [number, record] : untyped_) {
    Inode* inode = Find({number});
    if ((inode->mode & S_IFMT) == 0) inode->mode |= S_IFREG;  // nothing says what it was
    record.mode = inode->mode;
    if (record.IsRegular()) inode->expected_charge = InlineCharge(record.inline_data.size());
    Report(Kind::kMalformed, InodeText({number}) + " has no file type", {.inode = {number}},
           [record](RecordStore& records) { return records.StoreInode(record); });
  }
}

void CheckRound::AddStripe(const Schema::InodeKey& parsed, std::string_view key,
                           std::string_view value) {
  if (lost_.contains(parsed.inode.value)) return;  // counted once the directory is there again
  Inode* inode = inodes_.empty() ? nullptr : &inodes_.back();
  if (inode == nullptr || inode->number != parsed.inode.value || !inode->IsDirectory() ||
      *parsed.stripe >= meta_.directory_stripes) {
    ReportKey("directory stripe without its directory", key, {.inode = parsed.inode});
    return;
  }
  const auto stripe = StripeRecord::Decode(value);
  if (!stripe) {
    ReportKey("corrupt directory stripe", key, {.inode = parsed.inode});
    return;
  }
  inode->entries += stripe->entries;
  inode->subdirectories += stripe->subdirectories;
}

void CheckRound::CheckInode(const Inode& inode) {
  const InodeNumber number{inode.number};
  const bool is_orphan = inode.IsOrphan() && number != kRootInode;
  if (is_orphan ? !inode.is_queued_orphan : inode.has_clears && !inode.is_queued_clear) {
    const auto kind = is_orphan ? LeftoverKind::kOrphan : LeftoverKind::kClear;
    Report(Kind::kMalformed, InodeText(number) + " waits for work that is not queued",
           {.inode = number}, [number, kind](RecordStore& records) -> Status {
             TRY(records.AddLeftover(number, kind));
             return {};
           });
  }
  CheckAttributes(inode);
  if (is_orphan || inode.links > 0 || number == kRootInode) return;
  Report(Kind::kUnreachable, InodeText(number) + " has no name", {.inode = number},
         [number, &clock = clock_](RecordStore& records) {
           return LinkToLostAndFound(records, clock, number);
         });
}

// Flags that speak of attributes, against the attributes that were seen.
void CheckRound::CheckAttributes(const Inode& inode) {
  const InodeNumber number{inode.number};
  if (const uint32_t missing = inode.attributes & ~inode.flags; missing != 0) {
    Report(Kind::kCount, InodeText(number) + " does not say that it has attributes",
           {.inode = number}, [number, missing](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.flags |= missing;
             return records.StoreInode(record);
           });
  }
  constexpr uint32_t kSpecific =
      InodeRecord::kHasAccessAcl | InodeRecord::kHasDefaultAcl | InodeRecord::kHasCapability;
  const uint32_t stale = inode.flags & kSpecific & ~inode.attributes;
  if (stale == 0) return;
  const bool loses_acl = (stale & InodeRecord::kHasAccessAcl) != 0 && !S_ISLNK(inode.mode);
  Report(Kind::kCount,
         InodeText(number) + " speaks of attributes that are not there" +
             (loses_acl ? " (its group loses all rights: what the ACL gave it is not known)" : ""),
         {.inode = number}, [number, stale, loses_acl](RecordStore& records) -> Status {
           InodeRecord record = TRY(records.LoadInode(number));
           record.flags &= ~stale;
           // With an ACL these bits are its mask: wider than what the group has.
           if (loses_acl) record.mode &= ~uint32_t{S_IRWXG};
           return records.StoreInode(record);
         });
}

// --- what is counted ---

// A directory in a cycle is named, and yet nobody gets to it: one of each cycle is taken out.
void CheckRound::CheckReachable() {
  std::vector<Inode*> way;
  for (Inode& inode : inodes_) {
    if (!inode.IsDirectory() || inode.links == 0) continue;
    way.clear();
    Inode* current = &inode;
    // Ends at the root, at what is walked, or where another problem takes over.
    while (current != nullptr && current->number != kRootInode.value && current->links > 0 &&
           !current->is_walked) {
      current->is_walked = true;
      way.push_back(current);
      current = Find({current->parent});
    }
    if (current == nullptr || std::ranges::find(way, current) == way.end()) continue;
    const InodeNumber number{current->number};
    Report(Kind::kUnreachable, InodeText(number) + " is its own ancestor", {.inode = number},
           [number, &clock = clock_](RecordStore& records) {
             return LinkToLostAndFound(records, clock, number);
           });
  }
}

void CheckRound::CheckCounts(const Inode& inode) {
  const InodeNumber number{inode.number};
  // An orphan gives back in steps what it was charged.
  const bool is_orphan = inode.IsOrphan() && number != kRootInode;
  if (is_orphan && inode.charged <= kMaxChargeBytes) return;
  const uint32_t nlink = inode.IsDirectory() ? 2 : inode.links;
  // What has no name gets its count with one in lost+found.
  const bool is_named = !is_orphan && (inode.links > 0 || number == kRootInode);
  if (inode.nlink != nlink && is_named) {
    Report(Kind::kCount,
           InodeText(number) + " has link count " + Number(inode.nlink) + ", not " + Number(nlink),
           {.inode = number}, [number, nlink](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.nlink = nlink;
             return records.StoreInode(record);
           });
  }
  if (inode.IsDirectory() && (inode.entries != 0 || inode.subdirectories != 0)) {
    Report(Kind::kCount, "directory " + InodeText(number) + " counts its entries wrongly",
           {.inode = number},
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
           InodeText(number) + " is charged " + Number(inode.charged) + " bytes, not " +
               Number(inode.expected_charge),
           {.inode = number},
           [number, charge = inode.expected_charge](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.charged_bytes = charge;
             return records.StoreInode(record);
           });
  }
}

}  // namespace tifs::fs
