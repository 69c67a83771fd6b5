#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "fs/operation.h"
#include "fs/records.h"
#include "fs/types.h"

// The contents of regular files: holes, in-line data, blocks, cutting, preallocation. Each call
// works in the operation's transaction on a loaded record and changes the record; the caller stores
// it.
//
// Invariants: no live block holds bytes at or beyond the file's size; a file's data is either in
// line (all of it, from offset 0, the rest being a hole) or in blocks; the record's charge is what
// its preallocated blocks and its other present blocks cost, live or not.
namespace tifs::fs::file_data {

// As many blocks as one transaction deletes or zeroes directly; more become a pending clear.
inline constexpr uint64_t kMaxBlocksAtOnce = 256;
// As many present blocks as one transaction looks at that adds or gives up preallocation; what is
// absent costs nothing, however much it is.
inline constexpr uint64_t kMaxPresentAtOnce = 4096;

// Fills `out` from `offset_bytes`; how much lies before the end of the file.
Result<size_t> Read(Operation& op, const InodeRecord& inode, uint64_t offset_bytes,
                    std::span<char> out);
// Writes `data`, growing the file as needed. kFileTooBig.
Status Write(Operation& op, InodeRecord& inode, uint64_t offset_bytes, std::string_view data);
// Sets the size. What was cut off reads as zeros if the file grows again.
Status Truncate(Operation& op, InodeRecord& inode, uint64_t size_bytes);
// Makes a range read as zeros and frees what it held; the size stays.
Status Punch(Operation& op, InodeRecord& inode, uint64_t begin_bytes, uint64_t end_bytes);
// Reserves a range, as far as kMaxPresentAtOnce lets it; returns where it stopped, at least
// `end_bytes` when done. kNoSpace where the record has no room for another range.
Result<uint64_t> Preallocate(Operation& op, InodeRecord& inode, uint64_t begin_bytes,
                             uint64_t end_bytes);
// Gives up preallocation inside a range, whole blocks only, as far as kMaxPresentAtOnce lets it.
// True once none is left there.
Result<bool> GiveUpPreallocation(Operation& op, InodeRecord& inode, uint64_t begin_bytes,
                                 uint64_t end_bytes);
// The first offset from `offset_bytes` that holds data or a hole. kNoSuchOffset.
Result<uint64_t> Seek(Operation& op, const InodeRecord& inode, uint64_t offset_bytes,
                      SeekWhence whence);
// Deletes some blocks of the first pending clear; true once no clear is pending.
Result<bool> ClearStep(Operation& op, InodeRecord& inode);
// Deletes some blocks of an inode without links; true once none is left.
Result<bool> DeleteStep(Operation& op, InodeRecord& inode);

}  // namespace tifs::fs::file_data
