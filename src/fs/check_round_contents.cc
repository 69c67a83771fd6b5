#include <algorithm>
#include <array>

#include "base/coding.h"
#include "fs/check_round.h"
#include "fs/data/deferred_writes.h"
#include "fs/lost_and_found.h"
#include "fs/posix_acl.h"

namespace tifs::fs {
namespace {

constexpr std::string_view kCapabilityName = "security.capability";
// Epochs beyond are taken for damage of the block, else of the inode: they rise by one with each
// large cut.
constexpr uint32_t kMaxEpoch = uint32_t{1} << 31;

std::string BlockText(const Schema::BlockKey& block, uint32_t block_size_bytes) {
  return "block " + std::to_string(block.index.value) + " of " + InodeText(block.inode) +
         " (from byte " + std::to_string(block.index.value * block_size_bytes) + " on)";
}

// A value like `old` whose block has another epoch, and bytes up to `length_bytes` only.
std::string Rewritten(const BlockValue& old, uint32_t epoch, uint32_t length_bytes) {
  std::string value;
  BlockValue::AppendHead(value, old.encoding, epoch);
  if (old.encoding == BlockEncoding::kExtent) {
    ExtentReference{ExtentReference::FromPayload(old.payload).slot, length_bytes}.Append(value);
  } else {
    value.append(old.payload.substr(0, length_bytes));
  }
  return value;
}

CheckRound::Mend PutMend(std::string_view key, std::string value) {
  return [key = std::string(key), value = std::move(value)](RecordStore& records) {
    return records.transaction().Put(key, value);
  };
}

CheckRound::Mend DeleteMend(std::string_view key) {
  return
      [key = std::string(key)](RecordStore& records) { return records.transaction().Delete(key); };
}

}  // namespace

// --- blocks ---

Result<uint32_t> CheckRound::LengthOf(const BlockValue& block) const {
  const bool extents = (meta_.incompatible & MetaRecord::kFeatureExtents) != 0;
  if (extents != (block.encoding == BlockEncoding::kExtent)) {
    return Error(ErrorCode::kCorrupt, "encoding of a block");
  }
  const uint32_t length = TRY(BlockLength(block));
  if (length == 0 || length > meta_.block_size_bytes) {
    return Error(ErrorCode::kCorrupt, "length of a block");
  }
  return length;
}

Status CheckRound::ScanBlocks(CheckReport& report) {
  std::optional<File> file;
  TRY(ScanScope(Schema::Scope::kBlock, [&](std::string_view key, std::string_view value) -> Status {
    ++report.blocks;
    report.missing_bytes += MissingBytes(value);
    AddSlot(value);
    const auto parsed = schema_.ParseBlock(key);
    if (parsed) return AddBlock(file, *parsed, key, value);
    ReportKey("block of no file", key);
    return {};
  }));
  if (file) CheckEpochs(*file);
  return {};
}

Status CheckRound::AddBlock(std::optional<File>& file, const Schema::BlockKey& parsed,
                            std::string_view key, std::string_view value) {
  Inode* inode = Find(parsed.inode);
  if (inode == nullptr) {
    const auto lost = lost_.find(parsed.inode.value);
    if (lost == lost_.end() || !lost->second.is_file) ReportKey("block of no file", key);
    return {};
  }
  if (!file || file->record.number != parsed.inode) {
    if (file) CheckEpochs(*file);
    file = File{TRY(LoadCorrected(parsed.inode))};
  }
  InodeRecord& record = file->record;
  if (!record.Has(InodeRecord::kHasBlocks)) {
    // Only a file whose blocks are where they should be can have lost the flag.
    const bool in_file = parsed.index.value <= kMaxFileBytes / meta_.block_size_bytes &&
                         parsed.index.value * meta_.block_size_bytes < record.size_bytes;
    if (!in_file || !record.inline_data.empty()) {
      ReportKey("block of no file", key, {.inode = parsed.inode});
      return {};
    }
    Report(Kind::kMalformed, InodeText(parsed.inode) + " does not say that it has blocks",
           {.inode = parsed.inode}, [number = parsed.inode](RecordStore& records) -> Status {
             InodeRecord mended = TRY(records.LoadInode(number));
             mended.Set(InodeRecord::kHasBlocks);
             return records.StoreInode(mended);
           });
    record.Set(InodeRecord::kHasBlocks);
  }
  CheckBlock(*file, *inode, parsed, key, value);
  return {};
}

void CheckRound::CheckBlock(File& file, Inode& inode, const Schema::BlockKey& parsed,
                            std::string_view key, std::string_view value) {
  const InodeRecord& record = file.record;
  const Place place{.inode = parsed.inode, .parent = {}, .name = {}};
  const auto block = BlockValue::Decode(value);
  const auto length = block ? LengthOf(*block) : Result<uint32_t>(uint32_t{0});
  if (!block || !length) {
    Report(Kind::kMalformed, "corrupt " + BlockText(parsed, meta_.block_size_bytes), place,
           DeleteMend(key));
    return;
  }
  if (block->encoding == BlockEncoding::kExtent && options_.data_file_bytes) {
    const uint64_t slot = ExtentReference::FromPayload(block->payload).slot;
    if (slot >= SlotLimit(*options_.data_file_bytes, meta_.block_size_bytes)) {
      Report(Kind::kMalformed,
             BlockText(parsed, meta_.block_size_bytes) + " lies far beyond the data file", place,
             DeleteMend(key));
      return;
    }
  }
  uint32_t kept = *length;
  const bool is_small = parsed.index.value <= kMaxFileBytes / meta_.block_size_bytes;
  const uint64_t start = is_small ? parsed.index.value * meta_.block_size_bytes : kMaxFileBytes;
  if (!inode.IsOrphan() && record.IsLive(parsed.index, block->epoch) &&
      start + kept > record.size_bytes) {
    if (start >= record.size_bytes) {
      ReportKey("block beyond the end of its file", key, place);
      return;
    }
    kept = static_cast<uint32_t>(record.size_bytes - start);
    Report(Kind::kMalformed,
           BlockText(parsed, meta_.block_size_bytes) + " goes on beyond the end of its file", place,
           PutMend(key, Rewritten(*block, block->epoch, kept)));
  } else if (block->epoch > record.clear_epoch && block->epoch > kMaxEpoch) {
    Report(Kind::kMalformed,
           BlockText(parsed, meta_.block_size_bytes) + " has an epoch that cannot be", place,
           PutMend(key, Rewritten(*block, record.clear_epoch, kept)));
  } else {
    file.highest_epoch = std::max(file.highest_epoch, block->epoch);
  }
  if (!record.IsPreallocated(parsed.index)) {
    inode.expected_charge += record.ChargeOf(parsed.index, kept, meta_.block_size_bytes);
  }
}

// A block from a later epoch than its file's would survive the file's next cuts.
void CheckRound::CheckEpochs(const File& file) {
  const InodeNumber number = file.record.number;
  if (file.highest_epoch <= file.record.clear_epoch) return;
  Report(Kind::kMalformed, InodeText(number) + " has blocks of an epoch that it has not reached",
         {.inode = number}, [number, epoch = file.highest_epoch](RecordStore& records) -> Status {
           InodeRecord record = TRY(records.LoadInode(number));
           record.clear_epoch = std::max(record.clear_epoch, epoch);
           return records.StoreInode(record);
         });
}

// --- slots of the data file ---

uint64_t CheckRound::MissingBytes(std::string_view value) const {
  const auto block = BlockValue::Decode(value);
  if (!block || !options_.data_file_bytes || block->encoding != BlockEncoding::kExtent) return 0;
  const auto extent = ExtentReference::Decode(*block);
  if (!extent || extent->length_bytes > meta_.block_size_bytes) return 0;
  const uint64_t end = extent->slot * meta_.block_size_bytes + extent->length_bytes;
  if (end <= *options_.data_file_bytes) return 0;
  return std::min<uint64_t>(end - *options_.data_file_bytes, extent->length_bytes);
}

void CheckRound::AddSlot(std::string_view value) {
  const auto block = BlockValue::Decode(value);
  if (!block || (meta_.incompatible & MetaRecord::kFeatureExtents) == 0) return;
  const auto extent = ExtentReference::Decode(*block);
  if (!extent || slots_.Insert(extent->slot)) return;
  if (shared_slots_.size() < kMaxKept) {
    shared_slots_.insert(extent->slot);
  } else if (!shared_slots_.contains(extent->slot)) {
    Postpone();
  }
}

Status CheckRound::CheckSharedSlots() {
  if (shared_slots_.empty()) return {};
  std::map<uint64_t, SharedSlot> found;
  size_t kept = 0;
  TRY(ScanScope(Schema::Scope::kBlock, [&](std::string_view key, std::string_view value) -> Status {
    const auto parsed = schema_.ParseBlock(key);
    const auto block = BlockValue::Decode(value);
    if (!block) return {};
    const auto extent = ExtentReference::Decode(*block);
    if (!extent || !shared_slots_.contains(extent->slot)) return {};
    SharedSlot& shared = found[extent->slot];
    shared.length_bytes = std::max(
        shared.length_bytes, std::clamp<uint32_t>(extent->length_bytes, 1, meta_.block_size_bytes));
    if (kept == kMaxKept) {
      shared.is_complete = false;
    } else {
      ++kept;
      shared.sharers.push_back({std::string(key), parsed.value_or(Schema::BlockKey{})});
    }
    return {};
  }));
  for (const auto& [slot, shared] : found) ReportShared(slot, shared);
  return {};
}

// Whose bytes they are cannot be told, and to leave them to the wrong file would show one user
// another's: all that name the slot become holes, and the bytes stay in a file of root's.
void CheckRound::ReportShared(uint64_t slot, const SharedSlot& shared) {
  std::vector<std::string> keys;
  for (const Sharer& sharer : shared.sharers) keys.push_back(sharer.key);
  for (size_t i = 0; i < shared.sharers.size(); ++i) {
    const Sharer& sharer = shared.sharers[i];
    // The first takes all away at once; if that fails, nothing is mended here.
    Mend mend = [key = sharer.key](RecordStore& records) -> Status {
      if (!TRY(records.transaction().Get(key))) return {};
      return Error(ErrorCode::kExists, "block of a shared slot");
    };
    if (i == 0) {
      mend = [keys, slot, shared_by_all = shared.is_complete, length = shared.length_bytes,
              &meta = meta_, &clock = clock_](RecordStore& records) -> Status {
        for (const std::string& key : keys) TRY(records.transaction().Delete(key));
        if (!shared_by_all) return {};  // the others will do
        return KeepSlotInLostAndFound(records, clock, meta, slot, length);
      };
    }
    Report(Kind::kSharedSlot,
           BlockText(sharer.block, meta_.block_size_bytes) + " names slot " + std::to_string(slot) +
               " of the data file, as another block does",
           {.inode = sharer.block.inode}, std::move(mend));
  }
}

// --- attributes ---

Status CheckRound::ScanXattrs() {
  return ScanScope(Schema::Scope::kXattr, [&](std::string_view key, std::string_view value) {
    AddXattr(key, value);
    return OkStatus();
  });
}

void CheckRound::AddXattr(std::string_view key, std::string_view value) {
  const auto parsed = schema_.ParseXattr(key);
  Inode* inode = parsed ? Find(parsed->inode) : nullptr;
  if (inode == nullptr) {
    if (!parsed || !WillBe(parsed->inode)) ReportKey("extended attribute of no inode", key);
    return;
  }
  if (value.empty() || value.front() != 1 || parsed->name.find('\0') != parsed->name.npos) {
    ReportKey("corrupt extended attribute", key, {.inode = parsed->inode});
    return;
  }
  if (parsed->name == kAccessAclName || parsed->name == kDefaultAclName) {
    AddAcl(*inode, parsed->name, key, value.substr(1));
    return;
  }
  inode->attributes |= InodeRecord::kHasXattrs;
  if (parsed->name == kCapabilityName) inode->attributes |= InodeRecord::kHasCapability;
}

void CheckRound::AddAcl(Inode& inode, std::string_view name, std::string_view key,
                        std::string_view value) {
  const InodeNumber number{inode.number};
  const bool is_access = name == kAccessAclName;
  Result<PosixAcl> acl = PosixAcl::Decode(value);
  if (!acl || S_ISLNK(inode.mode) || (!is_access && !inode.IsDirectory())) {
    ReportKey(acl ? "ACL of what can have none" : "corrupt ACL", key, {.inode = number});
    return;
  }
  inode.attributes |= InodeRecord::kHasXattrs;
  inode.attributes |= is_access ? InodeRecord::kHasAccessAcl : InodeRecord::kHasDefaultAcl;
  if (!is_access || acl->ModeBits() == (inode.mode & 0777)) return;
  acl->SetModeBits(inode.mode);
  Report(Kind::kCount, InodeText(number) + " has an ACL that contradicts its mode",
         {.inode = number}, [number, acl = acl->Encode()](RecordStore& records) {
           return records.StoreXattr(number, kAccessAclName, acl);
         });
}

// --- leftovers and other keys ---

Status CheckRound::ScanLeftovers(CheckReport& report) {
  return ScanScope(
      Schema::Scope::kLeftover, [&](std::string_view key, std::string_view value) -> Status {
        const auto parsed = schema_.ParseLeftover(key);
        const auto record = LeftoverRecord::Decode(value);
        if (!parsed || !record) {
          ReportKey("malformed leftover", key);
          return {};
        }
        Inode* inode = Find(parsed->inode);
        if (record->kind == LeftoverKind::kClear) {
          if (inode != nullptr) inode->is_queued_clear = true;
          return {};  // one whose clears are done by then is harmless
        }
        ++report.orphans;
        const auto lost = lost_.find(parsed->inode.value);
        if (lost != lost_.end() && lost->second.is_unreadable && lost->second.parent.value == 0) {
          lost->second.is_unlinked = true;
          lost->second.is_directory = lost->second.is_file = false;
        }
        if (inode != nullptr && inode->IsOrphan()) {
          inode->is_queued_orphan = true;
        } else {
          ReportKey("orphan that is none", key, {.inode = parsed->inode});
        }
        return {};
      });
}

// What a mount would write to the data file again. One that lies elsewhere it leaves alone, for
// ever.
Status CheckRound::ScanDeferred() {
  const bool extents = (meta_.incompatible & MetaRecord::kFeatureExtents) != 0;
  uint64_t end_bytes = (ExtentReference::kMaxSlot + 1) * meta_.block_size_bytes;
  if (options_.data_file_bytes) {
    end_bytes =
        SlotLimit(*options_.data_file_bytes, meta_.block_size_bytes) * meta_.block_size_bytes;
  }
  return ScanScope(Schema::Scope::kDeferred, [&](std::string_view key, std::string_view value) {
    const auto write = DeferredValue::Decode(value);
    const bool is_sound = extents && schema_.ParseDeferred(key) && write &&
                          write->offset_bytes <= end_bytes &&
                          write->data.size() <= end_bytes - write->offset_bytes;
    if (!is_sound) ReportKey("corrupt deferred write", key);
    return OkStatus();
  });
}

Status CheckRound::ScanUnknown() {
  static constexpr std::array kScopes = {
      Schema::Scope::kInode,    Schema::Scope::kBlock, Schema::Scope::kHold,
      Schema::Scope::kDentry,   Schema::Scope::kXattr, Schema::Scope::kSession,
      Schema::Scope::kLeftover, Schema::Scope::kUsage, Schema::Scope::kDeferred};
  const auto is_known = [&](std::string_view key) {
    return std::ranges::any_of(kScopes, [&](Schema::Scope scope) {
      const KeySpan span = schema_.AllOf(scope);
      return span.begin.view() <= key && key < span.end.view();
    });
  };
  std::vector<Key> single = {schema_.Meta(), schema_.Tree(), schema_.NextSession()};
  for (uint16_t shard = 0; shard < Schema::kInodeShards; ++shard) {
    single.push_back(schema_.NextInode(shard));
  }
  // The scopes lie in order: only what is between and after them is read.
  std::string from(schema_.Everything().begin.view());
  const std::string end(schema_.Everything().end.view());
  for (bool more = true; more;) {
    more = false;
    TRY(txn_.Scan(
        {from, end}, 0, kv::Direction::kForward, [&](std::string_view key, std::string_view value) {
          if (is_known(key)) {
            const auto scope = static_cast<Schema::Scope>(key[schema_.prefix().size()]);
            from = schema_.AllOf(scope).end.view();
            more = true;
            return false;
          }
          if (key == schema_.Tree().view() && value != "\x01") {
            Report(Kind::kMalformed, "corrupt value of the tree's key", {}, PutMend(key, "\x01"));
          } else if (std::ranges::find(single, key, &Key::view) == single.end()) {
            ReportKey("unknown key", key);
          }
          return true;
        }));
  }
  return {};
}

}  // namespace tifs::fs
