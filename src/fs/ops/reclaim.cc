#include <vector>

#include "fs/data/file_data.h"
#include "fs/ops/ops.h"
#include "fs/session_table.h"

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

// Takes an orphan from everybody, unless a session holds it: false. A hold of our own goes where
// the file has been closed.
Result<bool> TakeOrphan(Operation& op, InodeRecord& inode, const Leftover& leftover) {
  if (op.mount.session == nullptr || inode.Has(InodeRecord::kReclaimed)) return true;
  bool held = false;
  for (const SessionId holder : TRY(LoadHolders(op.txn, op.mount.schema, inode.number))) {
    const bool own = holder == op.mount.session->id();
    if (own && !op.mount.handles.IsOpen(inode.number)) {
      TRY(op.txn.Delete(op.mount.schema.Hold(inode.number, holder.value)));
    } else {
      held = true;
    }
  }
  // Who puts a hold meanwhile has locked it.
  TRY(op.records.TouchLeftover(leftover.begun, leftover.inode, leftover.kind));
  if (held || op.mount.handles.IsOpen(inode.number)) return false;
  inode.Set(InodeRecord::kReclaimed);
  return true;
}

}  // namespace

Result<Reclaimed> ReclaimStep(Operation& op, const Leftover& leftover) {
  Result<InodeRecord> inode = op.records.LoadInodeToReclaim(leftover.inode);
  bool done = true;
  if (!inode) {
    if (inode.error().code() != ErrorCode::kStale) return std::move(inode).error();
    // A hold that came when it was being deleted already.
    if (op.mount.session != nullptr) {
      TRY(op.txn.Delete(op.mount.schema.Hold(leftover.inode, op.mount.session->id().value)));
    }
  } else if (leftover.kind == LeftoverKind::kOrphan) {
    if (inode->nlink == 0) {
      if (!TRY(TakeOrphan(op, *inode, leftover))) return Reclaimed::kHeld;
      done = TRY(DeleteOrphan(op, *inode));
    }
  } else if (inode->nlink > 0 && !inode->pending_clears.empty()) {
    done = TRY(file_data::ClearStep(op, *inode));
    TRY(op.records.StoreInode(*inode));
  }
  if (done) TRY(op.records.DeleteLeftover(leftover.begun, leftover.inode));
  return done ? Reclaimed::kDone : Reclaimed::kMore;
}

}  // namespace tifs::fs::ops
