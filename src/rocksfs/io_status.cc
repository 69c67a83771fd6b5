#include "rocksfs/io_status.h"

#include <string>

#include "base/coding.h"

namespace tifs::rocksfs {

rocksdb::IOStatus ToIOStatus(const Error& error, std::string_view path) {
  using rocksdb::IOStatus;
  const std::string where = EscapeForLog(path);
  const std::string what = error.ToString();
  switch (error.code()) {
    case ErrorCode::kNotFound: return IOStatus::PathNotFound(where, what);
    case ErrorCode::kNotSupported: return IOStatus::NotSupported(where, what);
    case ErrorCode::kInvalid: return IOStatus::InvalidArgument(where, what);
    case ErrorCode::kCorrupt: return IOStatus::Corruption(where, what);
    case ErrorCode::kNoSpace: {
      IOStatus status = IOStatus::NoSpace(where, what);
      status.SetRetryable(true);
      return status;
    }
    case ErrorCode::kNoMemory: {
      IOStatus status = IOStatus::IOError(where, what);
      status.SetRetryable(true);
      return status;
    }
    default: return IOStatus::IOError(where, what);
  }
}

bool IsMissing(const rocksdb::IOStatus& status) {
  return status.IsNotFound() || status.IsPathNotFound();
}

}  // namespace tifs::rocksfs
