#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <utility>

#include "base/result.h"

// For tests whose next step makes no sense without the last.
namespace tifs {

// The value of a Result, or the end of the test program with the error.
template <typename T>
T Must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().ToString();
    abort();
  }
  return *std::move(result);
}
inline void Must(Status status) { ASSERT_TRUE(status) << status.error().ToString(); }

}  // namespace tifs
