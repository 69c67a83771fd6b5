#include <algorithm>
#include <string>

#include "fs/access.h"
#include "fs/data/file_data.h"
#include "fs/ops/ops.h"

namespace tifs::fs::ops {
namespace {

Result<InodeRecord> LoadRegular(Operation& op, InodeNumber number) {
  InodeRecord inode = TRY(op.records.LoadInode(number));
  if (inode.IsDirectory()) return Error(ErrorCode::kIsDirectory, "contents");
  if (!inode.IsRegular()) return Error(ErrorCode::kInvalid, "contents");
  return inode;
}

// The end of every change of contents.
Status StoreChanged(Operation& op, InodeRecord& inode, bool kill_privileges) {
  Touch(inode, op.now, true);
  if (kill_privileges) inode.mode = WithoutPrivileges(op.context, inode);
  if (inode.Has(InodeRecord::kHasCapability)) {
    inode.Set(InodeRecord::kHasCapability, false);
    TRY(op.records.DeleteXattr(inode.number, "security.capability"));
  }
  return op.records.StoreInode(inode);
}

}  // namespace

Result<size_t> Read(Operation& op, InodeNumber number, uint64_t offset_bytes, std::span<char> out) {
  const InodeRecord inode = TRY(LoadRegular(op, number));
  op.WasRead(inode);
  return file_data::Read(op, inode, offset_bytes, out);
}

Status Write(Operation& op, InodeNumber number, uint64_t offset_bytes, std::string_view data,
             bool at_end, bool kill_privileges) {
  InodeRecord inode = TRY(LoadRegular(op, number));
  TRY(file_data::Write(op, inode, at_end ? inode.size_bytes : offset_bytes, data));
  return StoreChanged(op, inode, kill_privileges);
}

Status Punch(Operation& op, InodeNumber number, uint64_t begin_bytes, uint64_t end_bytes) {
  InodeRecord inode = TRY(LoadRegular(op, number));
  TRY(file_data::Punch(op, inode, begin_bytes, end_bytes));
  return StoreChanged(op, inode, !op.context.IsRoot());
}

Result<uint64_t> Preallocate(Operation& op, InodeNumber number, uint64_t begin_bytes,
                             uint64_t end_bytes) {
  InodeRecord inode = TRY(LoadRegular(op, number));
  const uint64_t next = TRY(file_data::Preallocate(op, inode, begin_bytes, end_bytes));
  TRY(StoreChanged(op, inode, !op.context.IsRoot()));
  return next;
}

Result<bool> GiveUpPreallocation(Operation& op, InodeNumber number, uint64_t begin_bytes,
                                 uint64_t end_bytes) {
  InodeRecord inode = TRY(op.records.LoadInode(number));
  if (inode.preallocated.empty()) return true;
  const bool done = TRY(file_data::GiveUpPreallocation(op, inode, begin_bytes, end_bytes));
  TRY(op.records.StoreInode(inode));
  return done;
}

Status Grow(Operation& op, InodeNumber number, uint64_t size_bytes) {
  InodeRecord inode = TRY(LoadRegular(op, number));
  if (inode.size_bytes >= size_bytes) return {};
  TRY(file_data::Truncate(op, inode, size_bytes));
  return StoreChanged(op, inode, !op.context.IsRoot());
}

Status ClearStep(Operation& op, InodeNumber number) {
  InodeRecord inode = TRY(op.records.LoadInode(number));
  TRY(file_data::ClearStep(op, inode));
  return op.records.StoreInode(inode);
}

Result<uint64_t> Seek(Operation& op, InodeNumber number, uint64_t offset_bytes, SeekWhence whence) {
  const InodeRecord inode = TRY(LoadRegular(op, number));
  return file_data::Seek(op, inode, offset_bytes, whence);
}

Result<size_t> CopyRange(Operation& op, const CopyRequest& request) {
  const InodeRecord source = TRY(LoadRegular(op, request.source));
  if (request.source_offset_bytes >= source.size_bytes) return size_t{0};
  std::string bytes(std::min(request.length_bytes, source.size_bytes - request.source_offset_bytes),
                    '\0');
  const size_t size = TRY(file_data::Read(op, source, request.source_offset_bytes, bytes));
  op.WasRead(source);
  InodeRecord target = TRY(LoadRegular(op, request.target));
  TRY(file_data::Write(op, target, request.target_offset_bytes,
                       std::string_view(bytes).substr(0, size)));
  TRY(StoreChanged(op, target, !op.context.IsRoot()));
  return size;
}

}  // namespace tifs::fs::ops
