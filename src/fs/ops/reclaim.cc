#include <vector>

#include "fs/data/file_data.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

constexpr size_t kMaxXattrsAtOnce = 64;

// True once no attribute is left.
Result<bool> DeleteXattrs(Operation& op, InodeNumber inode) {
  std::vector<std::string> keys;
  const KeySpan span = op.mount.schema.Xattrs(inode);
  TRY(op.txn.Scan(span.range(), kMaxXattrsAtOnce, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view) {
                    keys.emplace_back(key);
                    return true;
                  }));
  for (const std::string& key : keys) TRY(op.txn.Delete(key));
  return keys.size() < kMaxXattrsAtOnce;
}

Result<bool> DeleteOrphan(Operation& op, InodeRecord& inode) {
  bool done = true;
  if (inode.Has(InodeRecord::kHasBlocks)) done = TRY(file_data::DeleteStep(op, inode));
  if (done && inode.Has(InodeRecord::kHasXattrs)) done = TRY(DeleteXattrs(op, inode.number));
  if (!done) {
    TRY(op.records.StoreInode(inode));
    return false;
  }
  op.space.bytes -= static_cast<int64_t>(inode.charged_bytes);
  op.space.inodes -= 1;
  TRY(op.records.DeleteInode(inode.number));
  if (inode.IsDirectory()) TRY(op.records.DeleteStripes(inode.number));
  return true;
}

}  // namespace

Result<bool> ReclaimStep(Operation& op, const Leftover& leftover) {
  Result<InodeRecord> inode = op.records.LoadInode(leftover.inode);
  bool done = true;
  if (!inode) {
    if (inode.error().code() != ErrorCode::kStale) return std::move(inode).error();
  } else if (leftover.kind == LeftoverKind::kOrphan) {
    if (inode->nlink == 0) done = TRY(DeleteOrphan(op, *inode));
  } else if (inode->nlink > 0 && !inode->pending_clears.empty()) {
    done = TRY(file_data::ClearStep(op, *inode));
    TRY(op.records.StoreInode(*inode));
  }
  if (done) TRY(op.records.DeleteLeftover(leftover.begun, leftover.inode));
  return done;
}

}  // namespace tifs::fs::ops
