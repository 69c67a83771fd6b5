#pragma once

#include <expected>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace tifs {

// A value or an Error. Converts implicitly from both, so that functions simply return either.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  template <typename U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error>) Result(U&& value)
      : value_(std::in_place, std::forward<U>(value)) {}            // NOLINT: implicit
  Result(Error error) : value_(std::unexpect, std::move(error)) {}  // NOLINT: implicit

  explicit operator bool() const { return value_.has_value(); }
  bool ok() const { return value_.has_value(); }

  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

  Error& error() & { return value_.error(); }
  const Error& error() const& { return value_.error(); }
  Error&& error() && { return std::move(value_.error()); }

 private:
  std::expected<T, Error> value_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : value_(std::unexpect, std::move(error)) {}  // NOLINT: implicit

  explicit operator bool() const { return value_.has_value(); }
  bool ok() const { return value_.has_value(); }
  void value() const {}

  Error& error() & { return value_.error(); }
  const Error& error() const& { return value_.error(); }
  Error&& error() && { return std::move(value_.error()); }

 private:
  std::expected<void, Error> value_;
};

using Status = Result<void>;

inline Status OkStatus() { return {}; }

}  // namespace tifs

// The value of a Result, or return its error from the enclosing function. Each use has a name of
// its own, so that one may stand within another.
#define TRY(...) TIFS_TRY_AS(TIFS_TRY_NAME(__COUNTER__), __VA_ARGS__)
#define TIFS_TRY_NAME(number) TIFS_TRY_NAME_OF(number)
#define TIFS_TRY_NAME_OF(number) try_result_##number
#define TIFS_TRY_AS(name, ...)        \
  __extension__({                     \
    auto&& name = (__VA_ARGS__);      \
    if (!name) [[unlikely]]           \
      return std::move(name).error(); \
    std::move(name).value();          \
  })
