#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tifs {

enum class ErrorCode : uint8_t {
#define TIFS_ERROR(name, errno_value, retry) name,
#include "base/error.def"
#undef TIFS_ERROR
};

// What a caller may do about an error without asking anyone.
//   kNever         the answer is final.
//   kConflict      nothing happened; run the transaction again at a new snapshot.
//   kUnavailable   nothing happened; the store could not be reached, wait and try again.
//   kUndetermined  it may or may not have happened; ask the store, never rerun blindly.
enum class RetryClass : uint8_t { kNever, kConflict, kUnavailable, kUndetermined };

// A code, where it arose (a string literal), and, only where there is something to add, a detail on
// the heap. Making a plain error such as ENOENT allocates nothing. Move-only and 24 bytes.
class [[nodiscard]] Error {
 public:
  // `context` must live for ever: a string literal.
  Error(ErrorCode code, const char* context) : context_(context), code_(code) {}
  Error(ErrorCode code, const char* context, std::string detail)
      : context_(context), detail_(std::make_unique<std::string>(std::move(detail))), code_(code) {}

  ErrorCode code() const { return code_; }
  const char* context() const { return context_; }
  std::string_view detail() const { return detail_ ? std::string_view(*detail_) : ""; }

  // The errno that a system call reports for this error.
  int ToErrno() const;
  RetryClass retry_class() const;
  // "NotFound: lookup: detail", for logs.
  std::string ToString() const;
  Error Clone() const;

 private:
  const char* context_;
  std::unique_ptr<std::string> detail_;
  ErrorCode code_;
};

std::string_view ErrorCodeName(ErrorCode code);

// The error for a failed system call: the code whose errno it is, else kIo; the detail is
// strerror's.
Error ErrorFromErrno(int errno_value, const char* context, std::string_view what = {});

}  // namespace tifs
