#include "base/error.h"

#include <array>
#include <system_error>

namespace tifs {
namespace {

struct CodeTraits {
  std::string_view name;
  int errno_value;
  RetryClass retry_class;
};

constexpr std::array kTraits = {
#define TIFS_ERROR(name, errno_value, retry) \
  CodeTraits{std::string_view(#name).substr(1), errno_value, RetryClass::retry},
#include "base/error.def"
#undef TIFS_ERROR
};

const CodeTraits& TraitsOf(ErrorCode code) { return kTraits[static_cast<size_t>(code)]; }

}  // namespace

int Error::ToErrno() const { return TraitsOf(code_).errno_value; }

RetryClass Error::retry_class() const { return TraitsOf(code_).retry_class; }

std::string Error::ToString() const {
  std::string text(TraitsOf(code_).name);
  text.append(": ").append(context_);
  if (detail_) text.append(": ").append(*detail_);
  return text;
}

Error Error::Clone() const {
  return detail_ ? Error(code_, context_, *detail_) : Error(code_, context_);
}

std::string_view ErrorCodeName(ErrorCode code) { return TraitsOf(code).name; }

Error ErrorFromErrno(int errno_value, const char* context, std::string_view what) {
  ErrorCode code = ErrorCode::kIo;
  for (size_t i = 0; i < kTraits.size(); ++i) {
    if (kTraits[i].errno_value == errno_value) {
      code = static_cast<ErrorCode>(i);
      break;
    }
  }
  std::string detail(what);
  if (!detail.empty()) detail.append(": ");
  detail.append(std::generic_category().message(errno_value));
  return Error(code, context, std::move(detail));
}

}  // namespace tifs
