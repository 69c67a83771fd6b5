#include "fs/record_store.h"

#include <algorithm>

#include "base/coding.h"
#include "base/log.h"

namespace tifs::fs {

template <typename Record>
Result<Record> RecordStore::Checked(Result<Record> decoded, std::string_view key) {
  if (!decoded && decoded.error().code() == ErrorCode::kCorrupt) {
    if (corrupt_values_ != nullptr) corrupt_values_->Add();
    LogError("corrupt value at key \"{}\": {}", EscapeForLog(key), decoded.error().ToString());
  }
  return decoded;
}

Result<InodeRecord> RecordStore::LoadInode(InodeNumber inode, InlineData inline_data) {
  const Key key = schema_.Inode(inode);
  const std::optional<kv::Value> value = TRY(transaction_.Get(key));
  if (!value) return Error(ErrorCode::kStale, "no such inode");
  auto record =
      Checked(InodeRecord::Decode(inode, value->view(), inline_data == InlineData::kLoad), key);
  if (record && record->Has(InodeRecord::kReclaimed)) {
    return Error(ErrorCode::kStale, "the inode is being deleted");
  }
  return record;
}

Result<InodeRecord> RecordStore::LoadInodeToReclaim(InodeNumber inode) {
  const Key key = schema_.Inode(inode);
  const std::optional<kv::Value> value = TRY(transaction_.Get(key));
  if (!value) return Error(ErrorCode::kStale, "no such inode");
  return Checked(InodeRecord::Decode(inode, value->view()), key);
}

Result<std::vector<std::optional<InodeRecord>>> RecordStore::LoadInodes(
    const std::vector<InodeNumber>& inodes) {
  std::vector<Key> keys;
  keys.reserve(inodes.size());
  std::vector<std::string_view> views;
  views.reserve(inodes.size());
  for (InodeNumber inode : inodes) views.push_back(keys.emplace_back(schema_.Inode(inode)));
  const std::vector<std::optional<kv::Value>> values = TRY(transaction_.BatchGet(views));
  std::vector<std::optional<InodeRecord>> records(inodes.size());
  for (size_t i = 0; i < inodes.size(); ++i) {
    if (!values[i]) continue;
    auto record = Checked(InodeRecord::Decode(inodes[i], values[i]->view(), false), views[i]);
    if (record) records[i] = *std::move(record);
  }
  return records;
}

Status RecordStore::StoreInode(const InodeRecord& record) {
  return transaction_.Put(schema_.Inode(record.number), record.Encode());
}

Status RecordStore::DeleteInode(InodeNumber inode) {
  return transaction_.Delete(schema_.Inode(inode));
}

Result<StripeRecord> RecordStore::LoadStripe(InodeNumber directory, uint16_t stripe) {
  const Key key = schema_.Stripe(directory, stripe);
  const std::optional<kv::Value> value = TRY(transaction_.Get(key));
  if (!value) return StripeRecord();
  return Checked(StripeRecord::Decode(value->view()), key);
}

Result<std::vector<StripeRecord>> RecordStore::LoadEachStripe(InodeNumber directory) {
  std::vector<Key> keys;
  std::vector<std::string_view> views;
  keys.reserve(directory_stripes_);
  for (uint16_t i = 0; i < directory_stripes_; ++i) {
    views.push_back(keys.emplace_back(schema_.Stripe(directory, i)));
  }
  const std::vector<std::optional<kv::Value>> values = TRY(transaction_.BatchGet(views));
  std::vector<StripeRecord> stripes(directory_stripes_);
  for (size_t i = 0; i < stripes.size(); ++i) {
    if (values[i]) stripes[i] = TRY(Checked(StripeRecord::Decode(values[i]->view()), views[i]));
  }
  return stripes;
}

Result<StripeRecord> RecordStore::LoadStripes(InodeNumber directory) {
  if (directory_stripes_ == 1) return LoadStripe(directory, 0);
  StripeRecord sum;
  for (const StripeRecord& stripe : TRY(LoadEachStripe(directory))) {
    sum.entries += stripe.entries;
    sum.subdirectories += stripe.subdirectories;
    sum.change += stripe.change;
    sum.mtime = std::max(sum.mtime, stripe.mtime);
    sum.ctime = std::max(sum.ctime, stripe.ctime);
  }
  return sum;
}

Status RecordStore::StoreStripe(InodeNumber directory, uint16_t stripe,
                                const StripeRecord& record) {
  return transaction_.Put(schema_.Stripe(directory, stripe), record.Encode());
}

Status RecordStore::LockStripes(InodeNumber directory) {
  for (uint16_t i = 0; i < directory_stripes_; ++i) {
    TRY(transaction_.Lock(schema_.Stripe(directory, i)));
  }
  return {};
}

Status RecordStore::ResetStripeTimes(InodeNumber directory) {
  std::vector<StripeRecord> stripes = TRY(LoadEachStripe(directory));
  for (uint16_t i = 0; i < directory_stripes_; ++i) {
    stripes[i].mtime = stripes[i].ctime = StripeRecord::kNever;
    TRY(StoreStripe(directory, i, stripes[i]));
  }
  return {};
}

Status RecordStore::DeleteStripes(InodeNumber directory) {
  for (uint16_t i = 0; i < directory_stripes_; ++i) {
    TRY(transaction_.Delete(schema_.Stripe(directory, i)));
  }
  return {};
}

Result<std::optional<DentryRecord>> RecordStore::LoadDentry(InodeNumber parent,
                                                            std::string_view name) {
  const Key key = schema_.Dentry(parent, name);
  const std::optional<kv::Value> value = TRY(transaction_.Get(key));
  if (!value) return std::optional<DentryRecord>();
  return std::optional(TRY(Checked(DentryRecord::Decode(value->view()), key)));
}

Status RecordStore::StoreDentry(InodeNumber parent, std::string_view name,
                                const DentryRecord& record) {
  return transaction_.Put(schema_.Dentry(parent, name), record.Encode());
}

Status RecordStore::DeleteDentry(InodeNumber parent, std::string_view name) {
  return transaction_.Delete(schema_.Dentry(parent, name));
}

Result<std::optional<std::string>> RecordStore::LoadXattr(InodeNumber inode,
                                                          std::string_view name) {
  const Key key = schema_.Xattr(inode, name);
  const std::optional<kv::Value> value = TRY(transaction_.Get(key));
  if (!value) return std::optional<std::string>();
  if (value->view().empty() || value->view().front() != 1) {
    return Checked<std::optional<std::string>>(Error(ErrorCode::kCorrupt, "xattr version"), key);
  }
  return std::optional(std::string(value->view().substr(1)));
}

Status RecordStore::StoreXattr(InodeNumber inode, std::string_view name, std::string_view value) {
  std::string versioned;
  versioned.reserve(value.size() + 1);
  versioned.push_back(1);
  versioned.append(value);
  return transaction_.Put(schema_.Xattr(inode, name), versioned);
}

Status RecordStore::DeleteXattr(InodeNumber inode, std::string_view name) {
  return transaction_.Delete(schema_.Xattr(inode, name));
}

Result<kv::Timestamp> RecordStore::AddLeftover(InodeNumber inode, LeftoverKind kind) {
  const kv::Timestamp begun = transaction_.begin_timestamp();
  TRY(transaction_.Put(schema_.Leftover(begun, inode), LeftoverRecord{kind}.Encode()));
  return begun;
}

Status RecordStore::TouchLeftover(kv::Timestamp begun, InodeNumber inode, LeftoverKind kind) {
  return transaction_.Put(schema_.Leftover(begun, inode), LeftoverRecord{kind}.Encode());
}

Status RecordStore::DeleteLeftover(kv::Timestamp begun, InodeNumber inode) {
  return transaction_.Delete(schema_.Leftover(begun, inode));
}

}  // namespace tifs::fs
