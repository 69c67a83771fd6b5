#include "kv/rocks/rocks_status.h"

#include <string>
#include <string_view>

#include "base/coding.h"

namespace tifs::kv {
namespace {

// RocksDB has no code of its own for a LOCK file held elsewhere.
bool IsLockHeld(const rocksdb::Status& status, std::string_view text) {
  return status.IsIOError() &&
         (text.find("lock hold by current process") != text.npos ||
          text.find("While lock file") != text.npos) &&
         text.find("ermission denied") == text.npos && text.find("ead-only") == text.npos;
}

ErrorCode CodeOf(const rocksdb::Status& status, std::string_view text) {
  if (IsNoSpace(status)) return ErrorCode::kNoSpace;
  if (IsLockHeld(status, text)) return ErrorCode::kBusy;
  if (status.subcode() == rocksdb::Status::kPathNotFound) return ErrorCode::kNotFound;
  switch (status.code()) {
    case rocksdb::Status::kNotFound: return ErrorCode::kNotFound;
    case rocksdb::Status::kCorruption: return ErrorCode::kCorrupt;
    case rocksdb::Status::kNotSupported: return ErrorCode::kNotSupported;
    case rocksdb::Status::kInvalidArgument: return ErrorCode::kInvalid;
    case rocksdb::Status::kBusy:
    case rocksdb::Status::kTryAgain: return ErrorCode::kConflict;
    case rocksdb::Status::kTimedOut:
    case rocksdb::Status::kIncomplete: return ErrorCode::kUnavailable;
    default:
      return status.subcode() == rocksdb::Status::kMemoryLimit ? ErrorCode::kNoMemory
                                                               : ErrorCode::kIo;
  }
}

}  // namespace

bool IsNoSpace(const rocksdb::Status& status) {
  return status.subcode() == rocksdb::Status::kNoSpace ||
         status.subcode() == rocksdb::Status::kSpaceLimit;
}

Error ErrorFromRocks(const rocksdb::Status& status, const char* context) {
  std::string text = status.ToString();
  const ErrorCode code = CodeOf(status, text);
  return Error(code, context, EscapeForLog(text));
}

}  // namespace tifs::kv
