#include "block/transfer.h"

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace tifs::block {
namespace {

// How often in a row a call may say "not now" before that is its answer.
constexpr uint32_t kMaxRefusals = 1000;

ErrorCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOSPC: return ErrorCode::kNoSpace;
    case ENOMEM: return ErrorCode::kNoMemory;
    case EOPNOTSUPP: return ErrorCode::kNotSupported;
    default: return ErrorCode::kIo;
  }
}

std::string_view NameOf(IoKind kind) {
  switch (kind) {
    case IoKind::kRead: return "read";
    case IoKind::kWrite: return "write";
    case IoKind::kFlush: return "flush";
    case IoKind::kDiscard: return "discard";
  }
  return "";
}

}  // namespace

bool Transfer::Advance(int64_t result) {
  if (result == -EINTR) return false;
  if (result == -EAGAIN && ++refusals_ < kMaxRefusals) return false;
  if (result < 0) return Fail(static_cast<int>(-result));
  refusals_ = 0;
  if (request_->kind == IoKind::kRead || request_->kind == IoKind::kWrite) {
    // Direct I/O goes on at whole blocks only; what is left of one is transferred again.
    const uint64_t block_bytes = device_->geometry().block_bytes;
    const uint64_t whole_bytes = static_cast<uint64_t>(result) / block_bytes * block_bytes;
    if (whole_bytes == 0) return Fail(0);
    done_bytes_ += whole_bytes;
    if (done_bytes_ < request_->size_bytes) return false;
  }
  request_->done = true;
  return true;
}

// 0: no error, but not a whole block either: the file was cut below us.
bool Transfer::Fail(int error_number) {
  const std::string why =
      error_number == 0 ? "the device ends before" : std::generic_category().message(error_number);
  request_->status =
      Error(CodeOf(error_number), "block device",
            fmt::format("{}: {} at offset {}, length {}: {}", device_->identity(),
                        NameOf(request_->kind), request_->offset_bytes, request_->size_bytes, why));
  request_->done = true;
  return true;
}

}  // namespace tifs::block
