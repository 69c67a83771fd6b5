#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/error.h"

// What tests of persisted keys and values share.
namespace tifs::fs {

// Spaces and line ends are for the reader.
inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  std::string digits;
  for (char c : hex) {
    if (c == ' ') continue;
    digits.push_back(c);
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  return bytes;
}

// Each strict beginning of a value is refused, and so is every other version.
template <typename Decode>
void ExpectRefusesCutsAndVersions(const std::string& value, ErrorCode version_error,
                                  Decode decode) {
  for (size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(value).substr(0, size)).ok()) << size << " bytes";
  }
  for (int version : {0, 2, 255}) {
    std::string other = value;
    other[0] = static_cast<char>(version);
    const auto decoded = decode(other);
    ASSERT_FALSE(decoded.ok());
    EXPECT_EQ(decoded.error().code(), version_error);
  }
}

}  // namespace tifs::fs
