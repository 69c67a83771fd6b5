#include "fs/lost_and_found.h"

#include <optional>
#include <string>

#include "fs/data/block_value.h"
#include "fs/inode_allocator.h"

namespace tifs::fs {
namespace {

constexpr char kName[] = "lost+found";
constexpr int kMaxTries = 10'000;

Result<InodeNumber> TakeInodeNumber(RecordStore& records) {
  const Key key = records.schema().NextInode();
  const auto value = TRY(records.transaction().Get(key));
  if (!value) return Error(ErrorCode::kCorrupt, "next inode is missing");
  const uint64_t number = TRY(DecodeNextInode(value->view()));
  TRY(records.transaction().Put(key, EncodeNextInode(number + 1)));
  return InodeNumber{number};
}

InodeRecord NewInode(InodeNumber number, uint32_t mode, Clock& clock) {
  InodeRecord inode;
  inode.number = number;
  inode.mode = mode;
  inode.nlink = S_ISDIR(mode) ? 2 : 1;
  inode.atime = inode.mtime = inode.ctime = inode.btime = clock.RealTime();
  inode.change = 1;
  return inode;
}

// Enters an inode under `name`, or under name-1, name-2, ... if that is taken.
Status Enter(RecordStore& records, InodeNumber directory, const std::string& name,
             const InodeRecord& inode) {
  std::string free_name = name;
  for (int i = 1; TRY(records.LoadDentry(directory, free_name)); ++i) {
    if (i == kMaxTries) return Error(ErrorCode::kExists, "names in lost+found");
    free_name = name + "-" + std::to_string(i);
  }
  TRY(records.StoreDentry(directory, free_name, {inode.number, inode.mode & S_IFMT}));
  StripeRecord stripe = TRY(records.LoadStripe(directory, 0));
  ++stripe.entries;
  if (inode.IsDirectory()) ++stripe.subdirectories;
  return records.StoreStripe(directory, 0, stripe);
}

Result<InodeNumber> OpenLostAndFound(RecordStore& records, Clock& clock) {
  std::string name = kName;
  for (int i = 1; i < kMaxTries; ++i) {
    const std::optional<DentryRecord> found = TRY(records.LoadDentry(kRootInode, name));
    if (!found) break;
    if (S_ISDIR(found->type_mode)) {
      const Result<InodeRecord> directory = records.LoadInode(found->inode, InlineData::kSkip);
      if (directory && directory->IsDirectory()) return found->inode;
    }
    name = std::string(kName) + "-" + std::to_string(i);
  }
  InodeRecord directory = NewInode(TRY(TakeInodeNumber(records)), S_IFDIR | 0700, clock);
  directory.parent = kRootInode;
  TRY(records.StoreInode(directory));
  TRY(Enter(records, kRootInode, name, directory));
  return directory.number;
}

}  // namespace

Status LinkToLostAndFound(RecordStore& records, Clock& clock, InodeNumber inode) {
  const InodeNumber lost_and_found = TRY(OpenLostAndFound(records, clock));
  InodeRecord record = TRY(records.LoadInode(inode));
  if (record.IsDirectory()) record.parent = lost_and_found;
  record.nlink = record.IsDirectory() ? 2 : 1;
  TRY(records.StoreInode(record));
  return Enter(records, lost_and_found, "#" + std::to_string(inode.value), record);
}

Status KeepSlotInLostAndFound(RecordStore& records, Clock& clock, const MetaRecord& meta,
                              uint64_t slot, uint32_t length_bytes) {
  const InodeNumber lost_and_found = TRY(OpenLostAndFound(records, clock));
  InodeRecord file = NewInode(TRY(TakeInodeNumber(records)), S_IFREG | 0600, clock);
  file.Set(InodeRecord::kHasBlocks);
  file.size_bytes = length_bytes;
  file.charged_bytes = file.ChargeOf({0}, length_bytes, meta.block_size_bytes);
  TRY(records.StoreInode(file));
  std::string block;
  BlockValue::AppendHead(block, BlockEncoding::kExtent, 0);
  ExtentReference{slot, length_bytes}.Append(block);
  TRY(records.transaction().Put(records.schema().Block(file.number, {0}), block));
  return Enter(records, lost_and_found, "slot-" + std::to_string(slot), file);
}

}  // namespace tifs::fs
